"""`and-dissect data check`: what a data set holds, and which of its clips are the same recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from and_core.cli.console import err, out, reported

if TYPE_CHECKING:
    from and_core.datasets.base import Dataset
    from and_core.datasets.check import SoundCheck

FORMATS = ("text", "json")
LISTED = 20  # pairs and recordings that the text names; JSON has all


def data_check(
    config: Annotated[Path, typer.Argument(help="YAML file whose `dataset` is checked.")],
    sound: Annotated[bool, typer.Option(help="Decode every clip, to find those that are the same recording.")] = True,
    form: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Count clips, classes, folds and sources of a data set, name the files that are missing, and find near-duplicates
    and recordings that lie in several folds."""
    with reported():
        from and_core.config import load_config
        from and_core.datasets.base import DATASETS
        from and_core.errors import one_of

        if form not in FORMATS:
            raise one_of("format", form, FORMATS)
        checked = load_config(config)
        dataset = DATASETS.create(checked.dataset)
        counts, missing = dataset.check()
        if form == "text":
            _print_counts(dataset, counts, missing)
        checks = _check_sound(dataset, checked.workers) if sound else None
        if form == "json":
            listed: dict[str, Any] = {"dataset": dataset.describe(), "counts": counts, "missing": missing}
            listed |= {"passed_over": dataset.passed_over(), "sound": None if checks is None else checks.as_json()}
            print(json.dumps(listed, indent=2))
        elif checks is not None:
            _print_sound(checks)
        if missing:
            raise typer.Exit(1)


def _print_counts(dataset: Dataset[Any], counts: dict[str, int], missing: list[str]) -> None:
    out.print(f"{dataset.describe()}: " + ", ".join(f"{n} {what}" for what, n in counts.items()), soft_wrap=True)
    passed = dataset.passed_over()
    if passed:
        out.print("passed over: " + ", ".join(f"{n} {what}" for what, n in passed.items()), soft_wrap=True)
    for name in missing:
        out.print(f"missing: {name}", soft_wrap=True)
    if missing:
        out.print(f"{len(missing)} of {counts['clips']} files are missing")


def _check_sound(dataset: Dataset[Any], workers: int) -> SoundCheck:
    from and_core.datasets.check import check_sound
    from and_core.progress import bars

    with bars({"sound": "Comparing clips by sound"}, err) as progress:
        return check_sound(dataset, workers, lambda done, total: progress("sound", done, total))


def _print_sound(checks: SoundCheck) -> None:
    from and_core.datasets.duplicates import groups_of

    lines = [
        f"{'copy' if p.copy else 'part'}: {checks.names[p.a]} and {checks.names[p.b]} hold the same {p.seconds:.1f} s "
        f"({100 * p.agreement:.0f} % of the fingerprint agrees)"
        for p in checks.pairs
    ]
    clips = sum(map(len, groups_of(checks.pairs)))
    out.print(f"near-duplicates, clips with the same sound: {len(lines)} pairs, {clips} of {len(checks.names)} clips")
    _print_some(lines)
    lines = [
        f"folds {', '.join(map(str, s.folds))} share a {'source' if s.by == 'source' else 'sound'}: "
        + ", ".join(checks.names[i] for i in s.clips)
        for s in checks.split
    ]
    out.print(f"on both sides of a split, in several folds: {len(lines)} recordings")
    _print_some(lines)
    for name, reason in checks.unread.items():
        out.print(f"can't be read: {name}: {reason}", soft_wrap=True)


def _print_some(lines: list[str]) -> None:
    for line in lines[:LISTED]:
        out.print(f"  {line}", soft_wrap=True)
    if len(lines) > LISTED:
        out.print(f"  and {len(lines) - LISTED} more; --format json names all")
