"""Which step of the pipeline a bad description is put down to,
from what raters reported and how they judged captions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from and_core.study.exclude import rows_of
from and_core.study.results import ITEM, item_ratings

BAD = 2.5  # a description with a mean rating below this did not fit
WRONG = 0.5  # captions count as wrong where at least this share of the judgements says so
STEPS = ("audio", "captions", "description", "neuron", "not told")
ABOUT = (
    "A description rated below 2.5 is put down to the first of these that the answers show: the audio (a rater "
    "reported one of its clips as broken), the "
    "captions (at least half of the judgements say that they are wrong; where nobody judged them, a rater reported "
    "one), the neuron (raters heard nothing in "
    "common, or did not find the intruder more often than by chance), the description (reported as wrong; or captions "
    "were judged right and raters did hear "
    "something in common); else it is not told."
)


def flags(answers: pd.DataFrame) -> list[dict[str, Any]]:
    """Return every fault that was reported: rater, item, task, neuron, method, what, clip, note."""
    rows = []
    for row in rows_of(answers[answers["kind"] == "flag"]):
        response = json.loads(row.response)
        clip = None if response["clip"] is None else json.loads(row.clips)[response["clip"]]
        rows.append(
            {
                "who": f"{row.site}/{row.rater}".strip("/"),
                "item": int(row.item),
                "task": row.task,
                "neuron": row.neuron,
                "method": row.method,
                "fault": row.fault,
                "clip": clip,
                "note": response["note"],
            }
        )
    return rows


def attributed(answers: pd.DataFrame, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each description that did not fit, with the step it is put down to: :data:`ABOUT`.

    Parameters
    ----------
    answers : DataFrame
        All rows, flags among them.
    frame : DataFrame
        From :func:`and_core.study.exclude.usable`.
    """
    who = answers["site"] + "/" + answers["rater"]
    reported = answers[(answers["kind"] == "flag") & who.isin(set(frame["who"])) & (answers["control"] == "")]
    broken = {
        (r.dissection, r.neuron, json.loads(r.clips)[clip])
        for r in rows_of(reported[reported["fault"] == "audio"])
        if (clip := _clip(r)) is not None
    }
    miscaptioned = {(r.dissection, r.neuron) for r in rows_of(reported[reported["fault"] == "caption"])}
    wrong = {(r.dissection, r.neuron, r.method) for r in rows_of(reported[reported["fault"] == "description"])}
    first = frame[frame["repeat_of"].isna() & (frame["control"] == "")]
    captions, shared, intruders_found = _shares(first, "captions"), _shared(first), _found(first)
    clips_of = {(r.dissection, r.neuron): json.loads(r.clips) for r in rows_of(first[first["task"] == "fit"])}
    rows = []
    for row in rows_of(item_ratings(frame).query("rating < @BAD")):
        neuron = (row.dissection, row.neuron)
        right, common, chance = captions.get(neuron), shared.get(neuron), intruders_found.get(neuron)
        if any((*neuron, clip) in broken for clip in clips_of[neuron]):
            step = "audio"
        elif (right is not None and 1 - right >= WRONG) or (right is None and neuron in miscaptioned):
            step = "captions"
        elif (common is not None and common < 0.5) or (chance is not None and chance[0] <= chance[1]):
            step = "neuron"
        elif (*neuron, row.method) in wrong or (right is not None and (common is not None or chance is not None)):
            step = "description"
        else:
            step = "not told"
        rows.append(
            {
                "dissection": row.dissection,
                "neuron": row.neuron,
                "method": row.method,
                "rating": float(row.rating),
                "step": step,
                "captions_right": right,
                "heard_in_common": common,
                "intruder_found": None if chance is None else chance[0],
            }
        )
    return rows


def _clip(row: Any) -> int | None:
    """Return the clip that a report is about."""
    clip = json.loads(row.response)["clip"]
    return None if clip is None else int(clip)


def _shares(frame: pd.DataFrame, task: str) -> dict[tuple[str, str], float]:
    answers = frame[frame["task"] == task]
    return {
        _pair(key): float(np.mean(np.concatenate([np.asarray(v, float) for v in part["value"]])))
        for key, part in answers.groupby(ITEM)
    }


def _shared(frame: pd.DataFrame) -> dict[tuple[str, str], float]:
    answers = frame[frame["task"] == "write"]
    return {_pair(key): float(1 - part["none"].mean()) for key, part in answers.groupby(ITEM)}


def _found(frame: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float]]:
    answers = frame[frame["task"] == "intruder"]
    return {
        _pair(key): (
            float(
                np.mean([not n and v == w for v, n, w in zip(part["value"], part["none"], part["want"], strict=True)])
            ),
            1 / len(json.loads(part["clips"].iloc[0])),
        )
        for key, part in answers.groupby(ITEM)
    }


def _pair(key: Any) -> tuple[str, str]:
    """Return dissection and neuron of a group."""
    return str(key[0]), str(key[1])
