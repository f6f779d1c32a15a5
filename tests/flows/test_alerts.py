"""Who is told of a change of health, in what words, and how often: once."""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flows.alerts import ATTEMPTS
from flows.cli import main
from flows.engine.notices import read_addresses
from tasks.errors import ConfigError
from tests.conftest import MakeProject, make_rows
from tests.flows.announcing import Watched
from tests.flows.conftest import Rows
from tests.servers import Mailbox, Webhook

ROOT = Path(__file__).resolve().parents[2]
SECRET = "hunter2-token"
Ask = Callable[[str], Rows]


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    webhook = Webhook()
    yield webhook
    webhook.close()


@pytest.fixture
def watched(home: Path, make_project: MakeProject, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setenv("TRUEUP_ALERTS", f"json://{webhook.place}/{SECRET}")
    monkeypatch.delenv("PREFECT_LOGGING_LEVEL", raising=False)
    return Watched(make_project({"rows.parquet": make_rows(400, months=10)}))


@pytest.fixture
def events(ask: Ask) -> Callable[[], list[tuple[str, dict[str, Any]]]]:
    """The names and payloads of our events in Prefect's database, in their order."""

    def events() -> list[tuple[str, dict[str, Any]]]:
        found = ask("SELECT event, payload FROM events WHERE event LIKE 'trueup.%' ORDER BY occurred")
        return [(name, json.loads(payload)) for name, payload in found]

    return events


def test_a_change_is_told_once(watched: Watched, webhook: Webhook, events: Callable[[], Any], ask: Ask) -> None:
    watched.look("2024-01", "healthy")
    watched.turn()
    assert webhook.posted == [] and watched.alerts() == [] and events() == [], "a first healthy window is no change"

    watched.look("2024-02", "degraded", "average precision .31 [.29, .33] on 2,611 labelled rows; promised .41")
    watched.turn()
    (told,) = webhook.posted
    assert told["title"] == "trueup: shop 2024-02 degraded" and told["type"] == "failure"
    path = str(watched.project.path)
    for words in (
        "average precision .31 [.29, .33] on 2,611 labelled rows; promised .41.\n",
        f"What to do: train a challenger, and let the gates decide: trueup train {path} --as-of 2025-01-01\n",
        "Where to look: trueup ui ",
        "model version 3; before: healthy; as of 2025-01-01 00:00 (UTC)",
    ):
        assert words in told["message"], told["message"]
    ((name, payload),) = events()
    assert name == "trueup.health.degraded"
    assert payload == {
        "project": path,
        "batch": "2024-02",
        "health": "degraded",
        "previous": "healthy",
        "sentence": "average precision .31 [.29, .33] on 2,611 labelled rows; promised .41",
        "action": "retrain",
        "version": 3,
        "as_of": "2025-01-01T00:00:00+00:00",
    }
    (resource,) = ask("SELECT resource FROM events WHERE event LIKE 'trueup.%'")
    about = {"prefect.resource.id": "trueup.project.shop", "prefect.resource.name": "shop"}
    assert about.items() <= json.loads(resource[0]).items()
    (alert,) = watched.alerts()
    assert (alert.subject, alert.outcome) == ("2024-02", "degraded")
    assert {name: d["state"] for name, d in alert.payload["channels"].items()} == {"prefect": "sent", "json": "sent"}

    watched.turn()
    watched.look("2024-02", "degraded", "the same again with more labels: .32")  # by force, or as labels came
    watched.look("2024-03", "degraded", "and so it goes on: .30")
    watched.look("2024-04", "healthy", "no label is known yet", labelled=0)
    watched.turn()
    assert len(webhook.posted) == len(events()) == len(watched.alerts()) == 1, webhook.titles

    watched.look("2024-04", "degraded", "another cause", cause="labels changed their form")
    watched.look("2024-05", "healthy", "as promised")
    watched.turn()
    assert webhook.titles[1:] == ["trueup: shop 2024-05 recovered, and 1 more change of health"]
    assert webhook.posted[1]["type"] == "success" and "What to do: nothing." in webhook.posted[1]["message"]
    assert [name for name, _ in events()[1:]] == ["trueup.health.degraded", "trueup.health.healthy"]
    assert events()[-1][1]["previous"] == "degraded"


def test_a_late_label_changes_an_older_window(watched: Watched, webhook: Webhook, events: Callable[[], Any]) -> None:
    watched.look("2024-01", "healthy")
    watched.look("2024-02", "healthy", labelled=0)
    watched.look("2024-03", "broken", "column 'a' fell silent")
    watched.turn()
    watched.look("2024-02", "degraded", "labels came")
    watched.turn()
    watched.turn()
    assert webhook.titles == ["trueup: shop 2024-03 broken", "trueup: shop 2024-02 degraded"]
    watched.look("2024-04", "broken", "column 'b' fell silent")  # another fault; and then the same with other numbers
    watched.look("2024-05", "broken", "column 'b' fell silent")
    watched.turn()
    watched.look("2024-05", "healthy", "the source was mended")
    watched.turn()
    assert webhook.titles[2:] == ["trueup: shop 2024-04 broken", "trueup: shop 2024-05 recovered"]
    watched.look("2024-05", "broken", "column 'b' fell silent")  # what was said last is no longer so
    watched.turn()
    watched.turn()
    assert webhook.titles[4:] == ["trueup: shop 2024-05 broken"]
    assert len(events()) == 5


def test_many_windows_at_once_are_one_alert(watched: Watched, webhook: Webhook, events: Callable[[], Any]) -> None:
    for month in range(1, 9):
        watched.look(f"2024-{month:02}", "degraded" if month % 2 else "healthy")
    watched.look("2024-09", "drifting", "a little", alarm=False)  # an event, and no alert
    watched.turn()
    (told,) = webhook.posted
    assert told["title"] == "trueup: shop 2024-08 recovered, and 7 more changes of health"
    listed = [line.split(":")[0] for line in told["message"].splitlines() if line.startswith(("- ", "..."))]
    assert listed[:2] == ["- 2024-08 recovered", "- 2024-07 degraded"] and len(listed) == 6
    assert listed[-1] == "... and 3 more"
    assert [payload["batch"] for _, payload in events()] == [f"2024-{month:02}" for month in range(1, 10)]
    watched.overrides = ["monitor.alert_on=[broken]"]
    watched.look("2024-10", "degraded")
    watched.turn()
    assert len(webhook.posted) == 1 and len(events()) == 10
    watched.overrides = []
    watched.turn()
    assert len(webhook.posted) == 1, "what was left out by choice is not made up for"


def test_a_channel_that_fails_is_tried_again_by_itself(
    watched: Watched, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    other, gone = Webhook(), Webhook()
    gone.close()
    other.status = 503
    addresses = [f"json://{place}/{SECRET}?+x-key={SECRET}" for place in (webhook.place, other.place, gone.place)]
    monkeypatch.setenv("TRUEUP_ALERTS", f"{addresses[0]}, {addresses[1]}\n{addresses[2]}")
    with caplog.at_level(logging.DEBUG):
        watched.look("2024-01", "degraded")
        watched.turn()
        states = watched.alerts()[-1].payload["channels"]
        assert states["json"] == {"state": "sent", "attempts": 1, "reason": None}
        assert states["json 2"] == {"state": "failed", "attempts": 1, "reason": "it answered 503"}
        assert states["json 3"] == {"state": "failed", "attempts": 1, "reason": "no connection"}
        assert "the json 2 address in TRUEUP_ALERTS: it answered 503; the next turn tries again" in caplog.text
        other.status = 200
        for _ in range(ATTEMPTS + 1):
            watched.turn()
    assert len(webhook.posted) == 1 and len(other.posted) == 2, "only who had not got it gets it again"
    assert other.posted[1]["message"] == webhook.posted[0]["message"]
    assert len(watched.alerts()) == ATTEMPTS, "so many attempts in all"
    assert f"json 3 address in TRUEUP_ALERTS: no connection; given up after {ATTEMPTS} attempts" in caplog.text
    watched.look("2024-02", "healthy")
    watched.turn()
    assert webhook.titles == other.titles[1:] == ["trueup: shop 2024-01 degraded", "trueup: shop 2024-02 recovered"]
    said = caplog.text + "".join(capfd.readouterr()) + repr(watched.alerts()) + repr(read_addresses())
    assert SECRET not in said and other.place not in said, "an address is a secret"
    other.close()


def test_text_of_strangers_is_text(watched: Watched, webhook: Webhook) -> None:
    hostile = (
        "'<img src=x onerror=alert(1)>' <!channel> <http://evil.example|here> [pay](https://evil.example) @everyone "
        "`x` www.evil.example \x1b[31m\u202e " + "long " * 200
    )
    watched.look("2024-01", "broken", hostile)
    watched.turn()
    message = webhook.posted[0]["message"]
    first = message.splitlines()[0]
    assert len(first) < 550 and first.startswith("'‹img src=x onerror=alert(1)›' ‹!channel›")  # noqa: RUF001
    assert not any(part in message for part in ("<", "](", "://", "@", "`", "www.", "\x1b", "\u202e"))


def test_a_mail_is_read_as_text(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox()
    address = f"mailto://127.0.0.1:{mailbox.port}?smtp=127.0.0.1&mode=insecure&from=loop@example.org&to=me@example.org"
    monkeypatch.setenv("TRUEUP_ALERTS", address)
    watched.look("2024-01", "broken", "column '<b>\r\nBcc: all@example.org' fell silent & is gone")
    watched.turn()
    mailbox.close()
    (mail,) = mailbox.mails
    assert mail["Subject"] == "trueup: shop 2024-01 broken" and "Bcc" not in mail and "me@example.org" in mail["To"]
    page = mail.get_body(("html",))
    assert page is not None and "column '‹b› Bcc: all(at)example.org' fell silent &amp; is gone." in html(page)  # noqa: RUF001
    assert watched.alerts()[0].payload["channels"]["mailto"]["state"] == "sent"


def html(part: Any) -> str:
    return str(part.get_content()).replace("&#x27;", "'").replace("&nbsp;", " ").replace("&apos;", "'")


def test_killed_before_it_was_recorded(watched: Watched, webhook: Webhook, events: Callable[[], Any]) -> None:
    watched.look("2024-01", "degraded")
    killed = _start(watched, TRUEUP_CRASH_AT="after-alert")
    assert killed.wait(120) == -signal.SIGKILL
    assert len(webhook.posted) == 1 and watched.alerts() == []

    both = [_start(watched), _start(watched)]  # at once: one tells it, for the last time
    assert [process.wait(120) for process in both] == [0, 0]
    assert webhook.titles == ["trueup: shop 2024-01 degraded"] * 2, "once more, and not twice"
    assert len(watched.alerts()) == 1
    assert len(events()) == 1, "Prefect takes an event once"


def _start(watched: Watched, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.flows.announcing", str(watched.project.path)]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment})


def test_an_event_that_cannot_be_kept_costs_nothing(
    watched: Watched, webhook: Webhook, events: Callable[[], Any], home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def rename(name: str, to: str) -> None:
        with closing(sqlite3.connect(home / "prefect" / "prefect.db")) as connection:
            connection.execute(f"ALTER TABLE {name} RENAME TO {to}")

    watched.look("2024-01", "degraded")
    rename("events", "gone")
    watched.turn()
    assert "did not reach Prefect, as an event" in caplog.text and len(webhook.posted) == 1
    rename("gone", "events")
    watched.turn()
    assert [name for name, _ in events()] == ["trueup.health.degraded"] and len(webhook.posted) == 1


@pytest.mark.parametrize(
    ("addresses", "which"),
    [
        ("slcak://{0}/x/y", "address 1 (slcak://...)"),
        ("json://127.0.0.1:1/{0}, json://", "address 2 (json://...)"),
        ("{0}", "address 1, which begins with no scheme,"),
        ("json://127.0.0.1:1/a mailto://me:{0}@", "address 2 (mailto://...)"),
        ("json://127.0.0.1:1/a {0}", "address 1 (json://...)"),
    ],
)
def test_an_address_that_is_none_ends_it_before_anything_is_done(
    addresses: str, which: str, make_project: MakeProject, monkeypatch: pytest.MonkeyPatch, capfd: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRUEUP_ALERTS", addresses.format(SECRET))
    project = make_project()
    for command in ("run", "monitor"):
        with pytest.raises(SystemExit) as ended:
            main([command, str(project.path), "--as-of", "2024-03-01"])
        out, error = capfd.readouterr()
        assert ended.value.code == 2 and which in error and SECRET not in out + error, error
    with pytest.raises(ConfigError, match="TRUEUP_ALERTS"):
        read_addresses()
    assert not project.home.exists(), "something was written"


def test_nothing_is_imported_where_no_address_is_set() -> None:
    code = "import sys; from flows.engine.notices import read_addresses; assert read_addresses() == ()\n"
    code += "assert 'apprise' not in sys.modules"
    environment = {name: value for name, value in os.environ.items() if name != "TRUEUP_ALERTS"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
    began = time.monotonic()
    assert read_addresses() == () and time.monotonic() - began < 0.1
