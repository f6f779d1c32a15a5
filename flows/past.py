"""One policy lived through the past: the turns of its months in their order, in a home and a process of its own.

Started by the replay with what to do as JSON on standard input. What is done it writes down turn by turn, so that a
process that was killed is gone on from, and whoever waits for it sees how far it is.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flows.ages import Measured, measure_versions
from flows.engine.launch import flow
from flows.engine.usage import cpu_seconds
from flows.keys import monitor_key
from flows.monitor import monitor
from flows.parameters import Overrides, ProjectName
from flows.run import run
from flows.workspace import open_workspace
from tasks.errors import TrueupError
from tasks.files import whole_file

TURNS, AGES, ERROR = "turns.jsonl", "ages.json", "error.json"
START_TURNS = "turns-start.jsonl"  # what the turn took that every policy begins with


@dataclass(frozen=True)
class Turn:
    """A turn that was done: the moment it looked from, and its CPU seconds, those of the processes it began included.

    Of a turn that was cut off and done again it is what the last attempt took.
    """

    as_of: str
    cpu_seconds: float


@flow(name="past", run_name="replay {project}: {policy}")
def live_through(
    project: ProjectName,
    policy: str,
    moments: list[str],
    batches: list[str],
    closing: str | None,
    overrides: Overrides = [],  # noqa: B006 - never changed; a list makes Prefect's form show one
) -> int:
    """Do the turns of `moments` that were not done yet, then look at the windows of `batches` once more as of
    `closing`, when their labels are known, and measure every version on them. Returns how many turns there are."""
    home = Path(os.environ["TRUEUP_HOME"])
    done = {turn.as_of for turn in read_turns(home)}
    began_by = os.getppid()
    for moment in moments:
        if moment in done:
            continue
        if os.getppid() != began_by:  # whoever waits for this was killed, and may have begun another one
            return len(done)
        begun = cpu_seconds()
        run(project, moment, overrides)
        _note(home / TURNS, Turn(moment, cpu_seconds() - begun))
        done.add(moment)
    if closing is not None and not (home / AGES).exists():
        measured = _close(project, batches, closing, overrides)
        with whole_file(home / AGES) as file:
            file.write(json.dumps([asdict(m) for m in measured]).encode())
    return len(done)


def read_turns(home: Path, file: str = TURNS) -> tuple[Turn, ...]:
    """The turns that were done in a home, in their order; a line that was cut off is none."""
    path = home / file
    turns = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            turns.append(Turn(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return tuple(turns)


def read_ages(home: Path) -> tuple[Measured, ...]:
    """What every version of a home was worth on the windows after its training; nothing where that is not done yet."""
    path = home / AGES
    return tuple(Measured(**made) for made in json.loads(path.read_bytes())) if path.is_file() else ()


def _close(project: str, batches: Sequence[str], closing: str, overrides: list[str]) -> list[Measured]:
    with open_workspace(project, closing, overrides, "monitor") as workspace:
        for key in batches:
            due = monitor_key(workspace.project, workspace.batch(key), workspace.as_of)
            if workspace.ledger.find(workspace.project.name, "monitor", due) is None:
                monitor(project, closing, batch=key, overrides=overrides)
        return measure_versions(workspace, batches)


def _note(path: Path, turn: Turn) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{json.dumps(asdict(turn))}")
        file.flush()
        os.fsync(file.fileno())


def main(told: Mapping[str, Any]) -> int:
    """Live through it; what went wrong is written beside what was done, for whoever waits."""
    error = Path(os.environ["TRUEUP_HOME"]) / ERROR
    error.unlink(missing_ok=True)
    try:
        live_through(**told)
    except TrueupError as found:
        error.write_text(json.dumps({"message": str(found), "kind": type(found).__name__}), encoding="utf-8")
        return found.exit_code
    except Exception as found:  # noqa: BLE001 - whatever it is, who waits for this process must learn of it
        traceback.print_exc()  # to the log of this process, which the replay names
        said = f"{type(found).__name__}: {found}"
        error.write_text(json.dumps({"message": said, "kind": "InfrastructureError"}), encoding="utf-8")
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main(json.load(sys.stdin)))
