"""The `trueup` command: a thin door to the flows, and the only place that prints."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from flows.environment import collect_rarely
from flows.moment import MOMENT_PATTERN
from tasks.errors import ConfigError, TrueupError

EPILOG = """exit codes: 0 done; 1 a model was rejected, a batch refused or a window degraded or broken in this turn;
2 the command or the project file is wrong; 3 the data cannot be used; 4 a store, server, lock or disk failed.
For 2 and 3 nothing is written."""
STEPS = {
    "run": "bring a project up to date: validate, train, release, score and monitor what is due",
    "validate": "check batches against the project's contract",
    "train": "train a challenger, judge it, and release it if it passed",
    "score": "score the batches that were not scored yet, with the champion",
    "monitor": "look at scored batches: labels, performance, drift, health",
}

DECISIONS = {
    "approve": "release a version that waits for a person",
    "reject": "refuse a version",
    "promote": "release a version whose gates passed, or overrule them",
    "rollback": "make an earlier champion the champion again (default: the one before)",
}
FOLDER = {"folder": {"metavar": "DIR"}}
ANSWERS: dict[str, tuple[str, str, dict[str, dict[str, Any]]]] = {
    "history": (
        "flows.history:tell_history",
        "tell every decision about a project's models, or who was champion at a time",
        {
            "--at": {"metavar": "DATE", "default": None, "help": "who was champion then: an ISO date or time"},
            "--verify": {"action": "store_true", "help": "check that no row of the ledger was changed"},
            "--limit": {"metavar": "N", "type": int, "default": None, "help": "the newest N decisions only"},
        },
    ),
    "explain": (
        "flows.explain:explain",
        "explain the score of one row: from its raw values through features to the decision",
        {
            "--row": {"metavar": "ID", "required": True, "help": "its id, or its position where there is no id column"},
            "--batch": {"metavar": "KEY", "default": None, "help": "the batch it was scored in (default: the newest)"},
        },
    ),
    "reproduce": (
        "flows.reproduce:reproduce",
        "train a version again from what was recorded, and say whether it is the same",
        {"version": {"type": int, "help": "the model's version"}},
    ),
    "backup": ("flows.backup:back_up", "copy everything that is kept into a new folder under DIR, checksummed", FOLDER),
    "restore": ("flows.backup:restore", "put a backup into an empty home, after checking it", FOLDER),
    "prune": (
        "flows.prune:prune",
        "remove old files and models that nothing refers to",
        {
            "--keep": {"metavar": "N", "type": int, "required": True, "help": "how many of the newest to keep of each"},
            "--dry-run": {"action": "store_true", "help": "only say what would go"},
        },
    ),
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Parse, act, and exit with the code that DESIGN and `--help` state."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    collect_rarely()
    try:
        code = options.act(options)
    except TrueupError as error:
        print(f"trueup: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("trueup: interrupted. The next run goes on where this one stopped.", file=sys.stderr)
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    gc.freeze()  # all of it goes with the process, and need not be looked over once more
    sys.exit(code)


def make_parser() -> argparse.ArgumentParser:
    """The command's grammar. Importing nothing heavy: `trueup --help` answers at once."""
    parser = argparse.ArgumentParser(
        prog="trueup",
        description="The whole life of a model on a table, from one YAML file.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"trueup {_version()}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for name, text in STEPS.items():
        step = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        step.add_argument("project", help="a name (flights for configs/flights.yaml) or a path to a project file")
        step.add_argument("--as-of", default="now", metavar="WHEN", help="now, next, or an ISO date or time")
        step.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                          help="change a key of the project file, such as train.search.trials=5")  # fmt: skip
        step.add_argument("--force", action="store_true", help="do it again even where nothing changed")
        if name == "run":
            step.add_argument("--explain", action="store_true", help="say for each step why it is due or not")
            step.set_defaults(act=_run)
        else:
            if name != "train":
                step.add_argument("--batch", metavar="KEY", help="this batch only, such as 2013-04")
            step.set_defaults(act=_step)
    _add_decisions(commands)
    _add_answers(commands)
    schema = commands.add_parser("schema", help="print the JSON Schema of a project file, for editors")
    schema.set_defaults(act=_schema)
    for name, text, act in (
        ("ui", "start the pages of Prefect, MLflow and Evidently, and say where they are", _ui),
        ("up", "keep a local Prefect server running: schedules run, and commands start faster", _up),
        ("down", "stop the local Prefect server", _down),
    ):
        page = commands.add_parser(name, help=text)
        page.add_argument("--project", default=None, help="the project whose home is meant (default: this folder's)")
        if name == "up":
            page.add_argument("--port", type=int, default=None, help="default 4200, or a free one")
        page.set_defaults(act=act)
    return parser


def _add_decisions(commands: Any) -> None:
    """What a person decides about a version."""
    for action, text in DECISIONS.items():
        decision = commands.add_parser(action, help=text, description=text[0].upper() + text[1:] + ".")
        decision.add_argument("project")
        optional = {"nargs": "?", "default": None} if action == "rollback" else {}
        decision.add_argument("version", type=int, help="the model's version", **optional)
        decision.add_argument("--reason", required=True, help="why; kept in the ledger")
        if action == "promote":
            decision.add_argument(
                "--override", action="store_true", help="overrule gates that did not pass; loudly kept"
            )
        decision.set_defaults(act=_decide)


def _add_answers(commands: Any) -> None:
    """Commands that answer a question, or look after the home: each a function of its own module."""
    for name, (module, text, arguments) in ANSWERS.items():
        answer = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        answer.add_argument("project")
        for argument, settings in arguments.items():
            answer.add_argument(argument, **settings)
        answer.set_defaults(act=_answer, answered_by=module)


def _prepare(project: str | None) -> Path:
    """Set what the libraries read from the environment, before any of them is imported; the project's home."""
    from flows.environment import prepare_environment
    from tasks.config import find_home, find_project_file, project_root

    home = find_home(project_root(find_project_file(project)) if project else Path.cwd())
    prepare_environment(home)
    return home


def _show_progress() -> None:
    """Long work says what it is at, on stderr, so that the report on stdout stays clean."""
    import logging

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("  ... %(message)s"))
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
            print(f"{'due ' if step.due or options.force else 'skip'}  {step.action:<8} {step.subject:<12} {step.why}")
    if not preview.due and not options.force:
        print(preview.up_to_date())
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
    home = _prepare(options.project)
    if not home.exists() and not os.environ.get("TRUEUP_DATABASE_URL"):
        raise ConfigError(
            f"{options.command}: nothing was trained yet, {home} is not there. "
            f"Train first: trueup run {options.project}; or check TRUEUP_HOME."
        )
    from flows.release import release

    print(
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
    _show_progress()
    module, _, function = options.answered_by.partition(":")
    apart = ("command", "act", "answered_by")
    wanted = {name: value for name, value in vars(options).items() if name not in apart}
    answer = getattr(importlib.import_module(module), function)(**wanted)
    _print_report(answer)
    return int(answer.exit_code)


def _schema(options: argparse.Namespace) -> int:
    from tasks.config import json_schema

    print(json.dumps(json_schema(), indent=2))
    return 0


def _ui(options: argparse.Namespace) -> int:
    home = _prepare(options.project)
    from flows.pages import open_pages

    with open_pages(home) as pages:
        for name, address in pages.addresses.items():
            print(f"{name:<10} {address}")
        print("Ctrl-C ends them.", flush=True)
        with suppress(KeyboardInterrupt):
            pages.wait()
    return 0


def _up(options: argparse.Namespace) -> int:
    home = _prepare(options.project)
    from flows.server import start_server

    address = start_server(home, port=options.port)
    print(f"Prefect is up: {address}\nexport PREFECT_API_URL={address}/api   # for prefect deploy and workers")
    return 0


def _down(options: argparse.Namespace) -> int:
    home = _prepare(options.project)
    from flows.server import stop_server

    print(stop_server(home))
    return 0


def _print_report(report: Any) -> None:
    for line in report.lines:
        print(line)


def _check_moment(text: str) -> None:
    import re

    if not re.match(MOMENT_PATTERN, text):
        raise ConfigError(
            f"--as-of {text}: expected now, next, or an ISO date or time such as 2013-05-01 or 2013-05-01T06:00."
        )


def _version() -> str:
    from importlib.metadata import version

    return version("trueup")


if __name__ == "__main__":
    main()
