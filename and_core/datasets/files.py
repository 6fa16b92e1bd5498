"""The sound files below a folder, links followed; what is passed over is counted."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from and_core.audio.decode import SUFFIXES


@dataclass
class SoundFiles:
    """What a walk through a folder gives.

    Attributes
    ----------
    files : list of (tuple of str, Path)
        Parts of the name below the folder, as they can be shown, and the path; in order of the parts.
    passed_over : Counter
        What else there is: kind -> how many.
    """

    files: list[tuple[tuple[str, ...], Path]] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)


def printable_name(name: str) -> str:
    """Return a file's name with U+FFFD for the bytes that are no UTF-8 (as archives of other systems leave them)."""
    return os.fsencode(name).decode("utf-8", "replace")


def sound_files(root: Path, every: bool = False) -> SoundFiles:
    """Walk through a folder; files with a suffix of sound count, or every one.

    Links to files and folders are followed, but not into a folder that the way there leads through. A link that leads
    nowhere is listed like a file, so that the run names it.
    """
    sounds = SoundFiles()
    _walk(root, (), (os.path.realpath(root),), every, sounds)
    sounds.files.sort(key=lambda file: (file[0], os.fsencode(file[1])))
    seen: Counter[tuple[str, ...]] = Counter()
    for i, (parts, path) in enumerate(sounds.files):  # two names that differ in unreadable bytes alone
        seen[parts] += 1
        if seen[parts] > 1:
            sounds.files[i] = ((*parts[:-1], f"{parts[-1]} ({seen[parts]})"), path)
    return sounds


def _walk(folder: Path, above: tuple[str, ...], parents: tuple[str, ...], every: bool, sounds: SoundFiles) -> None:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError:
        sounds.passed_over["folder that can't be read"] += 1
        return
    for entry in entries:
        parts, path = (*above, printable_name(entry.name)), Path(entry.path)
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:  # a link to itself
            is_folder = is_file = False
        if entry.name.startswith("."):
            sounds.passed_over["hidden"] += 1
        elif is_folder:
            real = os.path.realpath(path)
            if real in parents:
                sounds.passed_over["link that leads back"] += 1
            else:
                _walk(path, parts, (*parents, real), every, sounds)
        elif not is_file and not entry.is_symlink():
            sounds.passed_over["no regular file"] += 1
        elif every or path.suffix.lower() in SUFFIXES:
            sounds.files.append((parts, path))
        else:
            sounds.passed_over[printable_name(path.suffix.lower()) or "without suffix"] += 1
