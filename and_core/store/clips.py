"""Reading the probing dataset of a dissection: records, sound, pictures, captions."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from and_core.errors import ArtifactError, DataError
from and_core.records import Clip, Skipped, settled_labels
from and_core.store.artifacts import Artifacts, reading

COUNTS = ("clips", "counted", "ranked", "kept", "named", "left_out")  # of a streamed pass


class Clips(Artifacts):
    """The clips of one dissection."""

    @property
    def streamed(self) -> dict[str, Any] | None:
        """What a streamed pass was over and what it kept: how many ``clips`` there were, ``counted`` for statistics,
        ``ranked``, ``kept`` with all their activations, ``named`` in all, and were ``left_out``; None where activations
        of all clips are kept."""
        noted = self.notes("activations").get("streamed") if self.has("activations") else None
        if noted is not None and not (isinstance(noted, dict) and all(type(noted.get(name)) is int for name in COUNTS)):
            raise ArtifactError(f"the manifest of {self.name!r} does not say what its streamed pass kept")
        return noted

    @property
    def clips_artifact(self) -> str:
        """Name of the table of clips: after a streamed pass, of those that it kept or named."""
        return "clips/clips" if self.streamed is None else "activations/clips"

    @property
    def clip_table(self) -> pa.Table:
        """One row a clip: its record, acoustic measures, and truth where it is known."""
        return self.table(self.clips_artifact)

    @property
    def with_activations(self) -> np.ndarray:
        """(N,) bool: clips whose activations are kept, which are the first; all, but after a streamed pass."""
        mask = np.ones(self.clip_table.num_rows, bool)
        if self.streamed is not None:
            mask[self.streamed["kept"] :] = False
        return mask

    @property
    def activation_clips(self) -> list[Clip]:
        """The clips whose activations are kept, in the order of the rows of activations."""
        return self.clips[: int(self.with_activations.sum())]

    @cached_property
    def clips(self) -> list[Clip]:
        """The probing dataset's usable clips, in order, with the labels that stand: corrected where somebody did.

        After a streamed pass: those whose activations are kept, then the others that are among the extreme clips of any
        neuron.

        `trained` is None where the target's training folds are not known.
        """
        if not self.has("labels"):
            return self.clips_as_given
        given = list(self.clips_as_given)
        for row in self.table("labels/labels").to_pylist():
            if row["clip"] >= len(given):
                continue  # named by a streamed pass, and not kept
            clip = given[row["clip"]]
            label, labels = settled_labels(None, row["labels"])
            given[clip.index] = clip.model_copy(
                update={"label": label, "labels": labels, "original_label": clip.label or ""}
            )
        return given

    @cached_property
    def clips_as_given(self) -> list[Clip]:
        """The clips with the dataset's own labels."""
        table = self.clip_table
        columns = [name for name in Clip.model_fields if name != "trained" and name in table.column_names]
        folds = set(self.notes("activations").get("trained_folds", ())) if self.has("activations") else set()
        clips = []
        for row in table.select(columns).to_pylist():
            row["label"], row["labels"] = settled_labels(row["label"], row.get("labels"))
            trained = row["fold"] in folds if folds else None
            clips.append(Clip.model_construct(**row, trained=trained))
        return clips

    @cached_property
    def classes(self) -> list[str]:
        """Labels of the probing dataset, sorted; empty where clips have none."""
        if self.streamed is not None and not self.has("labels"):
            return list(self.document("activations/labels"))  # of all clips, as class means are
        return classes_of(self.clips)

    @cached_property
    def label_mask(self) -> np.ndarray:
        """(N, classes) bool: which of :attr:`classes` each clip has; none where it has no label."""
        return mask_of(self.clips, self.classes)

    @cached_property
    def skipped(self) -> list[Skipped]:
        """Clips left out, each with the reason."""
        return [Skipped(**row) for row in self.table("clips/skipped").to_pylist()]

    def clip_row(self, index: int) -> dict[str, Any]:
        """Return every column of one clip: record, acoustic measures, truth where it is known."""
        table = self.clip_table
        if not 0 <= index < table.num_rows:
            raise DataError(f"clip={index} is out of range; there are {table.num_rows} clips")
        return {name: table.column(name)[index].as_py() for name in table.column_names}

    def audio(self, index: int) -> bytes:
        """Return the clip as FLAC: mono, its own rate up to 48 kHz, loudness untouched."""
        return self._from_pack("audio", index)

    def spectrogram(self, index: int) -> bytes:
        """Return the clip's mel spectrogram as JPEG."""
        return self._from_pack("spectrogram", index)

    def measures(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Return (N,) float64 acoustic measures by name, NaN where one has no meaning for a clip; those that the table
        lacks, being made before, are left out."""
        table = self.clip_table
        return {
            name: table[name].to_numpy(zero_copy_only=False).astype(float)
            for name in names
            if name in table.column_names
        }

    @property
    def captioned(self) -> np.ndarray:
        """(N,) bool: clips with a caption."""
        return np.array([self.caption(i) is not None for i in range(len(self.clips))], bool)

    def _from_pack(self, what: str, index: int) -> bytes:
        table = self.clip_table
        if not 0 <= index < table.num_rows:
            raise DataError(f"clip={index} is out of range; there are {table.num_rows} clips")
        columns = ("pack", f"{what}_offset", f"{what}_bytes", *(("packed_by",) if self.streamed is not None else ()))
        row = {name: table.column(name)[index].as_py() for name in columns}
        if row["pack"] is None:
            raise DataError(f"clip={index} is kept by reference; run the stage 'activations', which reads it")
        stage = row.get("packed_by", "clips")
        if stage not in ("clips", "activations"):
            raise ArtifactError(f"the table of clips of {self.name!r} names no pack of clip {index}")
        name = f"{stage}/{what}"
        with reading(name):
            path = self._check(name, row["pack"])
            with open(path, "rb") as handle:
                handle.seek(row[f"{what}_offset"])
                return handle.read(min(row[f"{what}_bytes"], path.stat().st_size))

    def caption(self, index: int) -> str | None:
        """Caption of a clip, None where it has none."""
        return self._captions.get(index)

    def captions(self, index: int) -> list[str]:
        """Return all captions of a clip one by one; :meth:`caption` joins them."""
        several = self._several_captions.get(index)
        return several or [text for text in (self.caption(index),) if text]

    @cached_property
    def _several_captions(self) -> dict[int, list[str]]:
        if not self.has("captions") or "captions/each" not in self.manifest.artifacts:
            return {}
        captions: dict[int, list[str]] = {}
        table = self.table("captions/each")
        for clip, text in zip(table["clip"].to_pylist(), table["text"].to_pylist(), strict=True):
            captions.setdefault(clip, []).append(text)
        return captions

    @cached_property
    def _captions(self) -> dict[int, str]:
        if not self.has("captions"):
            return {}
        table = self.table("captions/captions")
        return dict(zip(table["clip"].to_pylist(), table["text"].to_pylist(), strict=True))


def classes_of(clips: Iterable[Clip]) -> list[str]:
    """Return the labels of clips, sorted."""
    return sorted({label for clip in clips for label in clip.labels})


def mask_of(clips: list[Clip], classes: list[str]) -> np.ndarray:
    """Return (N, classes) bool: which of the classes each clip has."""
    number = {name: i for i, name in enumerate(classes)}
    mask = np.zeros((len(clips), len(number)), bool)
    for clip in clips:
        mask[clip.index, [number[label] for label in clip.labels]] = True
    return mask
