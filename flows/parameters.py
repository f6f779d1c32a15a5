"""The parameters that flows share: what the run form in Prefect shows, and what it refuses before a run starts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flows.moment import MOMENT_PATTERN

ProjectName = Annotated[
    str,
    Field(
        title="Project",
        description="Name of a project file in configs/ (flights for configs/flights.yaml), or a path to one.",
        pattern=r"^([a-z0-9][a-z0-9_-]{0,62}|.+\.ya?ml)$",
        examples=["flights"],
    ),
]
AsOf = Annotated[
    str,
    Field(
        title="As of",
        description=(
            "The moment to look from; nothing after it is seen. now, an ISO date or time such as 2013-05-01, "
            "or next: when the next batch that is not done yet is there."
        ),
        pattern=MOMENT_PATTERN,
        examples=["now", "next", "2013-05-01"],
    ),
]
Overrides = Annotated[
    list[Annotated[str, Field(pattern=r"^\s*[a-z_]+(\.[a-z_0-9]+)*\s*=")]],
    Field(
        title="Overrides",
        description="Keys of the project file to change for this run, each as key.path=value: train.search.trials=5.",
        examples=[["train.search.trials=5"]],
    ),
]
Force = Annotated[
    bool, Field(title="Force", description="Do the step again even where it is done and nothing changed.")
]
BatchKey = Annotated[
    str | None,
    Field(title="Batch", description="Key of one batch, such as 2013-04. Leave empty for every batch that is due."),
]
ModelNumber = Annotated[int, Field(title="Version", description="Version of the registered model.", ge=1)]
OptionalModelNumber = Annotated[
    Annotated[int, Field(ge=1)] | None,
    Field(
        title="Version",
        description="Version of the registered model. Only a rollback may leave it empty: it goes to the one before.",
    ),
]
ReleaseAction = Annotated[
    Literal["approve", "reject", "promote", "rollback"],
    Field(
        title="Action",
        description=(
            "approve or reject a version that waits for a person; promote a version whose gates passed, or overrule "
            "them; rollback to a version that was champion before."
        ),
    ),
]
Reason = Annotated[
    str,
    Field(
        title="Reason",
        description="Why, in a few words; kept in the ledger for ever.",
        pattern=r"\S\s*\S\s*\S",
        max_length=2_000,
    ),
]
Override = Annotated[
    bool,
    Field(
        title="Overrule gates",
        description="Promote although gates did not pass. The ledger and the model's pages say so loudly.",
    ),
]
DecidedBy = Annotated[
    Annotated[str, Field(max_length=80)] | None,
    Field(title="Decided by", description="Your name, for the ledger. Prefect's own server does not know who you are."),
]
