"""What can be wrong with a checkpoint, said in one line: foreign files, sizes and class names that do not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from and_core.errors import TargetError

MULTI_LABEL = "multi_label_classification"  # transformers' `problem_type` of outputs that are judged by a sigmoid


def check_keys(what: str, info: Mapping[str, Any], ignored: Sequence[str] = ()) -> None:
    """Raise where weights are missing or have another shape than the configuration says.

    Parameters
    ----------
    what : str
        How a message names the checkpoint.
    info : mapping
        What transformers gives with ``output_loading_info=True`` (and ``ignore_mismatched_sizes=True``).
    ignored : sequence of str
        Parts of the names of weights that may be missing.

    Raises
    ------
    TargetError
        The message names the weights and both sizes.
    """
    missing = sorted(str(key) for key in info["missing_keys"] if not any(part in str(key) for part in ignored))
    faults = [f"{', '.join(missing[:8])}"] if missing else []
    for key, in_file, in_network in sorted(info["mismatched_keys"], key=lambda fault: (-len(fault[1]), str(fault[0]))):
        if str(key).startswith("classif"):
            raise TargetError(f"{what} does not fit: classifier has {in_file[0]} units, id2label {in_network[0]} names")
        faults.append(f"{key} is {_size(in_file)} in the file, {_size(in_network)} by config.json")
    if faults:
        raise TargetError(f"{what} does not fit; missing or of another shape: {'; '.join(faults[:8])}")


def class_names(what: str, names: Any, units: int, setting: str = "id2label") -> list[str]:
    """Return the names of a classifier's units, in order.

    Parameters
    ----------
    names : mapping or sequence
        Unit -> name, the units as numbers or as text (as JSON has them); or a list.
    units : int
        How many there are.

    Raises
    ------
    TargetError
        A unit has no name, or there are more names than units.
    """
    if not isinstance(names, Mapping | list | tuple):
        raise TargetError(f"{what}: {setting} is a {type(names).__name__}; names by unit are needed")
    pairs = names.items() if isinstance(names, Mapping) else enumerate(names)
    try:
        by_unit = {int(unit): str(name) for unit, name in pairs}
    except (TypeError, ValueError):
        raise TargetError(
            f"{what}: {setting} has keys that are no numbers of units: {', '.join(map(str, list(names)[:4]))}"
        ) from None
    unnamed = [unit for unit in range(units) if unit not in by_unit]
    if unnamed:
        raise TargetError(
            f"{what}: {setting} has no name for unit {', '.join(map(str, unnamed[:6]))}; the classifier has {units} "
            "units"
        )
    if len(by_unit) > units:
        raise TargetError(f"{what}: classifier has {units} units, {setting} {len(by_unit)} names")
    return [by_unit[unit] for unit in range(units)]


def check_frames(what: str, made: tuple[Any, Any], taken: tuple[Any, Any]) -> None:
    """Raise where a feature extractor makes other spectrograms than the network takes.

    Sizes are (frames, bins), None where not known.
    """
    differ = [a != b for a, b in zip(made, taken, strict=True) if a is not None and b is not None]
    if any(differ):
        raise TargetError(
            f"{what}: the feature extractor makes {made[0]} frames of {made[1]} bins, the network takes {taken[0]} of "
            f"{taken[1]}"
        )


def _size(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "one number"
