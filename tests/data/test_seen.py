"""Which rows a model has seen: told from a record alone, on the rows of then and on those of later."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tasks.config import LoadedProject
from tasks.data.seen import describe_seen, find_unseen
from tasks.data.snapshot import gather_training_rows
from tasks.data.source import index_source
from tasks.data.split import name_blocks, split_training_rows
from tasks.errors import DataError
from tasks.results import TrainingFrame
from tests.conftest import MakeProject, make_rows


def gather(project: LoadedProject) -> TrainingFrame:
    return gather_training_rows(project, index_source(project, {}).batches, None, {})


def with_shops(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(shop=np.random.default_rng(3).integers(0, 90, len(rows)))


CASES = {
    "time": ({}, {}),
    "time, in groups": ({"group": "shop"}, {"how": "time"}),
    "id": ({}, {"how": "random"}),
    "group": ({"group": "shop"}, {"how": "group"}),
    "content": ({"id": None}, {"how": "random"}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("refit", [False, True])
def test_of_then_and_of_later(make_project: MakeProject, case: str, refit: bool) -> None:
    data, how = CASES[case]
    tables = with_shops(make_rows(900, months=4))
    early, late = tables[tables["at"] < "2024-04-01"], tables[tables["at"] >= "2024-04-01"]
    if case == "time, in groups":  # each group lives for some days only, so that time can part them
        early, late = (
            part.assign(shop=np.arange(len(part)) // 15 + first) for part, first in ((early, 0), (late, 900))
        )
    project = make_project({"a.parquet": early}, data=data, split=how)
    rows = gather(project)
    split = split_training_rows(rows, project)
    facts, listed = describe_seen(rows, split, project.spec, refit=refit)
    facts = json.loads(json.dumps(facts))  # as the ledger keeps them
    unseen = find_unseen(facts, listed, rows, project.spec)
    if refit:
        assert not unseen.any()
    elif case == "content":  # rows alike have one name
        assert set(np.flatnonzero(unseen)) == set(split.test)
    else:
        assert np.flatnonzero(unseen).tolist() == sorted(split.test)
    blocks = name_blocks(rows, np.asarray(split.test), project.spec)
    assert blocks == split.blocks

    project = make_project({"a.parquet": early, "b.parquet": late}, data=data, split=how)
    more = gather(project)
    unseen = find_unseen(facts, listed, more, project.spec)
    assert len(more.target) == len(tables)
    new = np.asarray(more.time >= pd.Timestamp("2024-04-01", tz="UTC"))
    seen_keys = set() if case == "content" else set(rows.frame["key"].iloc[[*split.fit, *split.calibration]])
    if seen_keys:
        assert not seen_keys & set(more.frame["key"][unseen]), "a row that was fitted on counts as unseen"
    if refit and case == "group":
        assert not unseen.any()  # the same shops come again
        return
    assert unseen[new].any()
    if refit:
        assert unseen[new].all() and not unseen[~new].any()


def test_content_that_lost_a_column(make_project: MakeProject) -> None:
    project = make_project({"a.csv": make_rows(300)}, data={"id": None, "time": None}, split={"how": "random"})
    rows = gather(project)
    facts, _ = describe_seen(rows, split_training_rows(rows, project), project.spec)
    less = replace(rows, frame=rows.frame.drop(columns="colour"))
    with pytest.raises(DataError, match=r"column 'colour', which was part of it.*Set data\.id"):
        find_unseen(facts, None, less, project.spec)


def test_names_of_another_kind(make_project: MakeProject) -> None:
    project = make_project({"a.csv": make_rows(300)}, data={"id": None, "time": None}, split={"how": "random"})
    rows = gather(project)
    facts, _ = describe_seen(rows, split_training_rows(rows, project), project.spec)
    named = make_project({"a.csv": make_rows(300)}, data={"id": "key", "time": None}, split={"how": "random"})
    with pytest.raises(DataError, match=r"told by their row content.*now names rows by their id"):
        find_unseen(facts, None, gather(named), named.spec)
    with pytest.raises(DataError, match=r"data\.time is no longer set"):
        find_unseen({"how": "time", "until": "2024-01-01T00:00:00+00:00"}, None, rows, project.spec)
    with pytest.raises(DataError, match="list of the rows"):
        find_unseen({**facts, "how": "list"}, None, rows, project.spec)


def test_labels_as_a_model_knows_them(make_project: MakeProject) -> None:
    """Few rows of one class, and a label that the model does not know: read, and counted."""
    rows = make_rows(30)
    rows["bought"] = "no"
    rows.loc[:2, "bought"] = "perhaps"
    project = make_project({"a.csv": rows})
    batches = index_source(project, {}).batches
    with pytest.raises(DataError):
        gather_training_rows(project, batches, None, {})
    judged = gather_training_rows(project, batches, None, {}, like=("binary", ["no", "yes"]))
    assert judged.target.tolist() == [0] * 27 and judged.classes == ("no", "yes")
    assert judged.dropped["label that the model does not know"] == 3
