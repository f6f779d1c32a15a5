"""A table whose every name and value wants to be more than text, through the whole loop; and what was tampered with."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from flows.champion import find_unseen_rows, load_served
from flows.cli import main
from flows.publication import publish
from flows.workspace import look_in
from tasks.config import readable
from tasks.errors import DataError
from tasks.registry.files import digest_folder
from tests.reports.reading import read_page

NASTY = (
    "<script>window.pwned=1</script>", "\"><img src=x onerror=alert(1)>", "' onmouseover='alert(1)",
    "</title></style></textarea><svg/onload=alert(1)>", "'; DROP TABLE entries;--", "../../../../escaped",
    "/etc/passwd", "{{ 7*7 }}{% raw %}", "${HOME} $(id) `id` %s %n {0} {x!r} %(a)s",
    "[click](javascript:alert(1)) ![x](http://evil.example/x.png)", "=cmd|' /C calc'!A0",
    "\x1b[31mred\x1b]0;title\x07\x1b[2J", "\u202egnp.exe\u2066", "🧨 größe", "x" * 10_000, "a\nb\r\nc\td",
    "nul\0nul", "   ", "--> <!-- ]]>", "\x9b31m\x7f\x08",
)  # fmt: skip
RESERVED = ("prediction", "probability", "probability_0", "row_id", "row", "_rules", "_row", "y", "index", "target", "")
TARGET, ID, TIME = '"><script>target</script>', "<b>id</b>", "'; DROP TABLE entries;-- time"
YES, NO, OTHER = "<script>yes</script>\x1b[31m", "'; DROP TABLE no;--", "../../no"
FILES = ("a<script>alert(1)<>';--\x1b[31m{{7}}\n", "=cmd|'b'\u202e%s'\"$(id)\u200e. " + "x" * 100)
REASON = "because <script>alert(1)</script> '; DROP TABLE entries;-- \x1b[31m\u202e {{7*7}} %s [a](javascript:b)"
BORN = ("pwned", "alert(1)", "DROP TABLE", "javascript:", "evil.example", "onmouseover")


@dataclass
class Siege:
    """A project of such tables, its home beside it, and the command."""

    root: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def file(self) -> Path:
        return self.root / "work" / "configs" / "siege.yaml"

    @property
    def home(self) -> Path:
        return self.root / "home"

    def deliver(self, month: int, suffix: str, classes: int) -> None:
        name = FILES[month - 1]
        path = self.root / "work" / "tables" / f"{name}{suffix}"
        rows = make_table(month, classes)
        rows.to_parquet(path) if suffix == ".parquet" else rows.to_csv(path, index=False)

    def trueup(self, command: str, *arguments: object, code: int = 0) -> str:
        """What the command said; it ends with `code`, without a traceback, and steers no terminal."""
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([command, str(self.file), *map(str, arguments)])
        said = self.capsys.readouterr()
        text = said.out + said.err
        assert ended.value.code == code, text
        assert "Traceback" not in text
        assert all(c.isprintable() or c == "\n" for c in text), text.encode("unicode_escape")
        return text

    def listing(self) -> set[str]:
        """Everything around the home."""
        around = (p for p in self.root.rglob("*") if not p.is_relative_to(self.home))
        return {str(p.relative_to(self.root)) for p in around}

    def ask(self, store: str, query: str, *values: Any) -> list[Any]:
        with closing(sqlite3.connect(self.home / store, isolation_level=None)) as connection:
            return connection.execute(query, values).fetchall()

    def model(self, version: int) -> Path:
        ((kept,),) = self.ask(
            "mlflow/mlflow.db", "SELECT storage_location FROM model_versions WHERE version = ?", version
        )
        return Path(str(kept).removeprefix("file://"))

    def artifact(self, version: int, name: str) -> Path:
        ((run,),) = self.ask("mlflow/mlflow.db", "SELECT run_id FROM model_versions WHERE version = ?", version)
        return self.home / "mlflow" / "artifacts" / str(run) / "artifacts" / name


def make_table(month: int, classes: int, rows: int = 240) -> pd.DataFrame:
    """A month in which `size` decides, among columns of every hostile name with every hostile value."""
    rng = np.random.default_rng(month)
    size = rng.normal(size=rows)
    moments = pd.Timestamp(f"2024-{month:02}-01", tz="UTC") + pd.to_timedelta(np.sort(rng.random(rows) * 28), unit="D")
    columns: dict[str, Any] = {
        ID: [f"{NASTY[i % len(NASTY)][:60]}-{month}-{i}" for i in range(rows)],
        TIME: moments.floor("s"),
        "size": size,
    }
    for i, name in enumerate((*NASTY, *RESERVED)):
        values = rng.choice(NASTY[:7] if i % 2 else NASTY[7:], rows)
        columns[name] = values if i % 3 else rng.normal(size=rows)
    label = np.where(rng.random(rows) < 1 / (1 + np.exp(-4 * size)), YES, NO)
    columns[TARGET] = label if classes == 2 else np.where(np.abs(size) < 0.4, OTHER, label)
    return pd.DataFrame(columns)


def write_siege(root: Path, data_docs: bool) -> None:
    for folder in ("configs", "tables"):
        (root / "work" / folder).mkdir(parents=True)
    spec = {
        "name": "siege",
        "description": " ".join(NASTY),
        "data": {"source": "tables/*", "target": TARGET, "id": ID, "time": TIME, "batch": "file"},
        "contract": {"data_docs": data_docs},
        "split": {"how": "random", "test": 0.3},
        "train": {"candidates": ["logistic"], "search": {"trials": 1}, "plots": False},
        "gates": {"champion": {"margin": 5}, "beat_baseline_by": 0},
    }
    rules = {NASTY[0]: {"type": "number"}, NASTY[1]: {"values": list(NASTY[:7])}, NASTY[11]: {"type": "string"}}
    (root / "work" / "configs" / "siege.yaml").write_text(yaml.safe_dump(spec))
    (root / "work" / "configs" / "siege.contract.yaml").write_text(yaml.safe_dump({"columns": rules}))


@pytest.fixture
def siege(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Siege]:
    monkeypatch.setenv("TRUEUP_HOME", str(home))
    yield Siege(tmp_path, capsys)


class Born(HTMLParser):
    """A page of another library: which elements and scripts a value of ours gave birth to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag if tag in ("script", "style") else ""
        for name, value in attrs:
            if any(word in (value or "") for word in BORN) and name in ("src", "href", "style", "srcdoc"):
                self.found.append(f"{tag} {name}={value}")
            if name.startswith("on") and any(word in (value or "") for word in BORN):
                self.found.append(f"{tag} {name}={value}")

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        # Evidently's values stand in JSON within a script: there a name keeps no character that could end it.
        if self.inside and any(mark in data for mark in ("<script>window.pwned", "'alert(1)", "<img src=x")):
            self.found.append(f"{self.inside}: a value in full")


def check_pages(siege: Siege) -> None:
    ours = [*siege.home.glob("siege/decisions/*.html"), *siege.home.glob("siege/contract/*.html")]
    assert len(list(siege.home.glob("siege/decisions/*.html"))) == 4
    for page in ours:
        text = page.read_text(encoding="utf-8")
        if "decisions" in page.parts:
            read_page(text)  # no element, attribute or address but our own
        born = Born()
        born.feed(text)
        assert born.found == [] and "<script" not in text.lower(), page
    cards = list(siege.home.glob("siege/decisions/*.md"))
    assert len(cards) == 2
    for card in cards:
        text = card.read_text(encoding="utf-8")
        plain = re.sub(r"\\[!-/:-@\[-`{-~]", "", text)  # without what is escaped
        assert "<" not in plain and "](" not in plain and "://" not in plain and text.replace("\n", "").isprintable()
    theirs = [*siege.home.glob("siege/reports/*.html"), *siege.home.glob("siege/data_docs/**/*.html")]
    assert theirs
    for page in theirs:
        born = Born()
        born.feed(page.read_text(encoding="utf-8"))
        assert born.found == [], page


def check_tracking(siege: Siege) -> None:
    """What MLflow holds keeps its limits, and holds no name as a path."""
    for table, column, most in (("params", "value", 6000), ("tags", "value", 8000), ("latest_metrics", "key", 250)):
        ((longest,),) = siege.ask("mlflow/mlflow.db", f"SELECT max(length({column})) FROM {table}")
        assert longest <= most, table
    keys = [key for (key,) in siege.ask("mlflow/mlflow.db", "SELECT key FROM latest_metrics")]
    assert not any(".." in key or key.startswith("/") for key in keys)


def live_through(siege: Siege, suffix: str, classes: int) -> None:
    """Two turns, every question, every decision, a copy and what is left of it after a prune."""
    for month in (1, 2):
        siege.deliver(month, suffix, classes)
    before = siege.listing()
    first = siege.trueup("run", "--as-of", "2024-03-01", "--explain")
    assert "version 1 is champion" in first and "\\x1b[31m{{7}}\\n" in first
    assert "up to date" in siege.trueup("run", "--as-of", "2024-03-01")
    assert "scored" in first and "health" in first
    second = siege.trueup("train", "--as-of", "2024-03-01", "--set", "train.seed=8")
    assert "version 2 is champion" in second, second

    assert "version 2" in siege.trueup("history")
    named = make_table(2, classes)[ID]
    for row in (11, 16):
        assert "the predictions file says the same" in " ".join(siege.trueup("explain", "--row", named[row]).split())
    siege.trueup("explain", "--row", named[4], "--batch", readable(FILES[1]))
    siege.trueup("explain", "--row", "nobody\x1b[2J", "--batch", "no\x1b[2J\n", code=2)
    siege.trueup("score", "--batch", "no\x1b[2J", code=2)
    assert "identical" in siege.trueup("reproduce", "1")
    assert "version 1 is champion again" in siege.trueup("rollback", "--reason", REASON)
    assert "version 2 is champion" in siege.trueup("promote", "2", "--override", "--reason", REASON)
    siege.trueup("reject", "2", "--reason", "r" * 5000, code=2)
    assert "<script>alert(1)</script> '; DROP TABLE entries;--" in siege.trueup("history")
    siege.trueup("prune", "--keep", "1")
    assert "the ledger holds" in siege.trueup("history", "--verify")
    check_pages(siege)
    check_tracking(siege)
    assert siege.listing() == before, "something was written outside the home"
    siege.trueup("backup", siege.root / "copies")
    assert {name for name in siege.listing() - before if not name.startswith("copies")} == set()
    for path in siege.home.rglob("*"):
        assert path.resolve().is_relative_to(siege.home.resolve()), path


def test_a_hostile_table_through_the_whole_loop(siege: Siege, monkeypatch: pytest.MonkeyPatch) -> None:
    write_siege(siege.root, data_docs=False)
    live_through(siege, ".parquet", classes=2)
    (copy,) = (siege.root / "copies").iterdir()
    monkeypatch.setenv("TRUEUP_HOME", str(siege.root / "restored"))
    assert "restored into" in siege.trueup("restore", copy)
    assert "up to date" in siege.trueup("run", "--as-of", "2024-03-01", "--set", "train.seed=8")
    monkeypatch.setenv("TRUEUP_HOME", str(siege.home))
    tampering_is_found(siege)


@pytest.mark.soak
def test_a_hostile_table_as_csv_with_several_classes(siege: Siege) -> None:
    write_siege(siege.root, data_docs=True)
    live_through(siege, ".csv", classes=3)


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.canary),)


def tampering_is_found(siege: Siege) -> None:
    """Each on the same home, mended after it: the model that scored the newest batch, its files, and the ledger."""
    canary = siege.root / "canary"
    evil = pickle.dumps(Evil(canary))
    row = make_table(2, 2)[ID][11]
    model = siege.model(1)
    kept = siege.root / "kept-model"
    shutil.copytree(model, kept)

    def smuggle() -> None:
        for name in ("model.skops", "python_model.pkl", "model.pkl"):
            (model / name).write_bytes(evil)
        described = yaml.safe_load((model / "MLmodel").read_text())
        described["flavors"]["python_function"] |= {"loader_module": "mlflow.pyfunc.model", "python_model": "model.pkl"}
        described["flavors"]["sklearn"] |= {"serialization_format": "pickle", "pickled_model": "model.pkl"}
        (model / "MLmodel").write_text(yaml.safe_dump(described))

    def smuggle_and_tag() -> None:
        smuggle()
        change = "UPDATE model_version_tags SET value = ? WHERE key = 'trueup.digest' AND version = 1"
        siege.ask("mlflow/mlflow.db", change, digest_folder(model))

    def flip() -> None:
        content = bytearray((model / "model.skops").read_bytes())
        content[len(content) // 2] ^= 1
        (model / "model.skops").write_bytes(content)

    changes: list[Callable[[], object]] = [
        flip,
        lambda: (model / "extra.py").write_text("import os"),
        lambda: (model / "requirements.txt").unlink(),
        lambda: (model / "MLmodel").write_text((model / "MLmodel").read_text() + "\n"),
        smuggle,
        smuggle_and_tag,
    ]
    for change in changes:
        change()
        said = siege.trueup("explain", "--row", row, code=4)
        assert "not the one that was registered" in said and "Restore its files from a backup" in said
        shutil.rmtree(model)
        shutil.copytree(kept, model)
    siege.trueup("explain", "--row", row)
    # From here on version 2 has scored the row. That the tag in MLflow still names other files is no matter.
    said = siege.trueup("score", "--batch", readable(FILES[1]), "--force")
    assert "by version 2" in said

    for nonsense in (b"", b"[]", evil):
        _nonsense_is_found(siege, row, nonsense)
    _ledger_edits_are_found(siege, row)
    assert not canary.exists()


def _nonsense_is_found(siege: Siege, row: str, nonsense: bytes) -> None:
    paths = [siege.artifact(2, n) for n in ("reference.parquet", "profile.json", "curves.json", "project.yaml")]
    before = {path: path.read_bytes() for path in paths}
    for path in paths:
        path.write_bytes(nonsense)
    said = siege.trueup("explain", "--row", row, code=4)
    assert "changed or damaged since it was written" in said and "Restore it from a backup" in said
    if nonsense == b"[]":
        said = siege.trueup("monitor", "--batch", readable(FILES[1]), "--force", code=4)
        assert "profile.json" in said and "changed or damaged" in said
    with look_in(str(siege.file)) as workspace:
        publish(workspace, 2)  # without curves and without what the project file said
        served = load_served(workspace, 2)
        facts = replace(served, trained={**served.trained, "seen": {"how": "list"}})
        seen = siege.artifact(2, "seen.npy")
        seen.write_bytes(nonsense)
        if nonsense.startswith(b"\x80"):
            np.save(seen, np.array([Evil(siege.root / "canary")], dtype=object), allow_pickle=True)
        with pytest.raises(DataError, match="changed or damaged"):
            find_unseen_rows(workspace, facts, pd.DataFrame())  # type: ignore[arg-type]
        seen.unlink()
    for path, content in before.items():
        path.write_bytes(content)


def _ledger_edits_are_found(siege: Siege, row: str) -> None:
    newest = "seq = (SELECT max(seq) FROM entries WHERE step = 'release')"
    ((seq, payload),) = siege.ask("ledger.db", f"SELECT seq, payload FROM entries WHERE {newest}")
    changed = json.loads(payload)
    changed["release"]["champion"] = 1
    siege.ask("ledger.db", "UPDATE entries SET payload = ? WHERE seq = ?", json.dumps(changed), seq)
    found = f"row {seq} of project 'siege' cannot be read: it was changed after it was written"
    assert found in siege.trueup("history", code=4)
    assert found in siege.trueup("run", "--as-of", "2024-03-01", code=4)
    assert f"Row {seq} was changed" in siege.trueup("history", "--verify", code=4)
    assert found in siege.trueup("backup", siege.root / "copies", code=4)
    siege.ask("ledger.db", "UPDATE entries SET payload = ? WHERE seq = ?", payload, seq)

    ((seq, payload),) = siege.ask(
        "ledger.db", "SELECT seq, payload FROM entries WHERE step = 'train' AND subject = '2'"
    )
    for edit in (payload.replace('"digest"', '"other"'), "{}", "nonsense"):
        siege.ask("ledger.db", "UPDATE entries SET payload = ? WHERE seq = ?", edit, seq)
        assert f"row {seq} of project 'siege' cannot be read" in siege.trueup("explain", "--row", row, code=4)
    siege.ask("ledger.db", "UPDATE entries SET payload = ? WHERE seq = ?", payload, seq)
    assert "the ledger holds" in siege.trueup("history", "--verify")


@pytest.mark.parametrize(("content", "word"), [(b"a,b\n1,caf\xe9\n2,x\n", "UTF-8"), (b"a,a\n1,2\n", "twice")])
def test_bytes_and_headers_that_cannot_be_told(siege: Siege, content: bytes, word: str) -> None:
    write_siege(siege.root, data_docs=False)
    (siege.root / "work" / "tables" / "rows.csv").write_bytes(content)
    said = siege.trueup("run", "--as-of", "2024-03-01", code=3)
    assert "rows.csv" in said and word in said


def test_a_files_name_that_is_no_text(siege: Siege) -> None:
    write_siege(siege.root, data_docs=False)
    (siege.root / "work" / "tables" / os.fsdecode(b"caf\xe9.csv")).write_bytes(b"a\n1\n")
    assert "caf\\udce9.csv: the file's name is not UTF-8" in siege.trueup("run", "--as-of", "2024-03-01", code=3)
