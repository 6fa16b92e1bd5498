"""Example configurations: each loads, and every plug-in that it names takes its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from and_core.config import load_config
from and_core.errors import ConfigError
from and_core.pipeline.open_concepts import judge_of
from and_core.pipeline.stage import Run
from tests.conftest import ROOT

EXAMPLES = sorted(
    p for p in (ROOT / "examples").rglob("*.yaml") if p.parent.name not in ("study", "plugin")
)  # plans of studies: tests/study; the plug-in's needs its package: tests/packaging


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_an_example_loads_and_validates(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    run = Run(config, tmp_path / config.name)
    for name in (
        "dataset",
        "target",
        "captioner",
        "encoder",
        "closed_encoder",
        "summarizer",
        "audio_encoder",
        "cached_llm",
        "prompts",
    ):
        getattr(run, name)
    assert judge_of(run) == ("llm" if config.llm else "lexicon")


@pytest.mark.parametrize("name", ["ast", "beats-finetuned"])
def test_the_papers_settings(name: str) -> None:
    config = load_config(ROOT / "examples" / "paper" / f"{name}.yaml")
    assert (
        config.k == 5
        and config.calibration.t == 0.7
        and config.closed.softmax_scale == 100
        and config.closed.concepts == "esc50"
    )
    assert (
        config.closed.encoder is not None
        and config.closed.encoder.kind == "clip"
        and config.encoder.model_dump()["model"] == "paper"
    )
    assert config.audio_encoder is not None and config.audio_encoder.kind == "clap"
    assert config.llm is not None and config.llm.kind == "server" and config.summarizer.kind == "llm"


def test_a_wrong_setting_in_an_example_is_named(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "paper" / "ast.yaml").read_text()
    (tmp_path / "x.yaml").write_text(text.replace("in_flight: 64", "in_flight: 0"))
    config = load_config(tmp_path / "x.yaml")
    with pytest.raises(ConfigError, match="llm.in_flight=0"):
        _ = Run(config, tmp_path / "x").cached_llm
