"""What is drawn around on a map is found again from the address."""

from __future__ import annotations

import numpy as np
import pytest

from and_core.figures.outline import CORNERS, inside, read_outline, written_outline


def test_a_lasso_is_found_again_from_its_text() -> None:
    places = np.array([[0, 0], [3, 0], [0, 3], [2.1, 2.1], [np.nan, 0], [-1, 0.5]])
    angle = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    text = written_outline((2.5 * np.cos(angle)).tolist(), (2.5 * np.sin(angle)).tolist())
    outline = read_outline(text)
    assert outline is not None and len(outline) == CORNERS and len(text) < 700
    assert inside(places, outline).tolist() == [0, 5]


def test_a_box_has_four_corners_and_a_notch_is_outside() -> None:
    box = read_outline(written_outline([0, 2], [0, 1]))
    assert box is not None and inside(np.array([[1, 0.5], [3, 0.5], [1, 2]]), box).tolist() == [0]
    notch = np.array([[0, 0], [4, 0], [4, 4], [2, 1], [0, 4]], float)
    assert inside(np.array([[2, 0.5], [2, 3], [0.5, 2]]), notch).tolist() == [0, 2]


@pytest.mark.parametrize("text", ["", "1,2 3,4", "a,b c,d e,f", "1 2 3", "1,2,3 4,5,6 7,8,9"])
def test_what_is_no_outline_is_none(text: str) -> None:
    assert read_outline(text) is None
