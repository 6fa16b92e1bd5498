"""The table of what a stage costs names every stage, and says what the stage's own docstring says."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from and_core.pipeline.run import STAGES

TABLE = Path(__file__).parents[2] / "docs" / "speed.md"


def test_every_stage_stands_in_the_table_of_costs() -> None:
    text = TABLE.read_text().split("## What a stage costs")[1]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", text, re.M))
    assert list(rows) == [stage.name for stage in STAGES]
    for stage in STAGES:
        stated = re.search(r"Cost: (.+)\.$", inspect.getdoc(stage.compute) or "", re.M)
        assert rows[stage.name] == (stated.group(1) if stated else "not examined"), stage.name
