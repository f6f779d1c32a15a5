"""Which columns of a batch look like personal data: told from rows that are set aside while all of them pass by."""

from __future__ import annotations

import pandas as pd

from tasks.config.project import Data
from tasks.stats.personal import SAMPLE_ROWS, STATED, find_personal
from tasks.table import TableRef

_READ = ("string", "integer", "number")


class RowsSetAside:
    """Rows at even distances over a batch of any length; at most twice SAMPLE_ROWS of them are held."""

    def __init__(self, table: TableRef) -> None:
        self._names = table.schema.names
        self._columns = [c.name for c in table.schema.columns if c.kind in _READ]
        self._step = 1
        self._parts: list[pd.DataFrame] = []

    def take(self, frame: pd.DataFrame) -> None:
        """Offer the next rows; their index is their position in the batch."""
        self._parts.append(frame.loc[frame.index % self._step == 0, self._columns])
        while sum(map(len, self._parts)) > 2 * SAMPLE_ROWS:
            self._step *= 2
            self._parts = [part[part.index % self._step == 0] for part in self._parts]

    def find(self, data: Data) -> dict[str, str]:
        """The columns with what their values look like, in the order of the table. The project file has the last
        word: `data.personal` adds columns, `data.not_personal` takes them away."""
        sample = pd.concat(self._parts) if self._parts else pd.DataFrame()
        looks = find_personal(sample, stated=data.personal, cleared=data.not_personal)
        stated = dict.fromkeys(data.personal, STATED)  # of any type, also without a value in this batch
        return {name: looks.get(name) or stated[name] for name in self._names if name in looks or name in stated}
