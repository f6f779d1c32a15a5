"""The one place that runs Great Expectations: rules and a frame in, what each rule found out.

A Validator straight on the pandas engine, without a data context: no project to set up for every chunk, no global
state, and nothing that could call home. Importing the library takes seconds, so it is imported on first use.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.config import shown
from tasks.contract.catalog import CATALOG
from tasks.contract.rules import Rule
from tasks.errors import ConfigError

_COUNTED = {"result_format": "BASIC"}
_NAMED = {
    "result_format": "COMPLETE",
    "return_unexpected_index_query": False,
    "exclude_unexpected_values": True,
}


@dataclass(frozen=True)
class Finding:
    """What one rule found in one frame. `error` says why it could not be evaluated; it has then not passed."""

    checked: int  # rows that it judged: those without a value are not, unless the rule is about that
    positions: NDArray[np.int64]  # index values of the rows that broke it; empty for an aggregate
    passed: bool
    observed: Any = None
    unexpected: tuple[Any, ...] = ()  # some of the values that an aggregate did not expect
    error: str | None = None


def configure(rules: Sequence[Rule], path: Path | None) -> dict[str, Any]:
    """Great Expectations' configuration of each rule, by the rule's name.

    Raises ConfigError naming the contract's file and the key where Great Expectations refuses an argument.
    """
    with quiet():
        from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

        configured = {}
        for rule in rules:
            configuration = ExpectationConfiguration(type=rule.kind, kwargs=dict(rule.kwargs), meta={"rule": rule.name})
            try:
                configuration.to_domain_obj()
            except Exception as error:  # noqa: BLE001 - whatever it raises, the contract's arguments are at fault
                where = f"{shown(path) if path else 'the contract'}: {rule.key or rule.name}"
                raise ConfigError(f"{where}: Great Expectations refuses {rule.kind}: {_plain(error)}") from None
            configured[rule.name] = configuration
        return configured


def evaluate(frame: pd.DataFrame, configured: Mapping[str, Any], values: bool = False) -> dict[str, Finding]:
    """Evaluate all configurations on one frame, in one pass of one Validator. A finding for each, come what may.

    Most rules hold on most frames, and then a count says all: only those that some rows broke are evaluated again, for
    the positions of these rows. `values` has some of the values listed that an aggregate did not expect.
    """
    if not configured:
        return {}
    limit = {"partial_unexpected_count": 10 if values else 0}
    with quiet():
        try:
            results = _validate(frame, list(configured.values()), {**_COUNTED, **limit})
            broken = {_name(result) for result in results if _maps(result) and result.result.get("unexpected_count")}
            if broken:
                again = [configuration for name, configuration in configured.items() if name in broken]
                results = [result for result in results if _name(result) not in broken]
                results += _validate(frame, again, {**_NAMED, **limit})
        except Exception as error:  # noqa: BLE001 - fail closed: no rule has passed that was not evaluated
            return {name: _unknown(f"{type(error).__name__}: {_plain(error)}") for name in configured}
        found = {_name(result): _read(result) for result in results}
    return {name: found.get(name) or _unknown("Great Expectations returned no result") for name in configured}


def _validate(frame: pd.DataFrame, configurations: list[Any], form: Mapping[str, Any]) -> list[Any]:
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.validator.validator import Validator

    validator = Validator(execution_engine=PandasExecutionEngine(batch_data_dict={"rows": frame}))
    validator.metrics_calculator.show_progress_bars = False
    wanted = {"result_format": dict(form), "catch_exceptions": True}
    results: list[Any] = validator.graph_validate(configurations=configurations, runtime_configuration=wanted)
    return results


def _name(result: Any) -> str:
    return str(result.expectation_config.meta["rule"])


def _maps(result: Any) -> bool:
    """Whether the expectation judges rows; others count values, not rows, as unexpected."""
    return CATALOG[result.expectation_config.type].maps


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Great Expectations from logging, warning, and leaving Python's warnings redirected (its import does)."""
    # Some of its modules set their own levels, so the records are stopped on their way up instead.
    logger = logging.getLogger("great_expectations")
    propagate, showwarning, nowhere = logger.propagate, warnings.showwarning, logging.NullHandler()
    logger.propagate = False
    logger.addHandler(nowhere)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
            if warnings.showwarning is not showwarning:
                logging.captureWarnings(False)
    finally:
        logger.propagate = propagate
        logger.removeHandler(nowhere)


def _read(result: Any) -> Finding:
    error = _exception(result.exception_info)
    if error is not None:
        return _unknown(error)
    details = result.result
    maps = _maps(result)
    positions = np.asarray((details.get("unexpected_index_list") if maps else None) or [], np.int64)
    if maps and details.get("unexpected_count", 0) != len(positions):
        return _unknown(f"{details['unexpected_count']} rows broke it, and {len(positions)} of them were named")
    checked = details.get("element_count", 0) - (details.get("missing_count") or 0)
    observed = details.get("observed_value")
    unexpected = () if maps or observed is not None else tuple(details.get("partial_unexpected_list") or ())
    return Finding(checked, positions, bool(result.success), observed, unexpected)


def _exception(info: Any) -> str | None:
    """The message of an exception, in either of the two shapes in which Great Expectations reports one."""
    if not isinstance(info, Mapping):
        return None
    if info.get("raised_exception"):
        return str(info.get("exception_message") or "an exception without a message").strip().splitlines()[0][:300]
    return next((text for text in map(_exception, info.values()) if text is not None), None)


def _unknown(reason: str) -> Finding:
    return Finding(0, np.empty(0, np.int64), False, error=reason)


def _plain(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    # pydantic's first line only counts the faults, and a union repeats a fault for each of its members.
    named = lines[1:3] if len(lines) > 2 else lines[:1]
    return ": ".join(named).split(" (type=")[0][:300]
