"""`and-dissect ears`: how reliable a pair of ears is, measured on a labelled collection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from and_core.cli.console import OutFile, Yes, bars, out, reported

if TYPE_CHECKING:
    from and_core.evaluate.reliability import Measured


def ears(
    config: Annotated[Path, typer.Argument(help="YAML file whose `dataset` has labels.")],
    to: OutFile = None,
    only: Annotated[Literal["captions", "sounds"] | None, typer.Option(help="Keep one pair of ears alone.")] = None,
    yes: Yes = False,
) -> None:
    """Measure how reliable the captions, and the audio encoder, of a configuration are on its labelled clips, and write
    what they heard to a file for other runs of the same captioner and encoders (setting `scores.ears`)."""
    with reported():
        from and_core.cli.classes import confirm_file
        from and_core.config import load_config
        from and_core.evaluate.reliability import save
        from and_core.pipeline.ears import measure

        checked = load_config(config)
        path = to or config.with_name(f"{config.stem}.ears.safetensors")
        confirm_file(path, yes)
        with bars() as progress:
            home, results = measure(checked, only=only, progress=progress)
        for name, result in results.items():
            out.print(_grid(f"{name}: {home.about['described'][name]}", result))
            error = f"{result.error:.3f}"
            out.print(
                f"{100 * result.right:.0f} % of the clips taken for what they are; calibration error on simulated "
                f"neurons {error}",
                markup=False,
                soft_wrap=True,
            )
        save(path, home)
        out.print(
            f"{path}: {home.about['clips']} clips of {home.about['home']}, {len(home.labels)} labels",
            markup=False,
            soft_wrap=True,
        )
        out.print("add to the configuration of clips without labels:", markup=False)
        out.print(f"scores: {{ears: {path.name}}}", markup=False, soft_wrap=True)


def _grid(title: str, result: Measured) -> Table:
    grid = Table("concept", "clips", "AUROC", "taken for", "of its clips", "neurons named right", title=title)
    for row in result.rows:
        right = "-" if row["named_right"] is None else f"{100 * row['named_right']:.0f} %"
        area = "-" if row["auroc"] is None else f"{row['auroc']:.2f}"
        share = f"{100 * row['taken_share']:.0f} %"
        grid.add_row(row["concept"], str(row["clips"]), area, row["taken_for"], share, right)
    return grid
