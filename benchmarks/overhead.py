"""What `trueup train` costs beside a script written by hand: `python -m benchmarks.overhead`, or `make benchmark`.

CPU seconds (user and system) of a command and all that it starts, of several repetitions that take turns, so that a
busy machine is busy for all of them. Nothing fails here: it prints. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = sys.executable
TRUEUP = [PYTHON, "-m", "flows"]
AS_OF = ["--as-of", "2013-04-01"]
TRAIN = [
    "train", "flights", *AS_OF, "--force",
    "--set", "train.search.trials=1", "--set", "train.candidates=[logistic]",
    "--set", "train.plots=false", "--set", "contract.data_docs=false",
]  # fmt: skip
DEMO = ["run", "flights", "--as-of", "2013-05-01"]
LIBRARIES = ("prefect", "mlflow", "great-expectations", "evidently", "scikit-learn", "pandas", "numpy", "skops")
TARGETS = {"without a server": 20.0, "with a server": 10.0}
_SUBREAPER = 36  # prctl: a process whose parent ended becomes our child, and its CPU time ours to count


@dataclass(frozen=True)
class Used:
    """What a command and all that it started used, in seconds."""

    cpu: float
    wall: float


@dataclass
class Bench:
    """A home, and the environment of the commands that run over it."""

    home: Path
    repeat: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, command: Sequence[str]) -> Used:
        """Run a command to its end; its words go to a log, which is shown where it fails."""
        variables = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "TRUEUP_"))},
            "TRUEUP_HOME": str(self.home),
            "OMP_NUM_THREADS": "1",
            "DO_NOT_TRACK": "true",
            **self.environment,
        }
        log = self.home.with_suffix(".log")
        started = time.monotonic()
        with log.open("wb") as file:
            actions = [(os.POSIX_SPAWN_DUP2, file.fileno(), number) for number in (1, 2)]
            pid = os.posix_spawn(command[0], command, variables, file_actions=actions)
            _, status, usage = os.wait4(pid, 0)
        cpu = usage.ru_utime + usage.ru_stime + _reap_orphans()
        if os.waitstatus_to_exitcode(status) not in (0, 1):  # 1: a gate or a window says no, which is no failure
            sys.exit(f"{' '.join(command)} failed:\n{log.read_text(errors='replace')}")
        return Used(cpu, time.monotonic() - started)

    def contract_of_its_own(self) -> list[str]:
        """A limit that differs from all before in its 7th digit: the contract is another one, and all is checked."""
        self.repeat += 1
        return ["--set", f"contract.max_quarantine={0.02 + self.repeat * 1e-7:.7f}"]


def _reap_orphans() -> float:
    """CPU seconds of processes that ended after the one that started them."""
    cpu = 0.0
    while True:
        try:
            pid, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return cpu
        if pid == 0:
            return cpu
        cpu += usage.ru_utime + usage.ru_stime


@contextmanager
def served(bench: Bench) -> Iterator[Path]:
    """A local server over the bench's home; gives its process's folder in /proc."""
    bench.run([*TRUEUP, "up"])
    try:
        note = json.loads((bench.home / "prefect" / "server.json").read_text())
        yield Path("/proc") / str(note["pid"])
    finally:
        bench.run([*TRUEUP, "down"])


def _cpu_of(process: Path) -> float:
    numbers = (process / "stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


def break_down(bench: Bench, command: Sequence[str]) -> tuple[Used, dict[str, float]]:
    """Where a trueup command's CPU seconds go, by part."""
    file = bench.home.with_suffix(".parts.json")
    file.unlink(missing_ok=True)
    used = bench.run([PYTHON, "-m", "benchmarks.parts", str(file), *command])
    if not file.exists():
        sys.exit(f"The parts were not counted:\n{bench.home.with_suffix('.log').read_text(errors='replace')}")
    parts: dict[str, float] = json.loads(file.read_text())
    parts["the end of the process"] = max(used.cpu - sum(parts.values()), 0.0)
    return used, parts


def _say(name: str, many: Sequence[Used], bare: float | None = None) -> float:
    cpu = [u.cpu for u in many]
    middle = statistics.median(cpu)
    line = (
        f"{name:<44}{middle:>7.2f}   {min(cpu):>6.2f} - {max(cpu):<6.2f}{statistics.median(u.wall for u in many):>7.1f}"
    )
    if bare is not None:
        line += f"   {middle / bare:>5.1f} x   {middle - bare:>+6.2f}"
    print(line, flush=True)
    return middle


def _say_parts(title: str, columns: Mapping[str, tuple[Used, dict[str, float]]]) -> None:
    print(f"\n{title}\n{'':<44}" + "".join(f"{name:>20}" for name in columns))
    last = next(iter(columns.values()))[1]
    rest: dict[str, float] = {}
    for _, parts in columns.values():
        rest |= {name: max(rest.get(name, 0.0), spent) for name, spent in parts.items()}
    for name in sorted(rest, key=lambda n: -last.get(n, 0.0)):
        if rest[name] >= 0.01:
            print(f"{name:<44}" + "".join(f"{parts.get(name, 0.0):>20.2f}" for _, parts in columns.values()))
    print(f"{'in all':<44}" + "".join(f"{used.cpu:>20.2f}" for used, _ in columns.values()), flush=True)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=main.__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--no-demo", action="store_true", help="leave out the whole turn from nothing")
    options = parser.parse_args()
    os.chdir(ROOT)
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    print(f"Python {sys.version.split()[0]}, " + ", ".join(f"{name} {version(name)}" for name in LIBRARIES))
    with tempfile.TemporaryDirectory(prefix="trueup-benchmark-") as name:
        alone, beside, demo = (Bench(Path(name) / home) for home in ("alone", "beside", "demo"))
        data = str(ROOT / "data" / "flights")
        train = [*TRUEUP, *TRAIN]
        for bench in (alone, beside):
            bench.run([*train, *bench.contract_of_its_own()])  # the home's databases, and all caches, are warm now
        used: dict[str, list[Used]] = {}
        shares = []
        with served(beside) as server:
            for _ in range(options.repetitions):
                for what, bench, command in (
                    ("bare", alone, [PYTHON, "-m", "benchmarks.bare", data]),
                    ("folds", alone, [PYTHON, "-m", "benchmarks.bare", data, "--folds"]),
                    ("alone", alone, [*train, *alone.contract_of_its_own()]),
                    ("again", alone, train),
                    ("beside", beside, [*train, *beside.contract_of_its_own()]),
                    ("help", alone, [*TRUEUP, "--help"]),
                ):
                    before = _cpu_of(server)
                    used.setdefault(what, []).append(bench.run(command))
                    if what == "beside":
                        shares.append(_cpu_of(server) - before)
            parts = {
                "without a server": break_down(alone, [*TRAIN, *alone.contract_of_its_own()]),
                "with a server": break_down(beside, [*TRAIN, *beside.contract_of_its_own()]),
            }
        print(f"\nCPU seconds, of {options.repetitions} repetitions that took turns")
        print(f"{'':<44}{'median':>7}   {'least - most':<15}{'wall':>5}   {'ratio':>7}   {'more':>6}")
        bare = _say("by hand", used["bare"])
        _say("by hand, the trial scored on folds too", used["folds"], bare)
        over = {
            "without a server": _say("trueup train, without a server", used["alone"], bare),
            "with a server": _say("trueup train, with a server up", used["beside"], bare),
        }
        print(f"{'  (and in that server meanwhile)':<44}{statistics.median(shares):>7.2f}")
        _say("trueup train, months checked before", used["again"], bare)
        _say("trueup --help", used["help"])
        for what, most in TARGETS.items():
            print(f"{what}: {over[what] - bare:+.2f} CPU seconds over the script by hand; the target is +{most:.0f}")
        _say_parts("Where they go in trueup train, in one run of each", parts)
        if not options.no_demo:
            whole = break_down(demo, DEMO)
            idle = [demo.run([*TRUEUP, *DEMO]) for _ in range(options.repetitions)]
            _say_parts(f"A whole turn from nothing: trueup {' '.join(DEMO)}", {"cold": whole})
            print(f"Wall {whole[0].wall:.0f} s. The same once more, which is up to date:")
            _say("trueup run, up to date", idle)


if __name__ == "__main__":
    main()
