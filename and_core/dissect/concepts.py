"""Concept sets: the strings that module A may name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from and_core.data import bundled
from and_core.errors import ConfigError
from and_core.names import readable
from and_core.store.files import plain_file

UNLABELLED = "sound-phrases"  # the set that comes with the package
CONCEPT_SETS = bundled("concepts")


def concept_set(source: str, classes: list[str]) -> list[str]:
    """Return the concepts that a run names.

    Parameters
    ----------
    source : str
        ``auto`` (the classes of the probing dataset, :data:`UNLABELLED` where its clips have no labels), ``classes``,
        ``esc50``,
        ``urbansound8k``, ``gtzan``, ``sound-phrases``, or a text file, one concept a line.
    classes : list of str
        Labels of the probing dataset.

    Raises
    ------
    ConfigError
        The file is missing, empty, no text, or names a concept twice; or there are no classes.
    """
    if source == "auto":
        source = "classes" if classes else UNLABELLED
    named = CONCEPT_SETS / f"{source}.txt"
    if source.replace("-", "").isalnum() and source != "classes" and named.is_file():
        source = str(named)
    if source == "classes":
        if not classes:
            raise ConfigError(
                "closed.concepts='classes', but the clips have no labels; take sound-phrases, or give a text file with "
                "one concept a line"
            )
        return classes
    try:
        lines = plain_file(Path(source)).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"closed.concepts={source!r} can't be read: {error}") from None
    concepts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not concepts:
        raise ConfigError(f"closed.concepts={source!r} holds no concept; one a line is needed")
    twice = [c for c, n in Counter(readable(c) for c in concepts).items() if n > 1]
    if twice:
        raise ConfigError(
            f"closed.concepts={source!r} names {len(twice)} concepts more than once: {', '.join(twice[:10])}"
        )
    return concepts
