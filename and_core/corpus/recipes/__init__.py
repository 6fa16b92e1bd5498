"""Recipes of the synthetic corpus: one function per sound category, named as in ESC-50."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from and_core.corpus.synth import Scene

Recipe = Callable[[Scene], None]
RECIPES: dict[str, Recipe] = {}


def recipe(function: Recipe) -> Recipe:
    """Register a recipe under its own name."""
    RECIPES[function.__name__] = function
    return function


for _family in ("animals", "nature", "people", "indoors", "outdoors"):
    import_module(f"and_core.corpus.recipes.{_family}")

CATEGORIES: tuple[str, ...] = tuple(sorted(RECIPES))
