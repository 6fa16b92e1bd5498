"""`and-dissect plant`: neurons of known meaning, to see whether the pipeline names what was planted."""

from __future__ import annotations

from typing import Annotated

import typer

from and_core.cli.console import AsRecorded, OwnConfig, bars, out, reported, trusted


def plant(
    names: Annotated[list[str], typer.Argument(help="Dissections whose networks units are planted in.")],
    config: OwnConfig = None,
    as_recorded: AsRecorded = False,
) -> None:
    """Add neurons of known meaning to a network, dissect them, and print what each module and method says of them."""
    with reported():
        from and_core import open_dissection
        from and_core.cli.tables import print_table
        from and_core.errors import ANDError
        from and_core.pipeline.planting import plant as plant_in

        if config is not None and len(names) > 1:
            raise ANDError("config is of one dissection; plant in one at a time")
        made = []
        for name in names:
            d = open_dissection(name)
            own = trusted(d, config, as_recorded)
            with bars() as progress:
                made.append(plant_in(d, progress, own))
        for d in made:
            out.print(d.name, markup=False)
            print_table("planted", d)
