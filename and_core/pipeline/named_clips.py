"""Clips by reference: read where they lie and checked by hash; those that anything names are packed after all."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile as sf

from and_core.audio.measures import MEASURES, UNITS
from and_core.datasets.base import ClipRef, Dataset
from and_core.datasets.prepare import MEDIA, referenced_sound
from and_core.errors import DataError
from and_core.pipeline.clips import PER_CHUNK, prepare
from and_core.pipeline.stage import Run
from and_core.store.chunks import read_mark
from and_core.store.dissection import Dissection
from and_core.store.writer import StageWriter

REFERENCE = ("packed", "path", "sha256")  # columns of a clip by reference


class StreamedSounds:
    """The sound of all clips of a streamed pass.

    Attributes
    ----------
    packed : (N,) bool
        Clips that are kept as sound.
    gone : dict of int to str
        Clips that had changed or were gone when they were to be heard -> why.
    uncounted : set of int
        Those, and what else counts for nothing.
    """

    def __init__(self, dataset: Dataset[Any], dissection: Dissection) -> None:
        self._dataset, self._dissection = dataset, dissection
        table = dissection.clip_table
        self.packed = table["packed"].to_numpy(zero_copy_only=False).astype(bool)
        self._sha256, self._names, self._paths = table["sha256"], table["name"], table["path"]
        self._refs = {(ref.name, ref.path): ref for ref in dataset.references()}
        self.gone: dict[int, str] = {}
        self.uncounted: set[int] = set()

    def flac(self, clip: int) -> bytes:
        """Return a clip's FLAC, from its pack or from where it lies.

        Raises
        ------
        DataError
            It has changed or is gone.
        """
        if self.packed[clip]:
            return self._dissection.audio(clip)
        ref = self.reference(clip)
        if ref is None:
            raise DataError(f"{self._names[clip].as_py()} is gone")
        return referenced_sound(self._dataset, ref, self.sha256(clip))

    def reference(self, clip: int) -> ClipRef | None:
        """Return a clip as its dataset names it, None where it does so no more."""
        return self._refs.get((self._names[clip].as_py(), self._paths[clip].as_py()))

    def sha256(self, clip: int) -> str:
        """Return the hash of a clip's FLAC as it was listed."""
        return str(self._sha256[clip].as_py())

    def flac_or_silence(self, clip: int) -> bytes:
        """Return a clip's FLAC; of one that has changed or is gone, silence, which counts for nothing."""
        try:
            return self.flac(clip)
        except DataError as error:
            self.gone[clip] = str(error)
            self.uncounted.add(clip)
            return self.silence(clip)

    def silence(self, clip: int) -> bytes:
        """Return silence of a clip's length, as FLAC."""
        row, buffer = self._dissection.clip_row(clip), io.BytesIO()
        silent = np.zeros(max(1, round(row["seconds"] * row["rate"])), np.float32)
        sf.write(buffer, silent, row["rate"], format="FLAC", subtype="PCM_24")
        return buffer.getvalue()


def gather(
    run: Run, writer: StageWriter, sounds: StreamedSounds, named: np.ndarray
) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Pack the sound of clips that are named and not kept yet.

    Returns
    -------
    rows : dict of int to dict
        Clip -> its measures and where it is packed.
    gone : dict of int to str
        Clips that have changed or are gone -> why.
    """
    marks = writer.chunks / "sounds"
    marks.mkdir(exist_ok=True)
    rows: dict[int, dict[str, Any]] = {}
    gone = {clip: "is gone" for clip in named.tolist() if sounds.reference(clip) is None}
    there = [clip for clip in named.tolist() if clip not in gone]
    parts = [there[i : i + PER_CHUNK] for i in range(0, len(there), PER_CHUNK)]
    refs = [[ref for clip in part if (ref := sounds.reference(clip)) is not None] for part in parts]
    prepare(run, writer.out, marks, refs, [list(range(len(part))) for part in parts], "activations")
    packs = 0
    for number, part in enumerate(parts):
        note = read_mark(marks / f"{number:06d}")[1]
        made = {part[row["place"]]: row for row in note["rows"]}
        reasons = {skipped["name"]: skipped["reason"] for skipped in note["skipped"]}
        for place, clip in enumerate(part):
            if clip not in made:
                gone[clip] = reasons.get(refs[number][place].name, "can't be read any more")
            elif made[clip]["sha256"] != sounds.sha256(clip):
                gone[clip] = f"{refs[number][place].name} has changed since the clips were listed"
            else:
                rows[clip] = {**made[clip], "pack": packs}
        packs += bool(note["rows"])
    for what, dtype in (("audio", "flac"), ("spectrogram", "jpeg")):
        writer.files(what, "pack", sorted(writer.out.glob(f"{what}-*.pack")), [len(rows)], dtype, ["clip"])
    return rows, gone


def write_named(
    run: Run, writer: StageWriter, kept: np.ndarray, gathered: dict[int, dict[str, Any]], gone: dict[int, str]
) -> np.ndarray:
    """Write the table of the clips that stay: those that are kept whole first, then the others that are named.

    Returns
    -------
    (N,) int64
        Index of each clip in that table, -1 for one that is not there.
    """
    d = run.dissection
    numbers = np.concatenate([kept, np.array(sorted(gathered), np.int64)]).astype(np.int64)
    table = d.clip_table
    rows = table.take(pa.array(numbers)).to_pylist()
    for index, (number, row) in enumerate(zip(numbers.tolist(), rows, strict=True)):
        row |= {"index": index, "number": number, "packed_by": "clips" if index < len(kept) else "activations"}
        if number in gathered:
            new = gathered[number]
            row |= {key: None if new[key] != new[key] else new[key] for key in MEASURES}
            row |= {key: new[key] for key in ("pack", *(f"{what}_{x}" for what in MEDIA for x in ("offset", "bytes")))}
    for row in rows:
        for key in REFERENCE:
            del row[key]
    writer.provenance = run.dataset.provenance
    writer.table("clips", pa.Table.from_pylist(rows), {**UNITS, "seconds": "s", "rate": "Hz", "peak": "full scale"})
    names = pa.array([d.clips[clip].name for clip in sorted(gone)], pa.string())
    writer.table(
        "left_out", pa.table({"name": names, "reason": pa.array([gone[i] for i in sorted(gone)], pa.string())})
    )
    writer.provenance = "computed"
    place = np.full(len(d.clips), -1, np.int64)
    place[numbers] = np.arange(len(numbers))
    return place
