"""Run the stages of a dissection in order, and say how far it is."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from and_core import __version__
from and_core.config import RunConfig
from and_core.dissect.concepts import UNLABELLED, concept_set
from and_core.dissect.words import load_tagger
from and_core.errors import ANDError, ConfigError, one_of
from and_core.labels.class_map import check_labels, read_class_map
from and_core.pipeline import (
    activations,
    analysis,
    class_map,
    clips,
    closed,
    compositions,
    confidence,
    decisions,
    ears,
    explanations,
    icl,
    interpretability_seeds,
    intruder,
    labels,
    last_layer,
    listening,
    llm_judge,
    neurons,
    open_concepts,
    planting,
    quantities,
    scores,
    steering,
    summaries,
    texts,
    tuning,
    unlearning,
)
from and_core.pipeline.recorded import check_harmless
from and_core.pipeline.runner import Outcome, run_stage, up_to_date
from and_core.pipeline.stage import Run, Stage, read_by, stage_key
from and_core.progress import Progress, bars, noted
from and_core.store.dissection import list_dissections
from and_core.store.files import cache_root, inside, safe_name
from and_core.store.manifest import FILE, Manifest
from and_core.store.writer import PARTIAL, sweep, writing
from and_core.targets.base import Target

STAGES: tuple[Stage, ...] = (
    clips.STAGE,
    activations.STAGE,
    labels.STAGE,
    class_map.STAGE,
    neurons.STAGE,
    neurons.SIMILAR,
    texts.CAPTIONS,
    texts.TEXTS,
    summaries.SUMMARIES,
    summaries.CALIBRATION,
    closed.CLOSED,
    closed.SOUNDS,
    closed.TAB,
    icl.STAGE,
    open_concepts.STAGE,
    last_layer.STAGE,
    explanations.STAGE,
    analysis.WORD_COUNTS,
    analysis.CLUSTERS,
    analysis.INTERPRETABILITY,
    interpretability_seeds.STAGE,
    analysis.ACOUSTICS,
    analysis.MAP,
    intruder.STAGE,
    quantities.STAGE,
    scores.STAGE,
    confidence.STAGE,
    compositions.STAGE,
    llm_judge.STAGE,
    planting.STAGE,
    unlearning.SPLIT,
    unlearning.UNLEARNING,
    unlearning.IMPORTANCE,
    listening.STAGE,
    decisions.STAGE,
    tuning.STAGE,
    steering.STAGE,
)
STAGE_NAMES: tuple[str, ...] = tuple(stage.name for stage in STAGES)
UNLABELLED_NAMED = 5  # clips without a label that are named
TITLES = {stage.name: stage.title for stage in STAGES} | {
    f"{stage.name} answers": "Asking the language model" for stage in STAGES
}
TITLES |= {
    "tuning statistics": "Measuring how neurons are tuned",
    "tuning fields": "Fitting receptive fields",
    "steering check": "Turning neurons up",
}


def run(
    config: RunConfig,
    *,
    root: Path | None = None,
    only: Sequence[str] = (),
    start: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda text: print(text, file=sys.stderr),
    target: Target | None = None,
    reuse: Sequence[str] = (),
    remake: bool = False,
    recorded: bool = False,
) -> Outcome:
    """Dissect a network: run every stage whose parameters or inputs have changed.

    Parameters
    ----------
    config : RunConfig
        What to dissect, see :mod:`and_core.config`.
    root : Path, optional
        Cache folder; default ``AND_CACHE`` or ``cache/``.
    only : sequence of str
        Run these stages and no other; what they read must be there.
    start : str, optional
        Recompute this stage and all after it; those before it are only brought up to date.
    force : bool
        Recompute the chosen stages even if nothing has changed.
    progress : callable
        Called with (stage, units done, units in all). Default: a bar per stage, on a terminal or in a notebook.
    say : callable
        Takes remarks, a line each, before anything is computed. Default: to standard error.
    target : Target, optional
        The target network itself, for one that no configuration can name (kind ``module``).
    reuse : sequence of str
        Dissections in the cache whose results are taken over although they were made elsewhere; with this one's own
        name its results stay.
    remake : bool
        Make results again that were made elsewhere, in place of asking.
    recorded : bool
        The configuration comes from a dissection, not from the user: it may start no program, open no address and read
        no variable.

    Raises
    ------
    ANDError
        With the reason; finished stages and finished chunks of the unfinished one stay.
    """
    for name in (*only, *([start] if start else [])):
        if name not in STAGE_NAMES:
            raise one_of("stage", name, STAGE_NAMES)
    forced = set(STAGE_NAMES[STAGE_NAMES.index(start) :]) if start else set(only or STAGE_NAMES) if force else set()
    root = root or cache_root()
    folder = root / config.name
    trusted = [root / safe_name(name, "reuse") for name in reuse]
    for path in trusted:
        if not (path / FILE).exists():
            raise one_of("reuse", path.name, list_dissections(root) or ["none"])
    outcome = Outcome(folder, [], [], [])
    neighbours = [
        root / name for name in (*reuse, *list_dissections(root)) if name != config.name
    ]  # those asked for by name first
    shown: AbstractContextManager[Progress] = bars(TITLES) if progress is None else nullcontext(progress)
    try:
        with writing(folder), shown as bars_shown, noted(folder, bars_shown, TITLES) as progress:
            manifest = _manifest(folder, config.name, force and not only)
            context = Run(config, folder, progress, say, recorded=recorded)
            if target is not None:
                context.target = target
            _preflight(context)
            manifest.save(folder)
            sweep(folder, manifest)
            manifest.config, manifest.package = config.model_dump(mode="json"), __version__
            for stage in STAGES:
                if not only or stage.name in only:
                    run_stage(
                        stage, stage.name in forced, context, manifest, outcome, neighbours, trusted, ask=not remake
                    )
                if stage.name == "clips":
                    _check_k(context)
            manifest.save(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ANDError(
                f"the disk with {folder} is full; what is finished stays: free some space and run again"
            ) from error
        raise ANDError(f"the dissection {folder} can't be written or its data can't be read: {error}") from error
    cached_llm = context.__dict__.get("cached_llm")
    if cached_llm is None or not cached_llm.asked or cached_llm.failed < cached_llm.asked:
        return outcome
    return replace(outcome, unanswered=cached_llm.reason)


def _manifest(folder: Path, name: str, anew: bool) -> Manifest:
    """Return the manifest that a run goes on with; where all is made anew, a damaged one is no hindrance."""
    if not (folder / FILE).exists():
        return Manifest(name=name)
    try:
        return Manifest.load(folder)
    except ANDError:
        if anew:
            return Manifest(name=name)
        raise


def _preflight(context: Run) -> None:
    """Make every plug-in and read what is named by path, so that a wrong setting is said before anything
    is computed."""
    if context.recorded:
        check_harmless(context.config)
    for name in (
        "dataset",
        "target",
        "captioner",
        "encoder",
        "closed_encoder",
        "summarizer",
        "audio_encoder",
        "cached_llm",
        "prompts",
    ):
        getattr(context, name)
    open_concepts.judge_of(context)
    context.captioner.fingerprint()
    texts.check_own_network(context)
    ears.homes(context)
    if context.audio_encoder is not None:
        context.audio_encoder.fingerprint()
    refs = context.dataset.references()
    labelled = sorted({label for ref in refs for label in ref.labels})
    without = [ref.name for ref in refs if not ref.labels]
    if labelled and without:
        names = ", ".join(without[:UNLABELLED_NAMED])
        more = ", ..." if len(without) > UNLABELLED_NAMED else ""
        context.say(f"{len(without)} of {len(refs)} clips have no label, so they count for no class: {names}{more}")
    if context.config.class_map is not None and not context.recorded:
        check_labels(read_class_map(context.config.class_map), labelled)
    concept_set(context.config.closed.concepts, labelled)
    if context.config.closed.concepts == "auto" and not labelled:
        context.say(
            f"{context.dataset.describe()}: the clips have no labels, so concepts are named from {UNLABELLED!r} "
            "(closed.concepts chooses others)"
        )
    if context.config.open.tagger != "bundled":
        load_tagger(context.config.open.tagger)


def _check_k(context: Run) -> None:
    """Check that K does not exceed the clips before the network runs."""
    if "clips" not in context.dissection.manifest.stages:
        return
    count = int(context.explained_from.sum())
    if context.config.k > count:
        raise ConfigError(
            f"k={context.config.k} is more than the {count} usable clips that explanations are made from; at most "
            f"{count} is allowed"
        )


def status(config: RunConfig, root: Path | None = None) -> list[tuple[str, str]]:
    """Return (stage, state) in order; states: ``done``, ``out of date``, ``answers missing`` (a language model
    failed; asked again on the next run), ``unfinished`` (chunks kept), ``not run``, ``not configured``."""
    folder = (root or cache_root()) / config.name
    manifest = Manifest.load(folder) if (folder / FILE).exists() else Manifest(name=config.name)
    context = Run(config, folder)
    states: list[tuple[str, str]] = []
    for stage in STAGES:
        if not stage.wanted(context):
            states.append((stage.name, "not configured"))
            continue
        done = manifest.stages.get(stage.name)
        state = "unfinished" if list(inside(folder, PARTIAL).glob(f"{stage.name}-*")) else "not run"
        if done is not None:
            inputs = {name: manifest.stages[name].key for name in read_by(stage, manifest) if name in manifest.stages}
            parameters = stage.parameters(context)
            key = stage_key(stage, parameters, inputs)
            fresh = done.key.split("-")[0] == key or up_to_date(stage, done, key, parameters, inputs)
            stale_input = any(dict(states).get(name) not in ("done", "answers missing") for name in stage.inputs)
            state = (
                "out of date"
                if not fresh or stale_input
                else "answers missing"
                if "failed_answers" in done.notes
                else "done"
            )
        states.append((stage.name, state))
    return states
