"""Corrected captions: what depends on them run anew, and what that changed."""

from __future__ import annotations

from dataclasses import dataclass

from and_core.captioners.corrected import Corrected
from and_core.config import PluginConfig, RunConfig
from and_core.errors import DataError
from and_core.kept.changes import Change, write_changes
from and_core.kept.database import KeptFile
from and_core.kept.edits import write_corrections
from and_core.pipeline.recorded import config_for
from and_core.pipeline.run import run
from and_core.progress import Progress
from and_core.store.dissection import Dissection


@dataclass(frozen=True)
class Corrections:
    """What a run with corrected captions did: stages computed anew, and neurons whose headline changed."""

    computed: list[str]
    changes: list[Change]


def corrected_config(d: Dissection, config: RunConfig) -> RunConfig:
    """Return a configuration with the captions of a dissection as they are corrected now; without corrections, with
    the captioner's own.

    The file of corrections is found by its contents, so equal corrections give equal results.
    """
    original = config.captions
    if original.kind == Corrected.kind:
        original = PluginConfig(**(original.model_extra or {})["of"])
    path = write_corrections(KeptFile(d.folder.parent), d.name)
    captions = original if path is None else PluginConfig(kind=Corrected.kind, of=original.model_dump(), path=path)
    return config.model_copy(update={"captions": captions})


def run_corrections(
    d: Dissection, config: RunConfig | None = None, progress: Progress | None = None, reuse: bool = False
) -> Corrections:
    """Run what depends on the corrected captions of a dissection, and keep what that changed.

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
    before = headline_texts(d)
    chosen = corrected_config(d, config or config_for(d, None))
    outcome = run(chosen, root=d.folder.parent, progress=progress, recorded=config is None, reuse=[d.name] * reuse)
    after = headline_texts(Dissection(d.folder))
    changes = [
        Change(str(d.neuron_id(i)), old, new)
        for i, (old, new) in enumerate(zip(before, after, strict=True))
        if old != new
    ]
    if outcome.computed:  # a run that had nothing to do changed nothing, and leaves what the last one said
        write_changes(KeptFile(d.folder.parent), d.name, outcome.computed, changes)
    return Corrections(outcome.computed, changes)


def headline_texts(d: Dissection) -> list[str]:
    """Return the headline of every neuron."""
    return [d.headline(d.neuron_id(i)).text for i in range(d.neuron_count)]
