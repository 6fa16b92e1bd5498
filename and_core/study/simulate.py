"""Raters of known skill and bias: what the statistics must recover, and a worked example where there are no people.

Never shown as anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from and_core.errors import StudyError
from and_core.study.plan import Simulated
from and_core.study.session import NOTHING, Session
from and_core.study.study import Study

PLAIN = 3.0  # fit of a method that has no quality of its own
GUESSING = 9.0  # noise from which a rater answers at random
CUTS = np.array([1.5, 2.5, 3.5, 4.5])


def rate(fit: np.ndarray, bias: float, skill: float, rng: np.random.Generator) -> np.ndarray:
    """Return (n,) whole ratings 1 to 5: the description's fit, plus the rater's bias, plus noise of the rater's skill,
    to the nearest."""
    if skill >= GUESSING:
        return rng.integers(1, 6, size=len(fit))
    return 1 + np.searchsorted(CUTS, fit + bias + skill * rng.standard_normal(len(fit)))


def expected(quality: float, spread: float, bias: float, skill: float) -> float:
    """Return the mean rating that :func:`rate` gives for items whose fit is normal around `quality`: what an estimate
    must come to."""
    if skill >= GUESSING:
        return 3.0
    width = float(np.hypot(spread, skill))
    centre = quality + bias
    if width == 0:
        return float(1 + np.searchsorted(CUTS, centre))
    return float(1 + np.sum(stats.norm.sf(CUTS, centre, width)))


def fits(study: Study, model: Simulated) -> dict[int, float]:
    """Fit of every rated description, by item row; controls fit as they should."""
    scores = {}
    for row, item in study.items.items():
        if item["task"] != "fit":
            continue
        control = (item["control"] or "").removeprefix("training-")
        if control == "attention":
            scores[row] = float(item["truth"]["expected"][0])
        elif control:
            scores[row] = 5.0 if control == "known" else 1.0
        else:
            rng = np.random.default_rng([model.seed, 11, item["number"]])
            scores[row] = model.quality.get(item["truth"]["method"], PLAIN) + model.item_spread * float(
                rng.standard_normal()
            )
    return scores


def traits(model: Simulated, number: int) -> tuple[float, float]:
    """Return bias and skill of a rater."""
    return model.bias[number % len(model.bias)], model.skill[number % len(model.skill)]


def simulate(study: Study, progress: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Let simulated raters take every place and answer everything, as people would, through the same sessions; the
    number of answers.

    Raises
    ------
    StudyError
        The study is one of people.
    """
    model = study.config.simulated
    if model is None:
        raise StudyError(
            f"{study.name!r} is a study of people; simulated raters answer only a study whose plan says `simulated`"
        )
    ideal = fits(study, model)
    answers = 0
    for number in range(study.config.raters):
        place = study.place(study.invite(f"simulated-{number + 1}"))
        if place is None:
            raise StudyError("a simulated rater lost its place")
        session = Session(study, place)
        rng = np.random.default_rng([model.seed, 13, place.number])
        bias, skill = traits(model, place.number)
        for step in ({"kind": "consent", "agreed": True}, {"kind": "volume", "count": session.beep_count()}):
            session.record({**step, "uuid": f"simulated-{step['kind']}"})
            session = Session(study, place)
        total = len(session.slots)
        if answers == 0:
            progress(0, study.config.raters * total)
        for position in range(session.position, total):
            session = Session(study, place)
            session.record(_answer(study, session, position, ideal, bias, skill, rng))
            answers += 1
        progress((number + 1) * total, study.config.raters * total)
    return answers


def _answer(
    study: Study,
    session: Session,
    position: int,
    ideal: dict[int, float],
    bias: float,
    skill: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    item = session.state()["item"]
    slot = session.slots[position]
    row, task = study.items[slot.item_id], item["task"]
    sure = 0.5 if skill >= GUESSING else float(np.exp(-skill / 2))  # chance to notice what is there
    ids = [session.clip_id(slot.id, i) for i in range(len(row["shown"]["clips"]))]
    response: Any
    if task == "fit":
        response = int(
            rate(
                np.array([ideal[slot.item_id]]),
                0.0 if row["control"] else bias,
                0.0 if row["control"] == "attention" and skill < GUESSING else skill,
                rng,
            )[0]
        )
    elif task == "write":
        texts = list(row["truth"]["texts"].values())
        response = texts[int(rng.integers(len(texts)))] if texts and rng.random() < sure else NOTHING["write"]
    elif task == "intruder":
        response = ids[0] if rng.random() < sure else ids[int(rng.integers(len(ids)))]
    elif task == "choose":
        methods = row["truth"]["methods"]
        model = study.config.simulated
        liking = [(model.quality.get(m, PLAIN) if model else PLAIN) + skill * rng.standard_normal() for m in methods]
        response = study.opaque("option", slot.id, int(np.argmax(liking)))
    elif task == "present":
        ranks = np.argsort(np.argsort(row["truth"]["activations"])) / max(1, len(ids) - 1)
        response = {name: bool(rng.random() < 0.1 + 0.8 * r) for name, r in zip(ids, ranks, strict=True)}
    else:
        response = {name: bool(rng.random() < 0.85) for name in ids}
    heard = {session.clip_id(slot.id, i): clip["seconds"] for i, clip in enumerate(row["shown"]["clips"])}
    ms = int(1000 * (sum(heard.values()) + rng.gamma(4.0, 1.5)))
    return {
        "kind": "answer",
        "uuid": f"simulated-{position}",
        "position": position,
        "serial": item["serial"],
        "response": response,
        "ms": ms,
        "plays": dict.fromkeys(heard, 1),
        "heard": heard,
    }
