"""The house's rules, read from the imports: who may know whom, and which door each vendor has."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "data",
    "contract",
    "training",
    "evaluation",
    "registry",
    "ledger",
    "scoring",
    "monitoring",
    "retraining",
    "reports",
    "backup",
}
COMMON = {"config", "results", "errors", "stats", "stage", "table", "files"}
DOORS = {
    "prefect": ("flows/", "tasks/stage.py"),
    "apprise": ("flows/engine/notices.py",),
    "great_expectations": ("tasks/contract/",),
    "mlflow": ("tasks/registry/",),
    "skops": ("tasks/registry/",),
    "evidently": ("tasks/monitoring/report.py",),
    # In recording.py: errors of Prefect's own database. In labels_query.py: labels that lie in a user's database.
    "sqlalchemy": ("tasks/ledger/", "flows/engine/recording.py", "tasks/data/labels_query.py"),
    "optuna": ("tasks/training/",),
    "fairlearn": ("tasks/training/mitigation.py",),
}
MODULES = sorted(p for folder in ("flows", "tasks") for p in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            if node.module == "tasks":
                yield from (f"tasks.{alias.name}" for alias in node.names)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_rooms_know_only_what_is_common(path: Path) -> None:
    here = relative(path).split("/")
    room = here[1].removesuffix(".py") if here[0] == "tasks" else None
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "flows":
            assert here[0] == "flows", f"{relative(path)} imports {name}: nothing imports flows but flows"
        if parts[0] == "tasks" and len(parts) > 1 and room is not None and room != "__init__":
            other = parts[1]
            assert other in {room} | COMMON, f"{relative(path)} imports {name}: rooms do not import each other"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_each_vendor_has_one_door(path: Path) -> None:
    for name in imports(path):
        vendor = name.split(".")[0]
        if vendor in DOORS:
            assert relative(path).startswith(DOORS[vendor]), f"{relative(path)} imports {name}"


def test_common_modules_do_not_know_rooms() -> None:
    for path in MODULES:
        if relative(path).split("/")[1].removesuffix(".py") in COMMON:
            for name in imports(path):
                parts = name.split(".")
                assert not (parts[0] == "tasks" and len(parts) > 1 and parts[1] in ROOMS), f"{relative(path)}: {name}"


def test_only_the_command_prints() -> None:
    for path in MODULES:
        calls = [
            node.func.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        ]
        assert "print" not in calls or relative(path) == "flows/cli.py", relative(path)


def test_no_import_has_an_effect(tmp_path: Path) -> None:
    """Every module is imported in a folder of its own: no file appears, and neither logging nor environment changes."""
    names = [relative(p).removesuffix(".py").removesuffix("/__init__").replace("/", ".") for p in MODULES]
    names = [n for n in names if not n.endswith("__main__")]
    code = (
        "import importlib, logging, os\n"
        "from prefect import Flow\n"
        "handlers, before = list(logging.getLogger().handlers), dict(os.environ)\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "assert logging.getLogger().handlers == handlers, 'logging configured'\n"
        "changed = {k for k in os.environ if before.get(k) != os.environ[k] and not k.startswith('KMP_')}\n"
        "assert not changed, changed\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path / "p")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    left = [p.name for p in tmp_path.iterdir() if p.name not in ("p", ".cache", ".config", ".prefect", ".matplotlib")]
    assert left == []


def test_help_imports_no_vendor() -> None:
    code = (
        "import sys\n"
        "from flows.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "vendors = {'apprise', 'evidently', 'great_expectations', 'mlflow', 'pandas', 'prefect', 'sklearn'}\n"
        "heavy = vendors & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
