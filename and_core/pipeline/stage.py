"""What a stage is, and what it is given to work with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from and_core.captioners.base import CAPTIONERS, Captioner
from and_core.config import ProbeConfig, RunConfig
from and_core.datasets.base import DATASETS, Dataset
from and_core.dissect.probe import probe_mask
from and_core.dissect.prompts import load_prompts
from and_core.dissect.summarize import SUMMARIZERS, Summarizer
from and_core.encoders.base import ENCODERS, TextAudioEncoder, TextEncoder
from and_core.errors import ConfigError, one_of
from and_core.llms.base import LLMS
from and_core.pipeline.llm_cache import CachedLLM
from and_core.progress import Progress, silent
from and_core.store.dissection import Dissection
from and_core.store.kept_clips import kept_clips, listed_clips
from and_core.store.manifest import Manifest
from and_core.store.versions import STAGE_VERSIONS
from and_core.store.writer import StageWriter
from and_core.targets.base import TARGETS, Target, pick_device

ReadClips = Literal["kept", "named", "listed"]
PLUGINS = (
    "dataset",
    "dataset_fingerprint",
    "target",
    "captioner",
    "encoder",
    "closed_encoder",
    "summarizer",
    "audio_encoder",
    "cached_llm",
    "prompts",
)


@dataclass
class Run:
    """One run of the pipeline: configuration, plug-ins (made when first asked for), and the dissection so far."""

    config: RunConfig
    folder: Path
    progress: Progress = silent
    say: Callable[[str], None] = lambda text: None
    root: Path | None = None
    recorded: bool = False  # the configuration comes from a dissection: it acts on nothing
    whole: RunConfig | None = None  # configuration of the run that this one is a part of
    reads: ReadClips = "named"  # by the stage that is run
    _memo: dict[str, Any] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        """Cache folder, where the answer cache lies."""
        return self.root or self.folder.parent

    def part(self, config: RunConfig, folder: Path, progress: Progress) -> Run:
        """Return a run of the same plug-ins into a folder of its own inside this one."""
        made = Run(config, folder, progress, self.say, self.cache, self.recorded, self.whole or self.config)
        for name in PLUGINS:
            made.__dict__[name] = getattr(self, name)
        return made

    @property
    def dissection(self) -> Dissection:
        """Reader of what is finished, with the clips that the stage reads; made anew after each stage."""
        d: Dissection = self.once("dissection", lambda: Dissection(self.folder))
        if self.reads == "kept":
            return self.once("kept clips", lambda: kept_clips(d))
        return d if self.reads == "named" else self.once("listed clips", lambda: listed_clips(d))

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what a stage reads more than once in a run, made at the first call under its name."""
        if name not in self._memo:
            self._memo[name] = make()
        return self._memo[name]

    def reopen(self) -> None:
        """Forget the reader, since the manifest has changed."""
        for name in ("dissection", "kept clips", "listed clips"):
            self._memo.pop(name, None)

    @cached_property
    def dataset(self) -> Dataset:
        """Probing dataset."""
        return DATASETS.create(self.config.dataset, self.recorded)

    @cached_property
    def dataset_fingerprint(self) -> str:
        """Identity of the probing data; reads every file once."""
        return self.dataset.fingerprint()

    @cached_property
    def target(self) -> Target:
        """Target network, not loaded yet."""
        return TARGETS.create(self.config.target, self.recorded)

    @cached_property
    def network(self) -> Target:
        """Target network, loaded onto its device."""
        self.target.load(pick_device(self.config.activations.device))
        return self.target

    @cached_property
    def device(self) -> str:
        """Device of the target, on which what follows its passes is computed too, block by block."""
        return pick_device(self.config.activations.device)

    @cached_property
    def captioner(self) -> Captioner:
        """Captioner."""
        return CAPTIONERS.create(self.config.captions, self.recorded)

    @cached_property
    def encoder(self) -> TextEncoder:
        """Text encoder, not loaded yet."""
        return ENCODERS.create(self.config.encoder, self.recorded)

    @cached_property
    def closed_encoder(self) -> TextEncoder | None:
        """Text encoder of DB where it is not the run's own."""
        section = self.config.closed.encoder
        return None if section is None else ENCODERS.create(section, self.recorded)

    @cached_property
    def summarizer(self) -> Summarizer:
        """Summariser.

        Raises
        ------
        ConfigError
            It asks a language model, and none is configured.
        """
        made = SUMMARIZERS.create(self.config.summarizer, self.recorded)
        if made.asks and self.config.llm is None:
            raise ConfigError(
                f"summarizer.kind={made.kind!r} needs a language model; give one under llm, or take: commonality"
            )
        return made

    @cached_property
    def audio_encoder(self) -> TextAudioEncoder | None:
        """Text-audio encoder for TAB, not loaded yet; None where none is configured."""
        if self.config.audio_encoder is None:
            return None
        made = ENCODERS.create(self.config.audio_encoder, self.recorded)
        if not isinstance(made, TextAudioEncoder):
            hearing = [name for name in ENCODERS.names() if issubclass(ENCODERS.get(name), TextAudioEncoder)]
            raise one_of("audio_encoder.kind", made.kind, hearing)
        return made

    @cached_property
    def cached_llm(self) -> CachedLLM | None:
        """The language model with the cache of its answers; None where none is configured."""
        return (
            None
            if self.config.llm is None
            else CachedLLM(LLMS.create(self.config.llm, self.recorded), self.cache, self.progress)
        )

    @cached_property
    def prompts(self) -> dict[str, str]:
        """Prompt templates."""
        return load_prompts(self.config.prompts)

    @cached_property
    def streamed(self) -> bool:
        """Whether there are more clips than activations are kept of."""
        return len(self.dataset.references()) > self.config.activations.stream_beyond

    @property
    def streamed_probe(self) -> ProbeConfig:
        """Clips that the statistics of a streamed pass are over: a part of a run takes those of the whole."""
        return (self.whole or self.config).probe

    @property
    def explained_from(self) -> np.ndarray:
        """(N,) bool: clips that may reach an explanation, of those whose activations are kept."""
        d = self.dissection
        mask: np.ndarray = probe_mask(d.clips, self.config.probe, self.config.seed) & d.with_activations
        return mask

    def chunks(
        self,
        writer: StageWriter,
        count: int,
        compute: Callable[[int], dict[str, np.ndarray]],
        total: int | None = None,
        size: int = 1,
        keep: bool = True,
    ) -> Iterator[dict[str, np.ndarray]]:
        """Yield chunks of a stage in order, each computed once in its life unless `keep` is off.

        Progress is told in units, `size` of them a chunk.
        """
        total = count if total is None else total
        for done, arrays in enumerate(writer.chunked(count, compute) if keep else map(compute, range(count)), 1):
            yield arrays
            self.progress(writer.stage, min(done * size, total), total)


@dataclass(frozen=True)
class Stage:
    """A step of the pipeline.

    Attributes
    ----------
    name, title : str
        Key in the manifest, and what the progress bar says.
    inputs : tuple of str
        Stages whose results it reads.
    optional : tuple of str
        Stages whose results it reads where they have run.
    parameters : callable
        Everything else that decides the result, as plain JSON values.
    compute : callable
        Does the work, through the writer.
    wanted : callable
        Whether the configuration asks for it.
    covers : callable
        Whether results under other parameters (the first) hold all that is asked for (the second), so that they stay.
    optional_result : bool
        It can be made by a command as well; a configuration that does not ask for it leaves it alone.
    views : tuple of str
        Views that it makes.
    reads : str
        Clips that it reads after a streamed pass: those whose activations are ``kept``; all that are ``named``, which a
        stage needs that reads extreme clips, or makes what such a stage reads; or all that were ``listed`` before it.
    """

    name: str
    title: str
    inputs: tuple[str, ...]
    parameters: Callable[[Run], dict[str, Any]]
    compute: Callable[[Run, StageWriter], None]
    optional: tuple[str, ...] = ()
    wanted: Callable[[Run], bool] = lambda run: True
    covers: Callable[[dict[str, Any], dict[str, Any]], bool] = lambda done, asked: False
    optional_result: bool = False
    views: tuple[str, ...] = ()
    reads: ReadClips = "kept"

    @property
    def version(self) -> int:
        """Version of its results, see :mod:`and_core.store.versions`."""
        return STAGE_VERSIONS[self.name]


def read_by(stage: Stage, manifest: Manifest) -> tuple[str, ...]:
    """Return the stages that a stage reads: its inputs, and optional ones where they are there.

    After a streamed pass, what reads clips reads those that the pass has named, so `activations` as well.
    """
    names = (*stage.inputs, *(name for name in stage.optional if name in manifest.stages))
    done = manifest.stages.get("activations")
    if done is not None and "streamed" in done.notes and "clips" in names and stage.name != "activations":
        return tuple(dict.fromkeys((*names, "activations")))
    return names


def stage_key(stage: Stage, parameters: dict[str, Any], inputs: dict[str, str]) -> str:
    """Return the fingerprint of a stage: name, version, parameters and the keys of its inputs."""
    text = json.dumps([stage.name, stage.version, parameters, inputs], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def library_versions() -> dict[str, str]:
    """Return versions of the libraries that decide numbers."""
    return {
        name: version(name)
        for name in ("numpy", "scipy", "torch", "transformers", "librosa", "spacy", "soxr", "soundfile")
    }


def thread_count() -> int:
    """Return the threads that a network's pass may use (``OMP_NUM_THREADS``, else the cores)."""
    import torch

    return torch.get_num_threads()
