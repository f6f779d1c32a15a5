"""What the soak shares with the tests of whole turns."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.flows.outcome", "tests.flows.turns", "tests.flows.decided")
# ruff: noqa: E402 - rewriting comes before the imports
from tests.flows.decided import decided, told
from tests.flows.forking import forks
from tests.flows.turns import shop, undisturbed

__all__ = ["decided", "forks", "shop", "told", "undisturbed"]
