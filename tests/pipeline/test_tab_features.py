"""Features of TAB: standardized cosines, and settings that tell dissections apart as they did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from and_core.config import SIMILARITY_NAMES
from and_core.pipeline.closed import spread, tab_parameters
from and_core.pipeline.stage import Run
from tests.conftest import small_config
from tests.tiny import tiny_ast


def test_standardized_cosines() -> None:
    cosine = np.array([[0.1, 0.9, 0.5], [0.3, 0.9, 0.5], [0.5, 0.6, 0.5]], np.float32)
    expected = [[-1.2247, 0.7071, 0.0], [0.0, 0.7071, 0.0], [1.2247, -1.4142, 0.0]]
    assert np.allclose(spread(cosine, "standardized", 1.0), expected, atol=1e-4), "what is always near says nothing"


@given(arrays(np.float32, (7, 3), elements=st.floats(-1, 1, width=32)), st.floats(0.5, 3), st.floats(-1, 1))
def test_standardizing_takes_away_a_factor_and_an_offset(cosine: np.ndarray, factor: float, offset: float) -> None:
    made = spread(cosine, "standardized", 1.0)
    assert made.dtype == np.float32 and np.isfinite(made).all()
    varied = cosine.astype(np.float64).std(0) > 1e-3
    assert np.allclose(made.mean(0), 0, atol=1e-4) and np.allclose(made.std(0)[varied], 1, atol=1e-4)
    moved = spread((cosine * factor + offset).astype(np.float32), "standardized", 1.0)
    assert np.allclose(moved[:, varied], made[:, varied], atol=2e-2)


@pytest.mark.parametrize("given_features", [{}, {"features": "cosine"}])
def test_dissections_made_before_are_told_apart_as_they_were(given_features: dict, tmp_path: Path) -> None:
    assert tab_parameters(Run(small_config(tab=given_features), tmp_path)) == {
        "similarities": list(SIMILARITY_NAMES),
        "features": "cosine",
        "softmax_scale": 100.0,
        "scoring": "layer",
        "rank_variant": "argsort",
        "top": 10,
    }


def test_a_tagger_s_cosines_are_standardized_unless_the_configuration_says_otherwise(tmp_path: Path) -> None:
    ears = {"kind": "tagger", "target": {"kind": "ast", "checkpoint": tiny_ast(tmp_path / "net")}}
    found = [
        tab_parameters(Run(small_config(audio_encoder=ears, tab=tab), tmp_path))["features"]
        for tab in ({}, {"features": "auto"}, {"features": "cosine"}, {"features": "softmax"})
    ]
    assert found == ["standardized", "standardized", "cosine", "softmax"]
