"""Training strategies side by side: what the paper says of them, and what this data says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from and_core.store.dissection import Dissection

FLAT, UNKNOWN = "flat", "no trend is shown"
FLAT_SHARE = 0.1  # of the mean of all blocks: a change over the whole depth that is sure to be smaller counts as none
ABOUT_STRATEGIES = (
    "Each statement is the paper's, on its own networks; beside it what these networks say, and whether that agrees. "
    "Slopes are linear fits over neurons "
    "with 95 % intervals that count neurons as independent; flat: the whole interval is a change of less than a tenth "
    "of the mean from first to last block. "
    "Gaps are in logits, with fair random beside. How a network was trained stands in its configuration (training); "
    "without it nothing can agree."
)
STATEMENTS = {
    "words": "The number of adjectives per neuron falls with depth under supervision, falls less after "
    "self-supervision, and is flat in the frozen network",
    "interpretable": "Uninterpretable neurons (K=5, \u03c4=4) get fewer with depth under supervision, and stay as many "
    "in the frozen network",
    "named": "The last layer is named best under supervision, worst in the frozen network",
    "unlearned": "Open-concept pruning unlearns most selectively",
}


def statements(networks: Sequence[Dissection]) -> list[dict[str, Any]]:
    """Return one row per statement and network.

    Returns
    -------
    list of dict
        ``statement``, ``network``, ``training``, ``this data`` (figure with interval), ``trend``, ``agrees`` (yes, no,
        not shown, or empty where there is nothing to compare).
    """
    rows = []
    supervised = [d.block_word_counts["adjective"] for d in networks if _training(d) == "supervised"]
    for d in networks:
        rows.append(_row("words", d, d.block_word_counts["adjective"], "per block", supervised))
    for d in networks:
        if d.has("interpretability"):
            rows.append(_row("interpretable", d, d.interpretability_depth, "points per block"))
    rows += _last_layers([d for d in networks if d.has("last_layer")])
    for d in networks:
        if d.has("unlearning"):
            fits = {
                r["strategy"]: r
                for r in d.unlearning_averages["strategies"]
                if r["number"] == "own" and r["strategy"] != "random"
            }
            gaps = "; ".join(
                f"{s} {r['gap']:+.2f} (fair random {r['fair_gap']:+.2f})"
                for s, r in sorted(fits.items())
                if r["gap"] is not None
            )
            rows.append(_said("unlearned", d, f"gap: {gaps}", *_leads(d)))
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """Return one sentence on how far these networks bear out the paper, from the rows of :func:`statements`.

    A statement is borne out where it agrees for some network and is contradicted for none.
    """
    by_statement = {row["statement"]: [r["agrees"] for r in rows if r["statement"] == row["statement"]] for row in rows}
    verdicts = {
        statement: "no" if "no" in answers else "yes" if "yes" in answers else ""
        for statement, answers in by_statement.items()
    }
    networks = len({row["network"] for row in rows})
    counts = {verdict: sum(v == verdict for v in verdicts.values()) for verdict in ("yes", "no", "")}
    who = "This network" if networks == 1 else f"These {networks} networks"
    s = "s" if networks == 1 else ""
    parts = [
        f"bear{s} out {counts['yes']} of the {len(verdicts)} statements that the paper makes on training",
        f"contradict{s} {counts['no']}",
        f"show{s} nothing clear on {counts['']}",
    ]
    lines = [f"{who} {parts[0]}, {parts[1]}, and {parts[2]}."]
    for verdict, what in (("yes", "What holds here"), ("no", "What does not")):
        named = [statement[0].lower() + statement[1:] for statement, v in verdicts.items() if v == verdict]
        lines += [f"{what}: {'; '.join(named)}."] if named else []
    return " ".join(lines)


def _last_layers(networks: Sequence[Dissection]) -> list[dict[str, Any]]:
    """Return all networks against each other: the verdict needs a supervised and a frozen one, and is the same in every
    row."""
    scores = {d.name: score for d in networks if (score := _named(d)) is not None}
    by_training = {
        t: [scores[d.name]["top1"] for d in networks if d.name in scores and _training(d) == t]
        for t in ("supervised", "fine-tuned", "frozen")
    }
    order = ", ".join(
        f"{name} {score['top1']:.3g}" for name, score in sorted(scores.items(), key=lambda item: -item[1]["top1"])
    )
    best, between, worst = by_training.values()
    agrees = ""
    if best and worst:
        agrees = "yes" if min(best) > max(between + worst) and max(worst) < min(best + between) else "no"
    rows = []
    for d in networks:
        score = scores.get(d.name)
        statement = (
            f"top-1 {score['top1']:.3g} %, top-5 {score['top5']:.3g} % ({score['similarity']})"
            if score
            else "no classifier in the concept set"
        )
        rows.append(
            _said(
                "named",
                d,
                statement,
                f"best to worst: {order}" if len(scores) > 1 else "",
                agrees if _training(d) and score else "",
            )
        )
    return rows


def _training(d: Dissection) -> str | None:
    return d.manifest.config.get("training")


def _named(d: Dissection) -> dict[str, Any] | None:
    """Return DB under its best similarity function."""
    scored = [r for r in d.last_layer_scores if r["method"] == "DB"]
    return max(scored, key=lambda r: (r["top1"], r["top5"]), default=None)


def _said(name: str, d: Dissection, statement: str, trend: str, agrees: str) -> dict[str, Any]:
    return {
        "statement": STATEMENTS[name],
        "network": d.name,
        "training": _training(d) or "not given",
        "this data": statement,
        "trend": trend,
        "agrees": agrees,
    }


def trend(fit: dict[str, Any]) -> str:
    """Return what a fit over blocks shows: ``falls``, ``rises``, ``flat`` (surely less than a tenth of the mean over
    the whole depth), or nothing.

    Parameters
    ----------
    fit : dict
        As :func:`and_core.analyze.words.by_block` gives it.
    """
    low, high = fit.get("slope_low"), fit.get("slope_high")
    if low is None or high is None:
        return UNKNOWN
    depth = fit["blocks"][-1] - fit["blocks"][0]
    bound = FLAT_SHARE * abs(sum(fit["means"]) / len(fit["means"])) / depth
    if -bound < low and high < bound:
        return FLAT
    return "falls" if high < 0 else "rises" if low > 0 else UNKNOWN


def _agrees(name: str, training: str | None, fit: dict[str, Any], supervised: Sequence[dict[str, Any]]) -> str:
    """Return whether a fit is what the paper says of networks so trained.

    Empty where it says nothing, or this data shows nothing.
    """
    direction = trend(fit)
    if training is None or (name == "interpretable" and training == "fine-tuned"):
        return ""
    if direction == UNKNOWN:
        return "not shown"
    if training == "frozen":
        return "yes" if direction == FLAT else "no"
    if training == "supervised":
        return "yes" if direction == "falls" else "no"
    steepest = [other["slope"] for other in supervised if other.get("slope") is not None]
    if not steepest:
        return ""
    return "yes" if direction == "falls" and fit["slope"] > min(steepest) else "no"


def _row(
    name: str, d: Dissection, fit: dict[str, Any], unit: str, supervised: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    if fit.get("slope") is None:
        return _said(name, d, "fewer than two blocks", "not defined", "")
    low, high = fit["slope_low"], fit["slope_high"]
    interval = (
        f"[{low:+.3f}, {high:+.3f}]" if low is not None and high is not None else "(too few neurons for an interval)"
    )
    return _said(
        name, d, f"{fit['slope']:+.3f} {unit} {interval}", trend(fit), _agrees(name, _training(d), fit, supervised)
    )


def _leads(d: Dissection) -> tuple[str, str]:
    """Return which strategy is ahead at equal numbers of neurons, and whether that is OCP before both others."""
    pairs = d.unlearning_averages["pairs"]
    ahead = []
    for pair in pairs:
        low, high, p = pair["difference_low"], pair["difference_high"], pair["p"]
        if low is not None and p is not None and p < 0.05 and (low > 0 or high < 0):
            ahead.append((pair["one"], pair["other"]) if low > 0 else (pair["other"], pair["one"]))
    statement = "at equal numbers " + (
        ", ".join(f"{one} before {other}" for one, other in ahead) if ahead else "no difference is shown"
    )
    compared = {frozenset((pair["one"], pair["other"])) for pair in pairs}
    if not {frozenset(("OCP", "DB")), frozenset(("OCP", "TAB"))} <= compared:
        return statement, ""
    if {("OCP", "DB"), ("OCP", "TAB")} <= set(ahead):
        return statement, "yes"
    return statement, "no" if any(other == "OCP" for _, other in ahead) else "not shown"
