"""Corrected captions and labels: what depends on them run anew, and what that changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from and_core.captioners.corrected import Corrected
from and_core.config import PluginConfig, RunConfig
from and_core.errors import DataError
from and_core.evaluate.explanations import PREDICTORS
from and_core.evaluate.metrics import METRICS
from and_core.kept.changes import Change, FigureChange, write_changes
from and_core.kept.database import KeptFile
from and_core.kept.edits import write_corrections
from and_core.pipeline.recorded import config_for
from and_core.pipeline.run import run
from and_core.progress import Progress
from and_core.store.dissection import Dissection
from and_core.store.headline import headline_texts

WRITTEN = "labels-"  # how files of corrected labels that stand among what is kept begin

SCORED_BY = {"text": "captions", "label": "labels"}


@dataclass(frozen=True)
class Corrections:
    """What a run with corrections did: stages computed anew, neurons whose headline changed, and figures that did."""

    computed: list[str]
    changes: list[Change]
    figures: list[FigureChange]


def corrected_config(d: Dissection, config: RunConfig) -> RunConfig:
    """Return a configuration with the captions and labels of a dissection as they are corrected now; without
    corrections, with the captioner's own and the data set's.

    The files of corrections are found by their contents, so equal corrections give equal results.

    Raises
    ------
    DataError
        The configuration has corrected labels from a file of one's own, which others would replace.
    """
    file = KeptFile(d.folder.parent)
    original = config.captions
    if original.kind == Corrected.kind:
        original = PluginConfig(**(original.model_extra or {})["of"])
    path = write_corrections(file, d.name)
    captions = original if path is None else PluginConfig(kind=Corrected.kind, of=original.model_dump(), path=path)
    labels = write_corrections(file, d.name, "label")
    own = config.labels
    if own is not None and (own.parent != file.path.parent.resolve() or not own.name.startswith(WRITTEN)):
        if labels is not None:
            raise DataError(
                f"labels={str(own)!r} are corrections of your own, and others were kept on the dashboard; write those "
                "into that file, and take them back on the dashboard"
            )
        return config.model_copy(update={"captions": captions})
    made = config.model_dump() | {"captions": captions.model_dump(), "labels": labels}
    return RunConfig.model_validate(made)


def run_corrections(
    d: Dissection, config: RunConfig | None = None, progress: Progress | None = None, reuse: bool = False
) -> Corrections:
    """Run what depends on the corrected captions and labels of a dissection, and keep what that changed.

    Parameters
    ----------
    d : Dissection
        One that has been explained.
    config : RunConfig, optional
        The user's own configuration; without it the one on record, which starts and opens nothing.
    progress : callable, optional
        As of :func:`and_core.pipeline.run`.
    reuse : bool
        Take over the dissection's results although they were made elsewhere.

    Raises
    ------
    DataError
        It has not been explained.
    """
    if not d.has("explanations"):
        raise DataError(
            f"{d.name!r} has no explanations that a correction could change; run: and-dissect run CONFIG.yaml"
        )
    before, figures = headline_texts(d), figures_of(d)
    classes = leading_classes(d)
    chosen = corrected_config(d, config or config_for(d, None))
    outcome = run(chosen, root=d.folder.parent, progress=progress, recorded=config is None, reuse=[d.name] * reuse)
    again = Dissection(d.folder)
    changes = [
        Change(str(d.neuron_id(i)), old, new)
        for i, (old, new) in enumerate(zip(before, headline_texts(again), strict=True))
        if old != new
    ]
    moved = changed_figures(figures, figures_of(again))
    others = sum(old != new for old, new in zip(classes, leading_classes(again), strict=True))
    if others:
        moved.append(FigureChange("neurons whose highest clips are now mostly of another class", "0", f"{others:,}"))
    if outcome.computed:  # a run that had nothing to do changed nothing, and leaves what the last one said
        write_changes(KeptFile(d.folder.parent), d.name, outcome.computed, changes, moved)
    return Corrections(outcome.computed, changes, moved)


def leading_classes(d: Dissection) -> list[str | None]:
    """Return the class that most of each neuron's highest clips have."""
    return list(d.table("explanations/explanations")["leading_class"].to_pylist())


def changed_figures(before: dict[str, str], after: dict[str, str]) -> list[FigureChange]:
    """Return the figures that are others than before; one that was not there, or is no more, has a dash."""
    both = {**before, **after}
    return [
        FigureChange(what, before.get(what, "\u2013"), after.get(what, "\u2013"))
        for what in both
        if before.get(what) != after.get(what)
    ]


def figures_of(d: Dissection) -> dict[str, str]:
    """Return figures of a dissection as a whole that captions or labels decide, by what they are; those that have not
    been computed are left out."""
    figures = {"neurons with a headline that holds": f"{int(d.headlines.holds.sum()):,}"}
    counts = Counter(label for clip in d.clips for label in clip.labels)
    figures |= {f"clips labelled {name.replace('_', ' ')}": f"{counts[name]:,}" for name in d.classes}
    sections: list[tuple[str, Callable[[Dissection], dict[str, str]]]] = [
        ("last_layer", _last_layer),
        ("scores", _scores),
        ("confidence", _confidence),
        ("quantities", _quantities),
        ("split", _split),
        ("unlearning", _unlearning),
    ]
    for stage, read in sections:
        if d.has(stage):
            figures |= read(d)
    return figures


def _last_layer(d: Dissection) -> dict[str, str]:
    return {
        f"units of the last layer named rightly, {row['method']}, {row['similarity']}": f"{row['top1']:.1f} %"
        for row in d.last_layer_scores
        if row["similarity"] in (d.similarity, "-")
    }


def _scores(d: Dissection) -> dict[str, str]:
    figures, values = {}, np.asarray(d.score_values)[:, :, METRICS.index("pearson")]
    for predictor in ("text", "label"):
        for method, scores in zip(d.scored_methods, values[:, PREDICTORS.index(predictor)], strict=True):
            if np.isfinite(scores).any():
                what = f"held-out score (Pearson) of {method} against {SCORED_BY[predictor]}, mean of all neurons"
                figures[what] = f"{np.nanmean(scores):.3f}"
    return figures


def _confidence(d: Dissection) -> dict[str, str]:
    error = d.notes("confidence").get("error")
    return {} if error is None else {"error of the calibrated confidence": f"{100 * error:.1f} points"}


def _quantities(d: Dissection) -> dict[str, str]:
    return {"neurons that follow an acoustic measure": f"{sum(map(bool, d.quantities['follows'].to_pylist())):,}"}


def _split(d: Dissection) -> dict[str, str]:
    notes = d.notes("split")
    return {
        "clips on which unlearning is tested": f"{notes['tested_clips']:,}",
        "tested clips that the whole network names rightly": f"{notes['accuracy']:.1f} %",
    }


def _unlearning(d: Dissection) -> dict[str, str]:
    return {
        f"gap of unlearning, mean, {row['strategy']}": f"{row['gap']:+.2f}"
        for row in d.unlearning_averages["strategies"]
        if row["number"] == "own"
    }
