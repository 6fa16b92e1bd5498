"""Both themes can be read: contrast of at least 4.5 to 1 (WCAG AA)."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.conftest import ROOT

VARIABLES = {
    name: (light, dark)
    for name, light, dark in re.findall(
        r"--([\w-]+):light-dark\((#\w+),(#\w+)\)", (ROOT / "pages/ui/theme.css").read_text()
    )
}
THEME = tomllib.loads((ROOT / ".streamlit/config.toml").read_text())["theme"]


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    high, low = sorted((luminance(one), luminance(two)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    ("text", "ground"),
    [(t, g) for t in ("ink", "muted", "high", "low", "held") for g in ("paper", "card")]
    + [("ink", "soft"), ("ink", "chosen"), ("muted", "soft"), ("caution", "caution-ground")],
)
def test_texts_stand_out(side: int, text: str, ground: str) -> None:
    assert contrast(VARIABLES[text][side], VARIABLES[ground][side]) >= 4.5


@pytest.mark.parametrize("name", ["light", "dark"])
def test_streamlits_own_colours_stand_out(name: str) -> None:
    theme, side = THEME[name], ["light", "dark"].index(name)
    for ground in (theme["backgroundColor"], theme["secondaryBackgroundColor"], theme["sidebar"]["backgroundColor"]):
        assert contrast(theme["textColor"], ground) >= 4.5 and contrast(theme["linkColor"], ground) >= 4.5
    assert contrast("#ffffff", theme["primaryColor"]) >= 4.5, "on a button"
    assert theme["backgroundColor"].lower() == VARIABLES["paper"][side]
    assert theme["textColor"].lower() == VARIABLES["ink"][side]
