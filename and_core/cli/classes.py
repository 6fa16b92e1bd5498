"""`and-dissect classes`: which labels of a collection each class of a network stands for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from and_core.cli.console import Yes, err, out, reported

NAMED = 20  # names without a partner that are listed

if TYPE_CHECKING:
    from and_core.config import RunConfig
    from and_core.labels.propose import Proposal


def classes(
    config: Annotated[Path, typer.Argument(help="YAML file whose `dataset` and `target` are matched.")],
    to: Annotated[
        Path | None, typer.Option("--out", help="File that is written; by default beside the configuration.")
    ] = None,
    yes: Yes = False,
    check: Annotated[bool, typer.Option("--check", help="Check the `class_map` of the configuration instead.")] = False,
) -> None:
    """Propose which labels of a collection each class of a network stands for, and write what is confirmed to a CSV."""
    with reported():
        from and_core.config import load_config

        checked = load_config(config)
        labels, names = _labels(checked), _classes(checked)
        if check:
            _check(checked, names, labels)
            return
        proposals = _propose(checked, names, labels)
        _print(proposals, names, labels)
        if not proposals:
            return
        if to is None and _only_names(proposals):
            out.print("each is called alike, which is matched without a file: no class map is needed")
            return
        path = to or config.with_name(f"{config.stem}.classes.csv")
        _write(path, proposals, yes)
        line = path.resolve()
        folder = config.resolve().parent
        shown = line.relative_to(folder) if line.is_relative_to(folder) else line
        out.print(f"{path}: {len(proposals)} pairs; delete the rows that you do not want", markup=False, soft_wrap=True)
        out.print(f"add to {config}:", markup=False, soft_wrap=True)
        out.print(f"class_map: {shown.as_posix()}", markup=False, soft_wrap=True)


def _labels(config: RunConfig) -> list[str]:
    """Return the labels of the collection, sorted; nothing is decoded."""
    from and_core.datasets.base import DATASETS
    from and_core.errors import DataError

    dataset = DATASETS.create(config.dataset)
    labels = sorted({label for ref in dataset.references() for label in ref.labels})
    if not labels:
        raise DataError(f"dataset: {dataset.describe()} has no labels, so its clips have no class of the network's")
    return labels


def _classes(config: RunConfig) -> list[str]:
    from and_core.errors import TargetError
    from and_core.targets.base import TARGETS

    target = TARGETS.create(config.target)
    target.load("cpu")
    if not target.classes:
        raise TargetError(f"target: {target.describe()} has no classes, so no label is matched with one")
    return list(target.classes)


def _propose(config: RunConfig, names: list[str], labels: list[str]) -> list[Proposal]:
    from and_core.encoders.base import ENCODERS, check_spread
    from and_core.labels.propose import propose_class_map

    encoder = ENCODERS.create(config.encoder)
    check_spread(encoder, "encoder")
    return propose_class_map(names, labels, encoder.encode)


def _only_names(proposals: list[Proposal]) -> bool:
    from and_core.names import plain_name

    return all(plain_name(p.class_name) == plain_name(p.label) for p in proposals)


def _print(proposals: list[Proposal], names: list[str], labels: list[str]) -> None:
    grid = Table("class", "label", "how", "similarity")
    for p in proposals:
        grid.add_row(p.class_name, p.label, p.how, f"{p.similarity:.2f}")
    out.print(grid)
    for what, every, matched in (
        ("labels without a class", labels, {p.label for p in proposals}),
        ("classes without a label", names, {p.class_name for p in proposals}),
    ):
        alone = [name for name in every if name not in matched]
        if alone:
            more = f" and {len(alone) - NAMED} more" if len(alone) > NAMED else ""
            out.print(f"{what}: {'; '.join(alone[:NAMED])}{more} ({len(alone)})", markup=False, soft_wrap=True)


def _write(path: Path, proposals: list[Proposal], yes: bool) -> None:
    from and_core.labels.class_map import write_class_map

    confirm_file(path, yes)
    write_class_map(path, proposals)


def confirm_file(path: Path, yes: bool) -> None:
    """Ask before a map is written; one that is there is not replaced unasked.

    Raises
    ------
    DataError
        It is there, and nothing is to be asked.
    """
    from and_core.errors import DataError

    if path.exists() and yes:
        raise DataError(f"{path} is there already and may have been edited; delete it, or name another with --out")
    question = f"{path} is there already; replace it?" if path.exists() else f"write {path}?"
    if not yes and not typer.confirm(question):
        raise typer.Exit(1)


def _check(config: RunConfig, names: list[str], labels: list[str]) -> None:
    from and_core.labels.class_map import by_name, check_class_map, read_class_map

    class_map = read_class_map(config.class_map) if config.class_map is not None else by_name(names, labels)
    warnings = check_class_map(class_map, names, labels)
    where = class_map.path or "equal names (no class_map is set)"
    out.print(f"{where}: {len(class_map.pairs)} pairs of a class and a label", markup=False, soft_wrap=True)
    for warning in warnings:
        err.print(f"warning: {warning}", markup=False, soft_wrap=True)
