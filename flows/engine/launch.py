"""A flow that runs from Python, from a shell and from a worker: one object, with or without a server."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, get_type_hints

from pydantic.fields import FieldInfo

from flows.engine.crashes import note_run
from flows.engine.environment import prepare_environment, uncollected_imports, untracked_import
from flows.engine.logs import log_to_page
from flows.engine.server import local_api
from tasks.config import find_home, find_project_file, project_root
from tasks.errors import ConfigError, InfrastructureError

with untracked_import(), uncollected_imports():
    # Before Prefect: skops looks for the home of SciPy's functions in all modules, in the order of their import.
    import scipy.special  # noqa: F401 - the models bring it anyway, but later
    from prefect import Flow
    from prefect.context import FlowRunContext
    from prefect.exceptions import ParameterBindError, ParameterTypeError, PrefectException

P = ParamSpec("P")
R = TypeVar("R")
_ABOUT_RUNS = ("prefect.flow", "prefect.task", "prefect.engine", "EventsWorker")


class LoopFlow(Flow[P, R], Generic[P, R]):
    """A Prefect flow whose call brings its own API where there is none.

    A worker runs it through Prefect's engine, which does not call it: then nothing here takes part. A call inside
    another flow's run is a plain subflow. Any other call checks its arguments, opens `local_api` over the project's
    home, and leaves the terminal to whoever called: a TrueupError comes out as it was raised, without Prefect's
    report of it, and the run is Failed with its message.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:  # type: ignore[override] # ours never give a State
        """Run the flow; raises what it raises, and ConfigError for an argument that it does not take."""
        if FlowRunContext.get() is not None:
            return super().__call__(*args, **kwargs)
        prepare_environment()
        with _quiet_terminal(), _failures_in_words(), local_api(_home_of(self._checked(args, kwargs))):
            return super().__call__(*args, **kwargs)

    def _checked(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            bound = inspect.signature(self.fn).bind(*args, **kwargs)
            bound.apply_defaults()
            return self.validate_parameters(bound.arguments)
        except (TypeError, ParameterBindError, ParameterTypeError) as error:
            raise ConfigError(f"{self.name}: {str(error).removeprefix('Flow run received ')}") from None


def flow(name: str, *, run_name: str | None = None) -> Callable[[Callable[P, R]], LoopFlow[P, R]]:
    """Make a function a flow of the loop, shown in Prefect under `name`.

    The function's parameters are the fields of the run form, with the descriptions of their `Field`s. Without
    retries: a step that failed is done by the next run. `run_name` may use the parameters, such as `run {project}`;
    one that is not given is left out.
    """

    def decorate(function: Callable[P, R]) -> LoopFlow[P, R]:
        description = inspect.getdoc(function)
        _describe_parameters(function)
        return LoopFlow(
            function,
            name=name,
            flow_run_name=_namer(run_name) if run_name else None,
            description=description,
            retries=0,
            persist_result=False,
            on_running=[note_run, log_to_page],
        )

    return decorate


def _namer(template: str) -> Callable[[], str]:
    """A run's name: on Prefect's pages it is what tells runs apart."""

    def name() -> str:
        context = FlowRunContext.get()
        given = (context.parameters if context else None) or {}
        words = {key: "" if value is None else value for key, value in given.items()}
        if Path(str(words.get("project"))).suffix in (".yaml", ".yml"):
            words["project"] = Path(str(words["project"])).stem
        return " ".join(template.format(**words).split())

    return name


def _describe_parameters(function: Callable[..., Any]) -> None:
    """Write the fields' descriptions into the docstring: Prefect's form takes them from there and nowhere else."""
    lines = []
    for name, hint in get_type_hints(function, include_extras=True).items():
        for field in getattr(hint, "__metadata__", ()):
            if isinstance(field, FieldInfo) and field.description:
                lines.append(f"    {name}: {field.description}")
    if lines:
        function.__doc__ = "\n".join([inspect.getdoc(function) or "", "", "Args:", *lines])


def current_run_id() -> str | None:
    """The id of the flow run that this is part of; None outside one."""
    context = FlowRunContext.get()
    return str(context.flow_run.id) if context is not None and context.flow_run is not None else None


def _home_of(parameters: dict[str, Any]) -> Path:
    path = find_project_file(parameters["project"])
    return find_home(project_root(path))


@contextmanager
def _failures_in_words() -> Iterator[None]:
    """Make an InfrastructureError of what the disk raises, and Prefect and the connection to it."""
    from httpx import HTTPError

    try:
        yield
    except (HTTPError, PrefectException) as error:
        first = (str(error).strip().splitlines() or [""])[0][:300]
        raise InfrastructureError(
            f"Prefect did not record the run ({type(error).__name__}: {first.rstrip('.')}). Check that its server runs "
            "where one is named, that no other process keeps prefect.db in the home locked, and that the disk is not "
            "full. The next run goes on where this one stopped."
        ) from error
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        raise InfrastructureError(
            f"{place}{error.strerror or error}. Check the place and the disk's space. The next run goes on where this "
            "one stopped."
        ) from error


@contextmanager
def _quiet_terminal() -> Iterator[None]:
    """Keep Prefect's reports on runs off the terminal; they go to the run's page. `PREFECT_LOGGING_LEVEL` decides."""
    if logging.getLevelName(os.environ["PREFECT_LOGGING_LEVEL"].upper()) in (logging.DEBUG, logging.INFO):
        yield
        return
    prefect = logging.getLogger("prefect")
    level = prefect.level
    prefect.setLevel(logging.WARNING)
    consoles = [h for h in logging.getLogger().handlers if type(h).__module__.startswith("prefect.")]
    for console in consoles:
        console.addFilter(_not_about_a_run)
    try:
        yield
    finally:
        prefect.setLevel(level)
        for console in consoles:
            console.removeFilter(_not_about_a_run)


def _not_about_a_run(record: logging.LogRecord) -> bool:
    return not record.name.startswith(_ABOUT_RUNS)
