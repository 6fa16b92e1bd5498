"""Whose word a command acts on: the user's own configuration, or the one that a dissection has on record, which acts on
nothing."""

from __future__ import annotations

from pathlib import Path

from and_core.captioners.base import CAPTIONERS
from and_core.config import PluginConfig, RunConfig, load_config, make_config
from and_core.datasets.base import DATASETS
from and_core.dissect.summarize import SUMMARIZERS
from and_core.encoders.base import ENCODERS
from and_core.errors import ConfigError
from and_core.llms.base import LLMS
from and_core.registry import OWN, Registry
from and_core.store.dissection import Dissection
from and_core.targets.base import TARGETS


def config_for(d: Dissection, file: Path | None) -> RunConfig:
    """Return the configuration that a command on a dissection goes by: the user's file where there is one, else the
    record.

    Raises
    ------
    ConfigError
        The file is of another dissection, or a setting is wrong.
    """
    if file is None:
        return make_config(d.manifest.config)
    config = load_config(file)
    if config.name != d.name:
        raise ConfigError(
            f"config={str(file)!r} is of {config.name!r}, not of {d.name!r}; give the configuration that {d.name!r} is "
            "made from"
        )
    return config


def reaches(config: RunConfig) -> list[str]:
    """Return what a run of a configuration would start, open and read outside this process and its files,
    a line each."""
    sections: list[tuple[Registry, PluginConfig | None]] = [
        (DATASETS, config.dataset),
        (TARGETS, config.target),
        (CAPTIONERS, config.captions),
        (ENCODERS, config.encoder),
        (ENCODERS, config.closed.encoder),
        (ENCODERS, config.audio_encoder),
        (SUMMARIZERS, config.summarizer),
        (LLMS, config.llm),
    ]
    lines = [
        f"{registry.section}: {line}"
        for registry, section in sections
        if section is not None
        for line in registry.reaches(section)
    ]
    return lines + (
        [] if config.open.tagger == "bundled" else [f"open.tagger: loads the spaCy pipeline {config.open.tagger}"]
    )


def check_harmless(config: RunConfig) -> None:
    """Raise where a configuration on record would act, before anything is computed.

    Raises
    ------
    ConfigError
        It would start a program, open an address or read a variable; all of it is named.
    """
    lines = reaches(config)
    if lines:
        raise ConfigError(f"as the dissection has it on record, a run {'; '.join(lines)}. {OWN}")
