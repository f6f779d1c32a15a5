"""Labels that come from elsewhere than the source."""

from __future__ import annotations

from pydantic import model_validator

from tasks.config.values import Section

LABELS_URL = "TRUEUP_LABELS_URL"


class Labels(Section):
    """Where labels are that come apart from the rows: joined by id whenever they arrive, the last word by time wins.
    State `source` or `query`."""

    source: str | tuple[str, ...] | None = None
    """File, or glob of files, as data.source has them; or a list of them. Files may be added, and rows to them."""
    query: str | None = None
    """A SELECT, asked of the database that the environment variable TRUEUP_LABELS_URL names (an SQLAlchemy URL)."""
    id: str | None = None
    """The column there that names a row. Default: data.id."""
    label: str | None = None
    """The column there with the label. Default: data.target."""
    time: str | None = None
    """The column there that says when the label was said: it is known from then on. Left out, a label is known as one
    in the source is, `label_delay` after its row."""
    time_format: str | None = None
    """How `time` is written where it is text that is not ISO 8601, in strptime's letters: `%d/%m/%Y %H:%M`."""

    @model_validator(mode="after")
    def _coherent(self) -> Labels:
        if (self.source is None) == (self.query is None):
            found = "neither" if self.source is None else "both"
            raise ValueError(f"expected source (files) or query (SQL), one of the two; found {found}")
        if self.source is not None and not self.sources:
            raise ValueError("source: expected a file, or a list of one file at least; found none")
        if self.query is not None and not self.query.strip():
            raise ValueError("query: expected a SELECT; found nothing")
        if self.time_format is not None and self.time is None:
            raise ValueError("time_format says how time is written, and there is no time; name its column")
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """The files as a tuple of paths or globs; none for a query."""
        return (self.source,) if isinstance(self.source, str) else self.source or ()

    @property
    def called(self) -> str:
        """Where the labels are, as messages name it."""
        return ", ".join(self.sources) if self.sources else "data.labels.query"
