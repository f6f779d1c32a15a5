"""A held challenger once more, when labels came: judged on every row that neither it nor the champion has seen.

A challenger may be looked at a stated number of times. The error that the person accepts is split over the looks, so
that looking often does not make a lucky pass likelier; see `gates.champion.looks`.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from flows.champion import Served, find_evidence, find_opponent, find_unseen_rows, load_served, withdraw_unfair
from flows.cut import count_labelled
from flows.evidence import describe_evidence
from flows.keys import digest, limits_asked
from flows.shadow_evidence import describe_shadow, gather_shadow
from flows.show import show_verdict
from flows.train import load_accepted_rows, make_cut, record_checks
from flows.workspace import Workspace
from tasks.data.snapshot import snapshot_key
from tasks.data.split import name_blocks
from tasks.errors import ConfigError, DataError
from tasks.evaluation.audit import audit_stored, read_parts
from tasks.evaluation.challenger import evaluate_stored
from tasks.evaluation.gates import COMPARED
from tasks.evaluation.verdict import OF_TRAINING, judge_challenger
from tasks.ledger import Entry
from tasks.results import Audit, Evaluation, GateResult, Soundness, TrainingFrame
from tasks.stage import crash_point
from tasks.stats.comparison import split_confidence

progress = logging.getLogger("trueup.progress")


def look_again(workspace: Workspace, version: int) -> Entry:
    """Judge a registered version anew on the rows that are labelled by now, and write it to the ledger.

    The same rows and champion are judged once: asked again, the earlier entry is the answer. Nothing is released
    here. ConfigError where the version has no look left, DataError where no row can be read.
    """
    name, spec = workspace.project.name, workspace.project.spec
    before = find_evidence(workspace, version).payload
    cut = make_cut(workspace, None)
    opponent, state = find_opponent(workspace)
    compared_with = opponent.version.version if opponent else None
    key = digest("look", version, compared_with, snapshot_key(cut.batches, cut.as_of))
    done = workspace.ledger.find(name, "look", key)
    if done is not None:
        return done
    number, most = before["look"] + 1, before["looks"]
    if number > most:
        raise ConfigError(
            f"{name}: version {version} was looked at {most} times, which is all that gates.champion.looks allowed it: "
            "a further look would make a lucky pass likelier than was promised. Train again: "
            f"trueup train {workspace.project.argument} --force"
        )
    challenger = load_served(workspace, version)
    progress.info("looking at version %s again: look %s of %s", version, number, most)
    rows, _, checked = load_accepted_rows(workspace, cut, like=(challenger.task, challenger.classes))
    record_checks(workspace, cut, checked)
    confidence = split_confidence(spec.gates.champion.confidence, most)
    evaluation, audit, state = _evaluate(workspace, challenger, opponent, state, rows, confidence)
    trained = challenger.trained
    same = trained["asked"] == limits_asked(workspace.project)  # else what it was held to may have changed
    kept = [GateResult(**gate) for gate in trained["gates"] if gate["name"] in OF_TRAINING and same]
    verdict = judge_challenger(evaluation, Soundness(**trained["soundness"]), spec, state, audit, kept)
    payload = {
        **{fact: challenger.trained[fact] for fact in ("run_id", "snapshot")},
        **describe_evidence(evaluation, audit, verdict),
        "audit": {**vars(audit), **{part: trained["audit"][part] for part in ("robustness", "leaks")}},
        "split": f"{evaluation.rows:,} labelled rows that version {version} has not seen",
        "judged_snapshot": rows.snapshot,
        "labelled": count_labelled(cut, spec.data.label_delay),
        "known_as_of": cut.as_of,
        "compared_with": compared_with,
        "look": number,
        "looks": most,
        "shadow": describe_shadow(gather_shadow(workspace.ledger, name, {version})),  # to be read; no gate does
    }
    crash_point("before-look")
    entry = workspace.record("look", key, str(version), verdict.outcome, verdict.reason, payload)
    crash_point("after-look")
    show_verdict(workspace, entry)
    return entry


def _evaluate(
    workspace: Workspace,
    challenger: Served,
    opponent: Served | None,
    state: str,
    rows: TrainingFrame,
    confidence: float,
) -> tuple[Evaluation, Audit, str]:
    """The challenger on the rows that it has not seen, beside the champion; and what the champion gate is told."""
    spec = workspace.project.spec
    unseen = find_unseen_rows(workspace, challenger, rows)
    positions = np.flatnonzero(unseen)
    theirs = None
    if opponent is not None and state == COMPARED:
        try:
            theirs = find_unseen_rows(workspace, opponent, rows)[positions]
        except DataError as error:
            state = f"unreadable: {error}"
    beside: dict[str, Any] = {
        "metric": challenger.trained["metric"],
        "blocks": name_blocks(rows, positions, spec),
        "champion": opponent.contender if opponent is not None and state == COMPARED else None,
        "champion_unseen": theirs,
        "confidence": confidence,
    }
    known = rows.target.to_numpy()[~unseen]
    evaluation = evaluate_stored(challenger.contender, rows, positions, known, spec, **beside)
    found = read_parts(challenger.trained["audit"]["slices"]["slices"])
    audit = audit_stored(challenger.contender, rows, positions, np.flatnonzero(~unseen), spec, found=found, **beside)
    return evaluation, audit, withdraw_unfair(state, audit)
