"""The `trueup` command: a thin door to the flows, and the only place that prints."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO

from flows.engine.environment import collect_rarely
from flows.grammar import make_parser
from flows.moment import MOMENT_PATTERN
from tasks.errors import ConfigError, TrueupError


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Parse, act, and exit with the code that DESIGN and `--help` state."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    collect_rarely()
    try:
        code = ACTS[options.act](options)
    except TrueupError as error:
        _print(f"trueup: {error}", sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("trueup: interrupted. The next run goes on where this one stopped.", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    gc.freeze()  # all of it goes with the process, and need not be looked over once more
    sys.exit(code)


def _check_begun(project: str) -> None:
    """Before a flow run is recorded in a home that is not there."""
    from flows.workspace import check_begun
    from tasks.config import load_project

    check_begun(load_project(project))


def _prepare(project: str | None) -> Path:
    """Set what the libraries read from the environment, before any of them is imported; the project's home."""
    from flows.engine.environment import prepare_environment
    from tasks.config import find_home, find_project_file, project_root

    home = find_home(project_root(find_project_file(project)) if project else Path.cwd())
    prepare_environment(home)
    return home


def _show_progress() -> None:
    """Long work says what it is at, on stderr, so that the report on stdout stays clean."""
    import logging

    from tasks.config import readable

    class Readable(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return readable(super().format(record))

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Readable("  ... %(message)s"))
    progress = logging.getLogger("trueup.progress")
    progress.setLevel(logging.INFO)
    progress.handlers = [handler]
    progress.propagate = False


def _run(options: argparse.Namespace) -> int:
    from flows.preview import preview_turn

    _prepare(options.project)
    _check_moment(options.as_of)
    preview = preview_turn(options.project, options.as_of, options.overrides)
    if options.explain:
        for step in preview.plan.steps:
            due = "due " if step.due or options.force else "skip"
            _print(f"{due}  {step.action:<8} {step.subject:<12} {step.why}")
        if not preview.silent:
            _print(f"due   {'alert':<8} {'health':<12} a change of health was not told yet, or did not reach everyone")
    if preview.idle and not options.force:
        from flows.overview import refresh_overview

        refresh_overview(preview.project)
        _print(preview.up_to_date())
        return 0
    _show_progress()
    from flows.run import run

    report = run(options.project, options.as_of, options.overrides, options.force)
    _print_report(report)
    return report.exit_code


def _step(options: argparse.Namespace) -> int:
    _prepare(options.project)
    _check_moment(options.as_of)
    import importlib

    from flows.preview import preview_turn
    from flows.summary import newest_seq, report_of
    from tasks.ledger import open_ledger

    _show_progress()
    batch = None if options.command == "train" else options.batch
    loaded = preview_turn(options.project, options.as_of, options.overrides, options.command, batch).project
    with open_ledger(loaded.home) as ledger:
        since = newest_seq(ledger, loaded.name)
        step = getattr(importlib.import_module(f"flows.{options.command}"), options.command)
        more = {} if options.command == "train" else {"batch": batch}
        step(options.project, options.as_of, overrides=options.overrides, force=options.force, **more)
        report = report_of(loaded, ledger, since, f"{loaded.name}: {options.command}")
    _print_report(report)
    return report.exit_code


def _decide(options: argparse.Namespace) -> int:
    if len(options.reason.strip()) < 3:
        raise ConfigError("--reason: expected a few words that will still make sense in a year.")
    _prepare(options.project)
    _check_begun(options.project)
    _show_progress()
    from flows.release import release

    _print(
        release(
            project=options.project,
            version=options.version,
            action=options.command,
            reason=options.reason.strip(),
            override=getattr(options, "override", False),
        )
    )
    return 0


def _answer(options: argparse.Namespace) -> int:
    import importlib

    _prepare(options.project)
    if options.command == "reproduce":
        _check_begun(options.project)
    _show_progress()
    module, _, function = options.answered_by.partition(":")
    apart = ("command", "act", "answered_by")
    wanted = {name: value for name, value in vars(options).items() if name not in apart}
    answer = getattr(importlib.import_module(module), function)(**wanted)
    _print_report(answer)
    return int(answer.exit_code)


def _replay(options: argparse.Namespace) -> int:
    _prepare(options.project)
    from flows.walk import note_asked, plan_replay

    given = (options.project, options.begin, options.end, options.policies.split(","), options.overrides)
    note_asked(plan_replay(*given))  # what cannot be is said before anything is written
    _show_progress()
    from flows.replay import replay
    from flows.replayed import describe_replay

    replay(*given)
    _print_report(describe_replay(plan_replay(*given)))
    return 0


def _schema(options: argparse.Namespace) -> int:
    from tasks.config import json_schema

    print(json.dumps(json_schema(), indent=2))
    return 0


def _ui(options: argparse.Namespace) -> int:
    home = _prepare(options.project)
    from flows.engine.pages import open_pages

    with open_pages(home) as pages:
        for name, address in pages.addresses.items():
            print(f"{name:<10} {address}")
        print("Ctrl-C ends them.", flush=True)
        with suppress(KeyboardInterrupt):
            pages.wait()
    return 0


def _up(options: argparse.Namespace) -> int:
    home = _prepare(options.project)
    from flows.engine.server import start_server

    address = start_server(home, port=options.port)
    print(f"Prefect is up: {address}\nexport PREFECT_API_URL={address}/api   # for prefect deploy and workers")
    return 0


def _down(options: argparse.Namespace) -> int:
    home = _prepare(options.project)
    from flows.engine.server import stop_server

    print(stop_server(home))
    return 0


def _print_report(report: Any) -> None:
    for line in report.lines:
        _print(line)


def _print(text: str, file: TextIO | None = None) -> None:
    """Print lines. Names and values in them come from strangers: none steers the terminal, or fails in its encoding."""
    from tasks.config import readable

    stream = sys.stdout if file is None else file
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(readable(text, keep="\n").encode(encoding, "backslashreplace").decode(encoding), file=stream)


def _check_moment(text: str) -> None:
    import re

    if not re.match(MOMENT_PATTERN, text):
        raise ConfigError(
            f"--as-of {text}: expected now, next, or an ISO date or time such as 2013-05-01 or 2013-05-01T06:00."
        )


ACTS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "step": _step,
    "decide": _decide,
    "answer": _answer,
    "replay": _replay,
    "schema": _schema,
    "ui": _ui,
    "up": _up,
    "down": _down,
}


if __name__ == "__main__":
    main()
