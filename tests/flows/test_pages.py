"""`trueup ui` without its command line: three servers that answer, and none that stays."""

from __future__ import annotations

import os
import signal
import threading
import urllib.request
from pathlib import Path

import pytest

from flows.engine.pages import open_pages
from flows.engine.server import server_status

pytestmark = pytest.mark.server


@pytest.mark.timeout(400)
def test_three_pages_answer_until_the_process_is_told_to_end(home: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_pages(home) as pages:
        assert list(pages.addresses) == ["Prefect", "MLflow", "Evidently"]
        for address in pages.addresses.values():
            with urllib.request.urlopen(address, timeout=20) as answer:
                assert b"<html" in answer.read().lower()
        groups = [process.pid for process in pages._processes.values()]
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        pages.wait()
    assert not server_status(home).running
    for group in groups:
        with pytest.raises(ProcessLookupError):
            os.killpg(group, 0)
    assert (home / "mlflow-pages.log").exists() and (home / "evidently-pages.log").exists()
