"""The corpus that the package synthesises itself: nothing to download."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from and_core.corpus import clips as corpus
from and_core.corpus.recipes import CATEGORIES
from and_core.datasets.base import DATASETS, ClipRef, Dataset
from and_core.registry import Settings

FRESH_SEED = 7777  # of the clips that units are planted by
FRESH_CLIPS = 100  # of each category among these: an adjective is fitted within a category too


class SyntheticSettings(Settings):
    """`categories` empty means all of them."""

    per_category: Annotated[int, Field(ge=1, le=1000)] = corpus.PER_CATEGORY
    seed: int = 0
    categories: tuple[str, ...] = ()

    @field_validator("categories")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - set(CATEGORIES))
        if unknown:
            raise ValueError(f"not in the corpus: {', '.join(unknown)}; allowed: {', '.join(CATEGORIES)}")
        return value


@DATASETS.register
class Synthetic(Dataset[SyntheticSettings]):
    """Clips in ESC-50's categories, drawn from a seed. Shown as synthetic everywhere."""

    kind = "synthetic"
    provenance = "synthetic"

    def _jobs(self) -> list[tuple[str, int, int]]:
        s = self.settings
        return corpus.corpus_jobs(s.per_category, s.seed, s.categories or CATEGORIES)

    def references(self) -> list[ClipRef]:
        """Return clips by category and number; folds as in ESC-50."""
        refs = []
        for category, index, seed in self._jobs():
            name = corpus.clip_name(category, index)
            refs.append(
                ClipRef(
                    name, category, int(name[0]), name.split("-")[1], None, {"recipe": f"{category}/{index}/{seed}"}
                )
            )
        return refs

    def read(self, ref: ClipRef) -> tuple[np.ndarray, int]:
        """Synthesise the clip."""
        wave, _ = _made(str(ref.extra["recipe"]))
        return wave, corpus.SAMPLE_RATE

    def columns(self, ref: ClipRef) -> dict[str, object]:
        """Return the recipe, and the truth that the clip was made from."""
        return {**ref.extra, **corpus.truth_row(_made(str(ref.extra["recipe"]))[1])}

    def fresh_settings(self) -> dict[str, Any]:
        """Return another seed, and more clips."""
        return {"seed": FRESH_SEED, "per_category": FRESH_CLIPS}

    def fingerprint(self) -> str:
        """Return recipe and version, not bytes: processors may round differently."""
        s = self.settings
        return corpus.fingerprint(s.per_category, s.seed, s.categories or CATEGORIES)

    def describe(self) -> str:
        """Return one line for provenance."""
        jobs = self._jobs()
        return (
            f"synthetic corpus, {len(jobs)} clips in {len({j[0] for j in jobs})} categories, seed {self.settings.seed}"
        )


@lru_cache(maxsize=4)
def _made(recipe: str) -> tuple[np.ndarray, corpus.Truth]:
    category, index, seed = recipe.split("/")
    return corpus.make_clip(category, int(index), int(seed))
