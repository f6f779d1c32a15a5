"""The grammar of the `trueup` command. Imports nothing heavy: `trueup --help` answers at once."""

from __future__ import annotations

import argparse
from typing import Any

EPILOG = """exit codes: 0 done; 1 a model was rejected, a batch refused or a window degraded or broken in this turn;
2 the command or the project file is wrong; 3 the data cannot be used; 4 a store, server, lock or disk failed.
For 2 and 3 nothing is written."""
STEPS = {
    "run": "bring a project up to date: validate, train, release, score and monitor what is due",
    "validate": "check batches against the project's contract",
    "train": "train a challenger, judge it, and release it if it passed",
    "score": "score the batches that were not scored yet, with the champion (and a held challenger in shadow)",
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
    "page": (
        "flows.overview:tell_page",
        "write the project's page and the index of all projects, from the ledger alone, and say whether all is well",
        {},
    ),
    "reproduce": (
        "flows.reproduce:reproduce",
        "train a version again from what was recorded, and say whether it is the same",
        {"version": {"type": int, "help": "the model's version"}},
    ),
    "backup": ("flows.backup:back_up", "copy everything that is kept into a new folder under DIR, checksummed", FOLDER),
    "restore": ("flows.restore:restore", "put a backup into an empty home, after checking it", FOLDER),
    "prune": (
        "flows.prune:prune",
        "remove old files and models that nothing refers to",
        {
            "--keep": {"metavar": "N", "type": int, "required": True, "help": "how many of the newest to keep of each"},
            "--dry-run": {"action": "store_true", "help": "only say what would go"},
        },
    ),
}


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
            step.set_defaults(act="run")
        else:
            if name != "train":
                step.add_argument("--batch", metavar="KEY", help="this batch only, such as 2013-04")
            step.set_defaults(act="step")
    _add_replay(commands)
    _add_decisions(commands)
    _add_answers(commands)
    schema = commands.add_parser("schema", help="print the JSON Schema of a project file, for editors")
    schema.set_defaults(act="schema")
    for name, text in (
        ("ui", "start the pages of Prefect, MLflow and Evidently, and say where they are"),
        ("up", "keep a local Prefect server running: schedules run, and commands start faster"),
        ("down", "stop the local Prefect server"),
    ):
        page = commands.add_parser(name, help=text)
        page.add_argument("--project", default=None, help="the project whose home is meant (default: this folder's)")
        if name == "up":
            page.add_argument("--port", type=int, default=None, help="default 4200, or a free one")
        page.set_defaults(act=name)
    return parser


def _add_replay(commands: Any) -> None:
    """The loop over the past."""
    text = "live through the past under several policies of retraining, and compare them on a page"
    past = commands.add_parser("replay", help=text, description=text[0].upper() + text[1:] + ".")
    past.add_argument("project", help="a name (flights for configs/flights.yaml) or a path to a project file")
    past.add_argument("--from", dest="begin", default=None, metavar="BATCH",
                      help="the first batch to live through, such as 2013-04 (default: the second)")  # fmt: skip
    past.add_argument("--to", dest="end", default=None, metavar="BATCH",
                      help="the last batch to live through (default: the newest complete one)")  # fmt: skip
    past.add_argument("--policy", dest="policies", default="never,monthly,on-health", metavar="NAMES",
                      help="never, weekly, monthly, quarterly, on-health, own (as the project file says)")  # fmt: skip
    past.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                      help="change a key of the project file, such as train.search.trials=5")  # fmt: skip
    past.set_defaults(act="replay")


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
        decision.set_defaults(act="decide")


def _add_answers(commands: Any) -> None:
    """Commands that answer a question, or look after the home: each a function of its own module."""
    for name, (module, text, arguments) in ANSWERS.items():
        answer = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        answer.add_argument("project")
        for argument, settings in arguments.items():
            answer.add_argument(argument, **settings)
        answer.set_defaults(act="answer", answered_by=module)


def _version() -> str:
    from importlib.metadata import version

    return version("trueup")
