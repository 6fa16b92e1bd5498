"""Bringing one stage up to date: nothing where nothing has changed, else taken over from a neighbour, else computed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from and_core.errors import ANDError, ArtifactError, NotComputed
from and_core.pipeline.stage import Run, Stage, library_versions, read_by, stage_key, thread_count
from and_core.store.artifacts import VIEWS
from and_core.store.files import inside
from and_core.store.manifest import FILE, Manifest, StageRecord
from and_core.store.seal import is_sealed, seal_stages
from and_core.store.writer import StageWriter, adopt, intact, link_stage


@dataclass(frozen=True)
class Outcome:
    """What a run did: stages computed, taken over from another dissection, and found up to date.

    `unanswered` says why the language model answered none of the questions of the run, where it answered none.
    """

    folder: Path
    computed: list[str]
    taken_over: list[str]
    unchanged: list[str]
    unanswered: str | None = None


def run_stage(
    stage: Stage, force: bool, context: Run, manifest: Manifest, outcome: Outcome,
    neighbours: Sequence[Path] = (), trusted: Sequence[Path] = (), ask: bool = True,
) -> None:  # fmt: skip
    """Bring one stage up to date; a stage that the configuration no longer asks for goes.

    Parameters
    ----------
    neighbours : sequence of Path
        Dissections whose equal stages may be taken over, where this installation made them.
    trusted : sequence of Path
        Dissections whose equal stages may be taken over whoever made them; this one's own results stay where it is one
        of them.
    ask : bool
        Whether own results that were made elsewhere are an error; else they are made again.

    Raises
    ------
    NotComputed
        A stage that it reads has not been run.
    ArtifactError
        It is up to date, but by another installation's word.
    """
    if not stage.wanted(context):
        if stage.name in manifest.stages and not stage.optional_result:
            adopt(manifest, stage.name, None, {})
            manifest.save(context.folder)
            context.reopen()
        return
    for name in stage.inputs:
        if not context.dissection.has(name):
            raise NotComputed(
                f"the stage {stage.name!r} reads {name!r}, which has not been run or is out of date; run it first or "
                "leave out --only"
            )
    context.reads = stage.reads
    parameters = stage.parameters(context)
    inputs = {
        name: manifest.stages[name].key for name in read_by(stage, manifest) if context.dissection.has(name)
    }  # those of the optional ones that have run
    key = stage_key(stage, parameters, inputs)
    done = manifest.stages.get(stage.name)
    if (
        done is not None
        and not force
        and up_to_date(stage, done, key, parameters, inputs)
        and whole(stage, context.folder, manifest)
    ):
        known = is_sealed(context.folder, manifest, stage.name)
        if not known and ask and context.folder not in trusted:
            raise ArtifactError(foreign(context.folder.name, stage.name))
        if known or context.folder in trusted:
            seal_stages(context.folder, manifest, [stage.name])
            outcome.unchanged.append(stage.name)
            context.progress(stage.name, 1, 1)
            return
    if not force and _take_over(stage, key, context.folder, manifest, neighbours, trusted):
        outcome.taken_over.append(stage.name)
        context.progress(stage.name, 1, 1)
    else:
        writer = StageWriter(context.folder, stage.name, key)
        with threadpool_limits(
            1, user_api="blas"
        ):  # sums in another order are other numbers, and another map: the same for any number of cores
            stage.compute(context, writer)
        notes = {**writer.notes, "libraries": library_versions(), "threads": thread_count()}
        if (
            "failed_answers" in notes
        ):  # not what the key promises: done again on the next run, and so is all that reads it
            key += (
                "-"
                + hashlib.sha256(
                    "".join(f.sha256 for a in writer.artifacts.values() for f in a.files).encode()
                ).hexdigest()[:8]
            )
        record = StageRecord(key=key, version=stage.version, parameters=parameters, inputs=inputs, notes=notes)
        writer.commit(manifest, record)
        outcome.computed.append(stage.name)
    context.reopen()


def up_to_date(stage: Stage, done: StageRecord, key: str, parameters: dict[str, Any], inputs: dict[str, str]) -> bool:
    """Return whether a finished stage is what is asked for, or more."""
    return done.key == key or (
        done.version == stage.version and done.inputs == inputs and stage.covers(done.parameters, parameters)
    )


def whole(stage: Stage, folder: Path, manifest: Manifest) -> bool:
    """Return whether every file of a finished stage, and of the views that it made, has the bytes that were written."""
    if not intact(folder, manifest, stage.name):
        return False
    for name in stage.views:
        view = inside(folder, VIEWS, name)
        if (view / FILE).exists() or name in manifest.stages[stage.name].notes.get("views", ()):
            try:
                theirs = Manifest.load(view)
                if not all(intact(view, theirs, other) for other in theirs.stages):
                    return False
            except ANDError:
                return False
    return True


def foreign(name: str, stage: str) -> str:
    """Return what is said where results are up to date, but were made elsewhere."""
    return (
        f"the results of {name!r} (stage {stage!r}) were not made by this installation, or by an earlier version of "
        "it, so nobody here knows that they "
        f"are what they claim to be; to go on with them: --reuse {name}; to make them anew: --force, or another name"
    )


def _take_over(
    stage: Stage, key: str, folder: Path, manifest: Manifest, neighbours: Sequence[Path], trusted: Sequence[Path]
) -> bool:
    """Return reuse the same stage of another dissection, where its key is equal, its files are whole, and it was made
    here or asked for by name."""
    for other in neighbours:
        try:
            theirs = Manifest.load(other)
            record = theirs.stages.get(stage.name)
            if record is not None and record.key == key and (other in trusted or is_sealed(other, theirs, stage.name)):
                link_stage(folder, other, manifest, theirs, stage.name)
                return True
        except (ANDError, OSError):
            continue  # a damaged neighbour is no reason to stop: the stage is computed instead
    return False
