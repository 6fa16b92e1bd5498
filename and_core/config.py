"""Configuration of a run: every default in one place, checked before anything is computed."""

from __future__ import annotations

import re
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from and_core.errors import ANDError, ConfigError
from and_core.registry import FilePath, LaterSetting, PathMark, PluginConfig, absolute_paths, explain

SimilarityName = Literal["cos", "cos_cubed", "rank_reorder", "wpmi", "soft_wpmi"]
SIMILARITY_NAMES: tuple[SimilarityName, ...] = get_args(SimilarityName)
MAX_K = 50
MOST_NODES = 100_000  # values in a configuration file
REGISTRIES = {  # section -> where its plug-ins are looked up
    "dataset": "and_core.datasets.base:DATASETS",
    "target": "and_core.targets.base:TARGETS",
    "captions": "and_core.captioners.base:CAPTIONERS",
    "encoder": "and_core.encoders.base:ENCODERS",
    "audio_encoder": "and_core.encoders.base:ENCODERS",
    "summarizer": "and_core.dissect.summarize:SUMMARIZERS",
    "llm": "and_core.llms.base:LLMS",
}
BundledOrPath = Annotated[str, PathMark(always=False, separator=True, identifies=True)]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def _plain_name(value: str) -> str:
    if not NAME.fullmatch(value):
        raise ValueError("must be 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit")
    return value


FolderName = Annotated[str, AfterValidator(_plain_name)]  # of a dissection or a study inside the cache


class Section(BaseModel):
    """Base of a part of the configuration: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class ActivationsConfig(Section):
    """The pass over the probing data."""

    batch: Annotated[int, Field(ge=1, le=1024)] = 16
    rows: Annotated[int, Field(ge=1, le=4096)] = 256  # clips a chunk on disk; a killed run goes on at such a boundary
    device: str = "auto"
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    resampler: Literal["soxr", "torchaudio"] = "soxr"  # torchaudio (an extra) resamples on the device
    traces: Annotated[bool, LaterSetting()] = True  # activation over time of each neuron's ten highest and lowest clips
    # Clips; of more, statistics over all are made in one pass, and the activations of some are kept whole.
    stream_beyond: Annotated[int, Field(ge=1), LaterSetting()] = 100_000
    stream_kept: Annotated[int, Field(ge=2), LaterSetting()] = 10_000  # clips, drawn by `seed`


class NeuronsConfig(Section):
    """Statistics of each neuron over the probing data."""

    one_per_source: bool = False
    bins: Annotated[int, Field(ge=4, le=200)] = 40


class ProbeConfig(Section):
    """Clips that explanations are made from; the network runs on all of them, and all can be heard."""

    without_folds: tuple[int, ...] = ()
    without_share: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of the source recordings, drawn by `seed`
    half: Literal["first", "second"] | None = None  # of the source recordings, class by class, drawn by `seed`


class CalibrationConfig(Section):
    """Module B."""

    t: Annotated[float, Field(ge=0, le=1)] = 0.7


class ClosedConfig(Section):
    """Module A: the concept set, and scoring by description (DB)."""

    # The classes, sound-phrases where clips have no labels; or: classes, esc50, urbansound8k, gtzan, sound-phrases, or
    # a text file, one concept a line.
    concepts: BundledOrPath = "auto"
    similarities: tuple[SimilarityName, ...] = SIMILARITY_NAMES
    similarity: SimilarityName = "cos_cubed"  # the one shown first
    encoder: PluginConfig | None = (
        None  # of captions and concepts for DB (paper: clip); without it, the run's own encoder
    )
    features: Literal["softmax", "cosine"] = "softmax"
    softmax_scale: Annotated[float, Field(gt=0, le=1000)] = 20.0
    template: str = "{}"
    scoring: Literal["layer", "reference"] = (
        "layer"  # a layer's neurons together over all clips; or as the authors' code, for comparison
    )
    rank_variant: Literal["argsort", "rank"] = "argsort"  # of rank_reorder: the reference's, or CLIP-Dissect's text
    top: Annotated[int, Field(ge=5, le=50)] = 10

    @field_validator("template")
    @classmethod
    def _one_hole(cls, value: str) -> str:
        if value.count("{}") != 1:
            raise ValueError("must contain {} exactly once, where the concept goes")
        return value


class TabConfig(Section):
    """Module A by sound (TAB): runs where `audio_encoder` is given, with the similarity functions of `closed`."""

    # standardized: each concept's cosines with mean 0, variance 1 over clips; auto: that for kind tagger, else cosine
    features: Literal["auto", "cosine", "softmax", "standardized"] = "auto"
    softmax_scale: Annotated[float, Field(gt=0, le=1000)] = 100.0


class IclConfig(Section):
    """Module A by language model (ICL): runs where `llm` is given."""

    layers: tuple[str, ...] = ("fc",)  # patterns; two questions a neuron
    least: Annotated[float, Field(ge=-1, le=1)] = (
        0.5  # cosine below which an answer outside the concept set names nothing
    )
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    max_tokens: Annotated[int, Field(ge=16, le=8192)] = 256


class OpenConfig(Section):
    """Module C."""

    judge: Literal["auto", "lexicon", "llm"] = "auto"  # of acoustic words; auto: the language model where there is one

    tagger: BundledOrPath = "bundled"  # or the name or folder of a spaCy pipeline
    margin: Annotated[float, Field(ge=-1, le=1)] = (
        0.05  # by which an unlisted word must lie closer to words for sound than to others
    )


class ClustersConfig(Section):
    """Clusters of caption sentences (AND section 8)."""

    count: Annotated[int, Field(ge=1, le=200)] | None = None  # by the elbow where it is not given
    most: Annotated[int, Field(ge=2, le=200)] = 24  # tried for the elbow


class MapConfig(Section):
    """The map of neurons: t-SNE, or the first two principal components, which take no time."""

    method: Literal["tsne", "pca"] = "tsne"


class ScoresConfig(Section):
    """How well explanations made from one half of the clips predict activations on the other; both ways round."""

    draws: Annotated[int, Field(ge=10, le=200)] = 40  # bootstrap samples behind each interval
    # How reliable the ears are, measured on labelled clips by `and-dissect ears`: bundled, or a file of one's own.
    ears: Annotated[str, PathMark(always=False), LaterSetting()] = "bundled"
    judged: Annotated[int, Field(ge=0)] = (
        0  # neurons, drawn by `seed`, whose explanations a language model judges against captions
    )
    judged_clips: Annotated[int, Field(ge=4)] = 20  # held-out clips of each, half of them its highest


class UnlearningConfig(Section):
    """Ablation of what responds to a concept (AND section 6), and what kinds of words are worth (section 7)."""

    concepts: Annotated[int, Field(ge=1)] | Literal["all"] = (
        "all"  # of the classes, evenly spaced; a subset where time is short
    )
    strategies: Annotated[tuple[Literal["OCP", "DB", "TAB"], ...], Field(min_length=1)] = ("TAB", "DB", "OCP")
    test_folds: tuple[
        int, ...
    ] = ()  # tested, and never looked at in choosing neurons; without any: the folds the network was not trained on
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (20, 202, 2024)  # the paper's
    fair: Annotated[int, Field(ge=1)] = 3  # fair random draws beside each ablation, by the first seeds
    importance: bool = True  # accuracy by kinds of words (Fig. 4)
    shares: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=1)] = (
        0.02,
        0.04,
        0.06,
        0.08,
        0.10,
        0.12,
    )

    @model_validator(mode="after")
    def _enough_seeds(self) -> UnlearningConfig:
        if self.fair > len(self.seeds):
            raise ValueError(f"fair={self.fair} is more than the {len(self.seeds)} seeds; give as many seeds")
        return self


class ListeningConfig(Section):
    """Taking decisions apart into sounds ("Listen to Interpret").

    Attributes
    ----------
    components, sparsity : int, float
        K of the dictionary (40; 100 for ESC-50) and the weight of the L1 norm of H in learning it.
    maps : list of str or None
        Hidden maps that are read; None: the last three.
    epochs, batch, learning_rate : int, int, float
        Of the interpreter.
    by_design : bool
        Also train a network whose prediction is the interpretation.
    decoder : bool
        Also train a mask decoder (L-MAC), for comparison; the front end must have gradients.
    tau : list of float
        Thresholds of relevance; the first is the one that is shown.
    validation_fold, test_folds : int, list of int or None
        Folds that choose the epoch, and that are measured on; None: those the network was not trained on are for
        measuring, the first of the others for choosing. Without folds, a fifth of the sources each.
    seconds : float
        Longest part of a clip that is listened to.
    measured : int
        Clips of the tested folds that are measured at most.
    multi_label : bool
        Whether a clip may have several classes: sigmoid and binary cross-entropy in place of softmax. Always so where
        the target's `multi_label` says it.
    weights : str or None
        Folder of a listener that was trained before, or ``demo``; nothing is trained then.
    """

    components: Annotated[int, Field(ge=2, le=1000)] = 40
    sparsity: Annotated[float, Field(ge=0, le=10)] = 0.4
    maps: list[str] | None = None
    epochs: Annotated[int, Field(ge=1, le=1000)] = 35
    batch: Annotated[int, Field(ge=1, le=1024)] = 16
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-4
    by_design: bool = False
    decoder: bool = False
    tau: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=1)] = Field(
        default_factory=lambda: [0.2, 0.1, 0.35]
    )
    validation_fold: int | None = None
    test_folds: list[int] | None = None
    seconds: Annotated[float, Field(gt=0.1, le=60)] = 10.0
    measured: Annotated[int, Field(ge=1)] = 200
    multi_label: bool = False
    weights: Annotated[str, PathMark(always=False)] | None = None


class SteeringConfig(Section):
    """What neurons do to the decision: the class that each pushes, by gradients, and dials that check it."""

    clips: Annotated[int, Field(ge=8, le=1000)] = 32  # of the probing set, drawn by the seed
    checked: Annotated[int, Field(ge=1, le=100)] = 4  # neurons of a layer that are turned for real


class TuningConfig(Section):
    """What neurons answer to sounds whose every parameter is known.

    `fill`: how a stimulus reaches the length of a network that takes a fixed one: it is made to last so long
    (`stretch`), is played again and again (`repeat`), or is followed by silence (`pad`); `auto`: `stretch`.
    """

    seconds: Annotated[float, Field(ge=0.1, le=30)] = 1.0
    fill: Literal["auto", "stretch", "repeat", "pad"] = "auto"
    repeats: Annotated[int, Field(ge=2, le=20)] = 3  # of each stimulus, with other phases and other noise
    levels: Annotated[tuple[Annotated[float, Field(ge=-90, le=0)], ...], Field(min_length=2)] = (
        -60,
        -50,
        -40,
        -30,
        -20,
        -10,
        -5,  # dB re the RMS of a sine of full scale; -20 must be among them
    )
    per_octave: Annotated[int, Field(ge=2, le=24)] = 6  # tones
    fine: bool = False  # also tones each 20 cents, for best frequencies finer than those of the grid
    chords: Annotated[int, Field(ge=0, le=500)] = 60  # clips of random chords, for receptive fields
    permutations: Annotated[int, Field(ge=50, le=10_000)] = 200

    @field_validator("levels")
    @classmethod
    def _holds_the_reference(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if -20 not in value or len(set(value)) < len(value):
            raise ValueError("must hold -20, the level of all other stimuli, and none twice")
        return value


class RunConfig(Section):
    """One dissection.

    Attributes
    ----------
    name : str
        Folder of the dissection inside the cache.
    k : int
        Number of highest and lowest clips per neuron, 1 to 50 (paper: 5).
    seed : int
        Seed of every random choice.
    training : str or None
        How the target was trained: all layers with labels; self-supervised, then all layers with labels;
        self-supervised, then a classifier alone.
    """

    name: FolderName
    seed: int = 0
    training: Literal["supervised", "fine-tuned", "frozen"] | None = (
        None  # the paper's strategies (Table 1), for the page that compares them
    )
    k: Annotated[int, Field(ge=1, le=MAX_K)] = 5
    dataset: PluginConfig
    target: PluginConfig
    # CSV of which labels each class stands for, see `and-dissect classes`; without it, equal names.
    class_map: Annotated[FilePath | None, LaterSetting()] = None
    # JSON object of file name to labels, in place of the data set's; `and-dissect correct` writes one.
    labels: Annotated[FilePath | None, LaterSetting()] = None
    captions: PluginConfig = PluginConfig(kind="acoustic")
    encoder: PluginConfig = PluginConfig(kind="minilm")
    summarizer: PluginConfig = PluginConfig(kind="commonality")
    audio_encoder: PluginConfig | None = None  # hears clips and reads concepts, for TAB
    llm: PluginConfig | None = None
    prompts: BundledOrPath = "bundled"  # or a folder of templates
    activations: ActivationsConfig = ActivationsConfig()
    probe: ProbeConfig = ProbeConfig()
    neurons: NeuronsConfig = NeuronsConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    closed: ClosedConfig = ClosedConfig()
    tab: TabConfig = TabConfig()
    icl: IclConfig = IclConfig()
    open: OpenConfig = OpenConfig()
    clusters: ClustersConfig = ClustersConfig()
    map: MapConfig = MapConfig()
    scores: ScoresConfig | None = ScoresConfig()
    unlearning: UnlearningConfig | None = None
    listening: ListeningConfig | None = None
    tuning: TuningConfig | None = None
    steering: SteeringConfig | None = None
    workers: Annotated[int, Field(ge=1, le=64)] = 2


def load_config(path: str | Path) -> RunConfig:
    """Read and check a YAML configuration; relative paths in it count from its own folder.

    Raises
    ------
    ConfigError
        The file is missing, no YAML, or a setting is wrong; the message names the setting and what is allowed.
    """
    return make_config(absolute_config(read_mapping(path), Path(path).resolve().parent))


def read_mapping(path: str | Path, what: str = "configuration", error: type[ANDError] = ConfigError) -> dict:
    """Return a YAML file that holds a mapping of settings."""
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise error(f"no {what} at {path}") from None
    except OSError as fault:
        raise error(f"{path} can't be read: {fault.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as fault:
        raise error(f"{path} is not YAML: {fault}") from None
    if not isinstance(raw, dict):
        raise error(f"{path} must hold a mapping of settings, not {type(raw).__name__}")
    if _nodes(raw, {}) > MOST_NODES:
        raise error(f"{path} holds more than {MOST_NODES} values, its aliases written out")
    return raw


def _nodes(value: Any, known: dict[int, float]) -> float:
    """Return values in what YAML has read, each alias counted as what it stands for.

    Without end where one holds itself.
    """
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = float("inf")
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_nodes(part, known) for part in parts)
    return known[id(value)]


def make_config(raw: dict) -> RunConfig:
    """Check a configuration given as a dictionary.

    Raises
    ------
    ConfigError
        A setting is unknown or wrong; the message names it, what it was and what is allowed.

    Examples
    --------
    >>> config = make_config({"name": "mine", "dataset": {"kind": "synthetic"}, "target": {"kind": "ast"}})
    >>> config.k, config.calibration.t
    (5, 0.7)
    >>> make_config({"name": "mine", "dataset": {"kind": "synthetic"}, "target": {"kind": "ast"}, "k": 99})
    Traceback (most recent call last):
    and_core.errors.ConfigError: k=99: Input should be less than or equal to 50
    """
    try:
        return RunConfig(**raw)
    except ValidationError as error:
        raise ConfigError(explain(error)) from None


def absolute_config(raw: dict, base: Path, model: type[BaseModel] | None = None) -> dict:
    """Return a configuration as read, with relative paths counted from a folder: its own, and those of the plug-ins
    that it names."""
    model = model or RunConfig
    made = absolute_paths(model, raw, base)
    for name, value in made.items():
        if not isinstance(value, dict) or name not in model.model_fields:
            continue
        inner = _section(model.model_fields[name].annotation)
        if inner is PluginConfig:
            made[name] = resolve_name(REGISTRIES[name]).absolute(value, base)
        elif inner is not None:
            made[name] = absolute_config(value, base, inner)
    return made


def _section(annotation: Any) -> type[BaseModel] | None:
    """Return the section or plug-in inside a type such as ``ScoresConfig | None``."""
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((inner for part in get_args(annotation) if (inner := _section(part)) is not None), None)
