"""Where a command's CPU seconds go: `python -m benchmarks.parts FILE train flights ...` writes them as JSON.

The command runs in this process as it always does. Each thread keeps a stack of what it is at: a stage, a call into
a room, the import of a library; CPU time of the thread goes to the top of it. A library's import includes what it
brings along, but for the libraries that are counted by themselves. Child processes go to the call that waits for them.
"""

from __future__ import annotations

import functools
import importlib
import importlib.abc
import json
import resource
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

THREADS = "Prefect: API, events and logs, in threads"
REST = "everything else"
OURS = "import trueup's own modules"
_SCIENCE = "import pandas, scikit-learn and theirs"
LIBRARIES = {
    **dict.fromkeys(("prefect", "uvicorn", "fastapi"), "import prefect"),
    **dict.fromkeys(("pandas", "numpy", "scipy", "pyarrow", "sklearn"), _SCIENCE),
    **{name: f"import {name}" for name in ("great_expectations", "mlflow", "skops", "optuna", "evidently")},
    **{name: f"import {name}" for name in ("matplotlib", "sqlalchemy", "pydantic")},
}
# Functions that are no stages, where they are looked up when they are called.
CALLS = {
    ("flows.engine.launch", "local_api"): "Prefect: its engine",
    ("prefect.flow_engine", "run_flow"): "Prefect: its engine",
    ("flows.preview", "open_ledger"): "ledger",
    ("flows.workspace", "open_ledger"): "ledger",
    ("flows.registration", "find_training"): "register",
    ("flows.registration", "save_model_files"): "save the model's files",
    ("flows.registration", "predict_in_fresh_process"): "fresh process",
    ("flows.registration", "make_reference"): "profile and reference",
    ("flows.registration", "make_profile"): "profile and reference",
    ("flows.registration", "predict_rows"): "stage: evaluate",
    ("flows.train", "draw_plots"): "plots",
    ("flows.champion", "load_version"): "load the champion",
    ("flows.aliases", "mirror_aliases"): "register",
    ("flows.monitor", "log_window"): "register",
    ("flows.monitor", "monitor_window"): "monitor",
    ("tasks.monitoring.report", "draw_window"): "Evidently's report",
    ("tasks.contract.check", "build_data_docs"): "Data Docs",
    ("tasks.contract.check", "write_page"): "contract page",
    ("tasks.training.search", "search_candidates"): "search",
    ("tasks.training.model", "fit_model"): "fit",
}
STAGES = {"register": "register", "train": "fit"}
spent: Counter[str] = Counter()
_here = threading.local()


@contextmanager
def part(name: str) -> Iterator[None]:
    """What this thread does meanwhile counts as `name`, but for parts within."""
    if not hasattr(_here, "stack"):
        _here.stack, _here.since = [THREADS], time.thread_time()
    _turn()
    _here.stack.append(name)
    try:
        yield
    finally:
        _turn()
        _here.stack.pop()


def _turn() -> None:
    now = time.thread_time()
    spent[_here.stack[-1]] += now - _here.since
    _here.since = now


def counted(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """`function`, whose calls count as `name`; for the fresh process that process too."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        before = _children()
        with part(name):
            try:
                return function(*args, **kwargs)
            finally:
                if name == "fresh process":
                    spent[name] += _children() - before

    return call


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class _CountedLoader:
    """Another loader, whose work counts as the import of a library."""

    def __init__(self, loader: Any, name: str) -> None:
        self._loader, self._name = loader, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> ModuleType | None:
        with part(self._name):
            made: ModuleType | None = self._loader.create_module(spec)
            return made

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with part(self._name):
            self._loader.exec_module(module)
        for (home, function), called in CALLS.items():
            if home == module.__name__:
                setattr(module, function, counted(getattr(module, function), called))


class _CountedFinder(importlib.abc.MetaPathFinder):
    """Finds what the usual finders find, with a counted loader for what is counted."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        top = name.partition(".")[0]
        called = OURS if top in ("flows", "tasks") else LIBRARIES.get(top)
        if called is None:
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _CountedLoader(spec.loader, called)
                return spec
        return None


def count_stages() -> None:
    """Have each stage count under its name."""
    import tasks.stage as door

    made = door.stage

    def stage(name: str) -> Callable[..., Any]:
        return lambda function: made(name)(counted(function, STAGES.get(name, f"stage: {name}")))

    door.stage = stage


def main() -> None:
    """Run the command, then write what was counted."""
    file, *arguments = sys.argv[1:]
    _here.stack, _here.since = [REST], 0.0  # from the first instant of the process
    sys.meta_path.insert(0, _CountedFinder())
    count_stages()
    code = 0
    try:
        importlib.import_module("flows.cli").main(arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    _turn()
    total = time.process_time() + _children()
    spent[THREADS] += max(total - sum(spent.values()), 0.0)
    Path(file).write_text(json.dumps(spent))
    sys.exit(code)


if __name__ == "__main__":
    main()
