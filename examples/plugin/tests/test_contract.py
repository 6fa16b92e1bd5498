"""The plug-ins hold what Audio Network Dissection asks of every plug-in."""

from and_core.captioners.base import CAPTIONERS
from and_core.registry import PluginConfig
from and_core.targets.base import TARGETS
from and_core.testing import check_captioner, check_target


def test_target() -> None:
    check_target(lambda: TARGETS.create(PluginConfig(kind="bands")))


def test_captioner() -> None:
    rows = [{"name": "a.wav", "label": None, "level": -20.0}, {"name": "b.wav", "label": None, "level": -50.0}]
    check_captioner(lambda: CAPTIONERS.create(PluginConfig(kind="loudness_steps")), rows)
