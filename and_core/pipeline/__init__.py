"""The stages in order: the only place that joins computing to the store."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from and_core import __version__
from and_core.config import RunConfig
from and_core.dissect.concepts import concept_set
from and_core.dissect.words import load_tagger
from and_core.errors import ANDError, ConfigError, NotComputed, one_of
from and_core.pipeline import activations, clips, closed, explanations, icl, last_layer, neurons, open_concepts, summaries, texts
from and_core.pipeline.stage import Progress, Run, Stage, library_versions, stage_key
from and_core.store.dissection import list_dissections
from and_core.store.files import cache_root
from and_core.store.manifest import FILE, Manifest, StageRecord
from and_core.store.writer import StageWriter, adopt, intact, link_stage, sweep, writing
from and_core.targets.base import Target

STAGES: tuple[Stage, ...] = (
    clips.STAGE, activations.STAGE, neurons.STAGE, neurons.SIMILAR, texts.CAPTIONS, texts.TEXTS, summaries.SUMMARIES,
    summaries.CALIBRATION, closed.CLOSED, closed.SOUNDS, closed.TAB, icl.STAGE, open_concepts.STAGE, last_layer.STAGE, explanations.STAGE,
)  # fmt: skip
STAGE_NAMES: tuple[str, ...] = tuple(stage.name for stage in STAGES)


@dataclass(frozen=True)
class Outcome:
    """What a run did: stages computed, taken over from another dissection, and found up to date."""

    folder: Path
    computed: list[str]
    taken_over: list[str]
    unchanged: list[str]


def run(
    config: RunConfig,
    *,
    root: Path | None = None,
    only: Sequence[str] = (),
    start: str | None = None,
    force: bool = False,
    progress: Progress = lambda stage, done, total: None,
    target: Target | None = None,
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
        Called with (stage, units done, units in all).
    target : Target, optional
        The target network itself, for one that no configuration can name (kind ``module``).

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
    outcome = Outcome(folder, [], [], [])
    try:
        with writing(folder):
            manifest = Manifest.load(folder) if (folder / FILE).exists() else Manifest(name=config.name)
            context = Run(config, folder, progress)
            if target is not None:
                context.target = target
            _preflight(context)
            if not (folder / FILE).exists():
                manifest.save(folder)
            sweep(folder, manifest)
            manifest.config, manifest.package = config.model_dump(mode="json"), __version__
            for stage in STAGES:
                if not only or stage.name in only:
                    _run_stage(stage, stage.name in forced, context, manifest, outcome, root)
                if stage.name == "clips":
                    _check_k(context)
            manifest.save(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ANDError(f"the disk with {folder} is full; what is finished stays: free some space and run again") from error
        raise ANDError(f"the dissection {folder} can't be written or its data can't be read: {error}") from error
    return outcome


def _preflight(context: Run) -> None:
    """Make every plug-in and read what is named by path, so that a wrong setting is said before anything is computed."""
    for name in ("dataset", "target", "captioner", "encoder", "closed_encoder", "summarizer", "audio_encoder", "asker", "prompts"):
        getattr(context, name)
    open_concepts.judge_of(context)
    context.captioner.fingerprint()
    if context.config.closed.concepts != "classes":
        concept_set(context.config.closed.concepts, [])
    if context.config.open.tagger != "bundled":
        load_tagger(context.config.open.tagger)


def _check_k(context: Run) -> None:
    """K can't exceed the clips; said before the network runs."""
    if "clips" not in context.dissection.manifest.stages:
        return
    count = len(context.dissection.clips)
    if context.config.k > count:
        raise ConfigError(f"k={context.config.k} is more than the {count} usable clips of the probing dataset; at most {count} is allowed")


def _run_stage(stage: Stage, force: bool, context: Run, manifest: Manifest, outcome: Outcome, root: Path) -> None:
    """Bring one stage up to date; a stage that the configuration no longer asks for goes."""
    if not stage.wanted(context):
        if stage.name in manifest.stages:
            adopt(manifest, stage.name, None, {})
            manifest.save(context.folder)
            context.reopen()
        return
    for name in stage.inputs:
        if not context.dissection.has(name):
            raise NotComputed(f"the stage {stage.name!r} reads {name!r}, which has not been run or is out of date; run it first or leave out --only")
    parameters = stage.parameters(context)
    inputs = {name: manifest.stages[name].key for name in _read_by(stage, context)}
    key = stage_key(stage, parameters, inputs)
    done = manifest.stages.get(stage.name)
    if done is not None and done.key == key and not force and intact(context.folder, manifest, stage.name):
        outcome.unchanged.append(stage.name)
        context.progress(stage.name, 1, 1)
        return
    if not force and _take_over(stage, key, context.folder, manifest, root):
        outcome.taken_over.append(stage.name)
        context.progress(stage.name, 1, 1)
    else:
        writer = StageWriter(context.folder, stage.name, key)
        stage.compute(context, writer)
        notes = {**writer.notes, "libraries": library_versions()}
        if "failed_answers" in notes:  # not what the key promises: done again on the next run, and so is all that reads it
            key += "-" + hashlib.sha256("".join(f.sha256 for a in writer.artifacts.values() for f in a.files).encode()).hexdigest()[:8]
        record = StageRecord(key=key, version=stage.version, parameters=parameters, inputs=inputs, notes=notes)
        writer.commit(manifest, record)
        outcome.computed.append(stage.name)
    context.reopen()


def _read_by(stage: Stage, context: Run) -> list[str]:
    """Stages that it reads: its inputs, and those of the optional ones that have run."""
    return [*stage.inputs, *(name for name in stage.optional if context.dissection.has(name))]


def _take_over(stage: Stage, key: str, folder: Path, manifest: Manifest, root: Path) -> bool:
    """Reuse the same stage of another dissection in the cache, where its key is equal and its files are whole."""
    for name in list_dissections(root):
        other = root / name
        if other == folder:
            continue
        try:
            theirs = Manifest.load(other)
            record = theirs.stages.get(stage.name)
            if record is not None and record.key == key:
                link_stage(folder, other, manifest, theirs, stage.name)
                return True
        except (ANDError, OSError):
            continue  # a damaged neighbour is no reason to stop: the stage is computed instead
    return False


def status(config: RunConfig, root: Path | None = None) -> list[tuple[str, str]]:
    """(stage, state) in order; states: ``done``, ``out of date``, ``answers missing`` (a language model
    failed; asked again on the next run), ``unfinished`` (chunks kept), ``not run``, ``not configured``."""
    folder = (root or cache_root()) / config.name
    manifest = Manifest.load(folder) if (folder / FILE).exists() else Manifest(name=config.name)
    context = Run(config, folder)
    found: list[tuple[str, str]] = []
    for stage in STAGES:
        if not stage.wanted(context):
            found.append((stage.name, "not configured"))
            continue
        done = manifest.stages.get(stage.name)
        state = "unfinished" if list((folder / ".partial").glob(f"{stage.name}-*")) else "not run"
        if done is not None:
            inputs = {name: manifest.stages[name].key for name in (*stage.inputs, *stage.optional) if name in manifest.stages}
            key = stage_key(stage, stage.parameters(context), inputs)
            fresh = done.key.split("-")[0] == key
            stale_input = any(dict(found).get(name) not in ("done", "answers missing") for name in stage.inputs)
            state = "out of date" if not fresh or stale_input else "answers missing" if done.key != key else "done"
        found.append((stage.name, state))
    return found
