"""Views: the same neurons explained again from some of the clips alone, kept inside the dissection.

What is tested on a split must not have been chosen by looking at it. A view is a dissection of its own, in a folder of
the one it belongs to; it takes over by hard link what does not depend on the choice of clips (sound, activations,
captions,
texts).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from and_core.config import ProbeConfig, RunConfig
from and_core.errors import ANDError
from and_core.pipeline import activations, clips, closed, labels, neurons, open_concepts, summaries, texts
from and_core.pipeline.runner import Outcome, run_stage
from and_core.pipeline.stage import Progress, Run, Stage
from and_core.store.artifacts import VIEWS
from and_core.store.dissection import Dissection
from and_core.store.files import inside
from and_core.store.manifest import Manifest
from and_core.store.writer import sweep, writing

EXPLAINING = (
    clips.STAGE,
    activations.STAGE,
    labels.STAGE,  # a concept set made of labels is that of the dissection
    neurons.STAGE,
    texts.CAPTIONS,
    texts.TEXTS,
    summaries.SUMMARIES,
    summaries.CALIBRATION,
    closed.CLOSED,
    closed.SOUNDS,
    closed.TAB,
    open_concepts.STAGE,
)


def make_view(
    name: str, run: Run, probe: ProbeConfig, similarities: tuple[str, ...], more: tuple[Stage, ...] = ()
) -> Dissection:
    """Explain the neurons of a run's dissection from some of its clips; what is up to date is left alone.

    Parameters
    ----------
    name : str
        Of the view.
    run : Run
        The run that the view belongs to: plug-ins, target and language model are its own.
    probe : ProbeConfig
        What is left out.
    similarities : tuple of str
        Similarity functions that closed concepts are scored by.
    more : tuple of Stage
        Stages beyond those that every view has.
    """
    config = run.config
    section = config.closed.model_copy(update={"similarities": similarities, "similarity": similarities[0]})
    wanted: RunConfig = config.model_copy(update={"name": name, "probe": probe, "closed": section})
    folder = inside(run.folder, VIEWS, name)
    with writing(folder):
        manifest = _manifest(folder, name)
        sweep(folder, manifest)
        context = run.part(wanted, folder, _named(run.progress, name))
        manifest.config = wanted.model_dump(mode="json")
        outcome = Outcome(folder, [], [], [])
        for stage in EXPLAINING + more:
            run_stage(stage, False, context, manifest, outcome, [run.folder], [run.folder], ask=False)
        manifest.save(folder)
    return Dissection(folder)


def _manifest(folder: Path, name: str) -> Manifest:
    """Return the view's manifest; a damaged one is begun anew, since what it lists is soon made again."""
    with suppress(ANDError):
        return Manifest.load(folder)
    manifest = Manifest(name=name)
    manifest.save(folder)
    return manifest


def _named(progress: Progress, view: str) -> Progress:
    """Return progress of a view's stages under the view's name."""
    return lambda stage, done, total: progress(f"{view}: {stage}", done, total)
