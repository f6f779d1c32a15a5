"""Great Expectations' Data Docs, the standard extra: its own site over a sample of the batch.

Our page (page.py) is the record; this site takes its styles from the web and looks plain without it. Its templates
put values and column names into the page as they are, so characters that mean something in HTML are replaced by others
that look like them. It can crash on what expectations return: that is logged and never decides about a batch.

Great Expectations lists the values that were not expected, whatever they are, so it is asked for none; and a rule whose
page would show what was observed in a column is left out where `quotation` would not quote that.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.config import LoadedProject, readable
from tasks.contract.catalog import CATALOG
from tasks.contract.engine import configure, quiet
from tasks.contract.files import stem
from tasks.contract.quotation import cut_values, find_frequent
from tasks.contract.rules import Rule, derive_rules
from tasks.contract.suite import ContractSpec
from tasks.contract.tally import SAY_NO_VALUE
from tasks.results import ContractResult
from tasks.table import TableRef

SAMPLE_ROWS = 5_000
_log = logging.getLogger(__name__)
# Its result holds numpy booleans, which the store of validation results cannot write.
_NOT_STORABLE = frozenset({"expect_column_quantile_values_to_be_between"})
_HARMLESS = str.maketrans({"<": "\u2039", ">": "\u203a", '"': "\u201d", "'": "\u2019", "`": "\u2019"})
_SYNTAX = frozenset({"regex", "regex_list", "strftime_format", "json_schema", "row_condition", "ignore_row_if"})


def build_data_docs(
    project: LoadedProject, contract: ContractSpec, table: TableRef, result: ContractResult
) -> Path | None:
    """Validate a sample of at most 5,000 rows with a checkpoint, and bring the site up to date.

    Returns the batch's page of the site; None where the project switched it off, where the batch has no rows, or where
    Great Expectations failed (logged as a warning).
    """
    if not project.spec.contract.data_docs or result.rows == 0:
        return None
    try:
        with quiet():
            try:
                return _build(project, contract, table, result)
            except ValueError:  # a file that a killed process left half-written cannot be read: made anew
                _remove(project.folder / "data_docs", stem(table.batch, result.contract))
                return _build(project, contract, table, result)
    except Exception as error:  # noqa: BLE001 - an extra: its failure is told, and decides nothing
        said = readable(cut_values(str(error)))
        _log.warning("Data Docs for %s of %s: %s: %s", table.batch, project.name, type(error).__name__, said)
        return None


def _remove(folder: Path, name: str) -> None:
    for place in ("expectations", "results"):
        shutil.rmtree(folder / place / name, ignore_errors=True)
        (folder / place / f"{name}.json").unlink(missing_ok=True)


def _build(project: LoadedProject, contract: ContractSpec, table: TableRef, result: ContractResult) -> Path:
    import great_expectations as gx
    from great_expectations.checkpoint import UpdateDataDocsAction

    frame = _sample(table, result.rows)
    folder = project.folder / "data_docs"
    name = stem(table.batch, result.contract)
    context = gx.get_context(mode="ephemeral", project_config=_config(folder))
    context.enable_analytics(False)
    rules = derive_rules(project, contract, table, label_expected=not table.labels_hidden, reference=None)
    broken = {r.name for r in result.rules if r.observed.startswith(("could not be checked", "not checked"))}
    wanted = [
        replace(r, kwargs=_arguments(r))
        for r in rules
        if _shows(r) and r.name not in broken and _may_be_shown(r, frame, result.personal)
    ]
    suite = gx.ExpectationSuite(
        name=name,
        notes=f"A sample of {len(frame):,} of the {result.rows:,} rows of batch {_harmless(table.batch)}. The verdict "
        f"on all is: {result.outcome}. Characters that mean something in HTML are shown as others that look like them.",
    )
    for configuration in configure(wanted, contract.path).values():
        configuration.meta = {}
        suite.add_expectation_configuration(configuration)
    asset = context.data_sources.add_pandas("sample").add_dataframe_asset("rows")
    definition = gx.ValidationDefinition(
        name=name, data=asset.add_batch_definition_whole_dataframe("sample"), suite=context.suites.add_or_update(suite)
    )
    checkpoint = gx.Checkpoint(
        name=name,
        validation_definitions=[context.validation_definitions.add(definition)],
        actions=[UpdateDataDocsAction(name="docs")],
        result_format={"result_format": "SUMMARY", "partial_unexpected_count": 0, "exclude_unexpected_values": True},
    )
    context.checkpoints.add(checkpoint).run(
        batch_parameters={"dataframe": frame},
        run_id=gx.RunIdentifier(run_name=f"sample-of-{len(frame)}-of-{result.rows}-rows"),
    )
    pages = (folder / "site" / "validations" / name).rglob("*.html")
    return max(pages, key=lambda page: page.stat().st_mtime_ns)


def _config(folder: Path) -> Any:
    """What the site shows is kept in files, everything else in memory: a stored checkpoint would tie the next batch
    to the sample of the one before."""
    from great_expectations.data_context.types.base import DataContextConfig, ProgressBarsConfig

    def kept(store: str, place: str) -> dict[str, Any]:
        backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder / place)}
        return {"class_name": store, "store_backend": backend}

    memory = {"class_name": "InMemoryStoreBackend"}
    return DataContextConfig(
        stores={
            "expectations_store": kept("ExpectationsStore", "expectations"),
            "validation_results_store": kept("ValidationResultsStore", "results"),
            "checkpoint_store": {"class_name": "CheckpointStore", "store_backend": memory},
            "validation_definition_store": {"class_name": "ValidationDefinitionStore", "store_backend": memory},
        },
        expectations_store_name="expectations_store",
        validation_results_store_name="validation_results_store",
        checkpoint_store_name="checkpoint_store",
        data_docs_sites={
            "site": {
                **kept("SiteBuilder", "site"),
                "show_how_to_buttons": False,
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            }
        },
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )


def _sample(table: TableRef, rows: int) -> pd.DataFrame:
    """Rows at even distances over the batch, so that no part of it is left out."""
    step = max(1, -(-rows // SAMPLE_ROWS))
    parts = [chunk[chunk.index % step == 0] for chunk in table.chunks()]
    frame = pd.concat(parts, ignore_index=True)
    for column in table.schema.columns:
        if column.kind == "string" and column.name in frame:
            frame[column.name] = frame[column.name].str.translate(_HARMLESS)
    return frame.rename(columns={name: name.translate(_HARMLESS) for name in frame.columns})


def _shows(rule: Rule) -> bool:
    """Whether the rule is Great Expectations' own and means the same on a sample."""
    counts_rows = rule.kind.startswith("expect_table_row_count")
    return rule.kind.startswith("expect_") and not counts_rows and rule.kind not in _NOT_STORABLE


def _may_be_shown(rule: Rule, frame: pd.DataFrame, personal: Mapping[str, str]) -> bool:
    """Whether what the rule observes may be read by many. Rules about rows are shown with counts only."""
    entry = CATALOG[rule.kind]
    if entry.maps or entry.how == "table" or rule.kind in SAY_NO_VALUE:
        return True
    if any(name in personal for name in rule.columns):
        return False
    columns = [frame[_harmless(name)] for name in rule.columns if _harmless(name) in frame]
    texts = [c for c in columns if pd.api.types.is_string_dtype(c.dtype)]
    return all(c.nunique() == len(find_frequent(c)) for c in texts)


def _arguments(rule: Rule) -> dict[str, Any]:
    return {k: v if k in _SYNTAX else _harmless(v) for k, v in rule.kwargs.items() if k != "share"}


def _harmless(value: Any) -> Any:
    if isinstance(value, str):
        return value.translate(_HARMLESS)
    if isinstance(value, (list, tuple)):
        return [_harmless(v) for v in value]
    if isinstance(value, dict):
        return {_harmless(k): _harmless(v) for k, v in value.items()}
    return value
