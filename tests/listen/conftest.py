"""What the tests of this room share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from and_core import open_dissection, pipeline
from and_core.listen.decision import dissection_listener
from tests.conftest import small_config

QUICK = {"components": 6, "epochs": 2, "measured": 6, "by_design": True, "decoder": True, "learning_rate": 0.002}


@pytest.fixture(scope="module")
def listened(cache: Path, tmp_path_factory: pytest.TempPathFactory):
    """The small dissection with everything of listening, two passes of training each."""
    root = tmp_path_factory.mktemp("listened")
    shutil.copytree(cache / "small", root / "small")
    pipeline.run(small_config(listening=QUICK), root=root)
    return open_dissection("small", root=root)


@pytest.fixture(scope="module")
def listener(listened):
    return dissection_listener(listened)
