"""What the owner of a study decides before the first answer: STUDY.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from and_core.config import FolderName, Section, explain, read_mapping
from and_core.errors import StudyError

Task = Literal["write", "intruder", "present", "choose", "fit", "captions"]
TASKS: tuple[Task, ...] = (
    "intruder",
    "write",
    "present",
    "choose",
    "fit",
    "captions",
)  # nothing is shown or played before what it would give away
WRITTEN = ("DB", "TAB", "ICL", "SUM", "OPEN")  # methods whose texts a dissection holds
MIN_CLIPS = 3
Share = Annotated[float, Field(ge=0, le=1)]

CONSENT = (
    "You will hear short sounds and say what they share, or whether a description fits them. Sounds are recordings and "
    "may be sudden: set the volume first. "
    "Your name is not asked: under a pseudonym, your answers, how long they took and how much of each sound was played "
    "are kept, and nothing else. "
    "You can pause and come back by the same link, and you can stop at any time."
)


class NeuronDraw(Section):
    """Which neurons are rated.

    Attributes
    ----------
    per_block : int
        Neurons drawn at random from each block (paper: 10). A network without blocks counts as one.
    kinds : list of str or None
        Kinds of layer to draw from; None: all that stand in a block.
    chosen : list of str or None
        These neurons (``layer/unit``) in place of a draw.
    """

    per_block: Annotated[int, Field(ge=1, le=1000)] = 10
    kinds: list[str] | None = None
    chosen: list[str] | None = None

    @field_validator("chosen")
    @classmethod
    def _once(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError("names a neuron twice")
        return value


class Controls(Section):
    """Items whose answer is known; every rater gets all of them.

    Attributes
    ----------
    mismatched : int
        Clips under a description of other clips: the low anchor.
    known : int
        Clips of a class under the class's name: the high anchor. Of a unit of the last layer where the network has one.
    attention : int
        A written instruction in place of a description.
    training : int
        Anchors with feedback before the first item.
    """

    mismatched: Annotated[int, Field(ge=0, le=50)] = 3
    known: Annotated[int, Field(ge=0, le=50)] = 3
    attention: Annotated[int, Field(ge=0, le=20)] = 2
    training: Annotated[int, Field(ge=0, le=10)] = 2


class Exclusion(Section):
    """When a rater's answers are left out; declared before the study starts. None: the rule is off.

    Attributes
    ----------
    failed_attention : int or None
        More failed attention items than this.
    mismatched_above : float or None
        Mean rating of mismatched descriptions above this.
    known_below : float or None
        Mean rating of known classes below this.
    faster_than : float or None
        Median seconds an answer below this.
    repeats_below : float or None
        Share of repeated items answered alike (ratings: within 1) below this; from 3 repeats on.
    finished_below : float or None
        Share of the rater's items that were answered below this.
    """

    failed_attention: Annotated[int, Field(ge=0)] | None = 0
    mismatched_above: Annotated[float, Field(ge=1, le=5)] | None = 3.5
    known_below: Annotated[float, Field(ge=1, le=5)] | None = 2.5
    faster_than: Annotated[float, Field(ge=0)] | None = 2.0
    repeats_below: Share | None = None
    finished_below: Share | None = None


class Simulated(Section):
    """Raters of known skill and bias in place of people; such a study is called simulated wherever it is shown.

    Attributes
    ----------
    quality : dict
        Method to how well its descriptions fit, 1 to 5; a method that is not named gets 3.
    item_spread : float
        Standard deviation of an item's fit around its method's.
    bias : list of float
        One number a rater, added to every rating; repeated where there are more raters.
    skill : list of float
        Noise of one rating (standard deviation), one number a rater; a rater with 9 or more answers at random.
    seed : int
    """

    quality: dict[str, Annotated[float, Field(ge=1, le=5)]] = Field(
        default_factory=lambda: {"TAB": 2.7, "DB": 3.2, "SUM": 3.5}
    )
    item_spread: Annotated[float, Field(ge=0, le=3)] = 0.7
    bias: list[Annotated[float, Field(ge=-2, le=2)]] = Field(default_factory=lambda: [-0.4, -0.2, 0.0, 0.0, 0.2, 0.4])
    skill: list[Annotated[float, Field(ge=0, le=99)]] = Field(default_factory=lambda: [0.4, 0.6, 0.8])
    seed: int = 0

    @field_validator("bias", "skill")
    @classmethod
    def _some(cls, value: list[float]) -> list[float]:
        if not value:
            raise ValueError("must hold at least one number")
        return value


class StudyConfig(Section):
    """One study. All of it is stored before the first answer and never changes.

    Attributes
    ----------
    name, title : str
        Folder and identity of the study; what raters read above it.
    dissections : list of str
        Dissections whose neurons are rated.
    methods : list of str
        Whose descriptions are compared: DB, TAB, ICL, SUM (calibrated summary), OPEN (open concepts), or names of
        `texts`.
    texts : dict
        Descriptions of your own (human-written, another tool's): name to a CSV file with the columns ``neuron``
        (``layer/unit``), ``text`` and, where there are several dissections, ``dissection``.
    tasks : list of str
        Of :data:`TASKS`; always asked in that order.
    clips : int
        Clips of an item (paper: 5 highest). `present_clips`: clips of a *present* item, from the neuron's whole range.
    raters, raters_per_item : int
        Places in the study, and how many of them see each item.
    repeats : float
        Share of a rater's items that come again.
    loudness : float
        LUFS of every clip.
    listen : float
        Share of each clip that must have been played before an answer.
    join : bool
        Whether places can be taken by a common link; otherwise by invitation alone.
    pilot : bool
        A trial run: answers are marked and never pooled with a study's.
    """

    name: FolderName
    title: str = "Listening study"
    dissections: Annotated[list[str], Field(min_length=1)]
    neurons: NeuronDraw = NeuronDraw()
    methods: Annotated[list[str], Field(min_length=1)] = Field(default_factory=lambda: ["TAB", "DB", "SUM"])
    texts: dict[str, str] = Field(default_factory=dict)
    tasks: Annotated[list[Task], Field(min_length=1)] = Field(default_factory=lambda: list[Task](("write", "fit")))
    clips: Annotated[int, Field(ge=MIN_CLIPS, le=5)] = 5
    present_clips: Annotated[int, Field(ge=MIN_CLIPS, le=9)] = 6
    raters: Annotated[int, Field(ge=1, le=10_000)] = 12
    raters_per_item: Annotated[int, Field(ge=1, le=1000)] = 3
    repeats: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    controls: Controls = Controls()
    exclusion: Exclusion = Exclusion()
    consent: Annotated[str, Field(min_length=1, max_length=20_000)] = CONSENT
    spectrograms: bool = False
    loudness: Annotated[float, Field(ge=-40, le=-14)] = -23.0
    listen: Share = 0.8
    join: bool = True
    pilot: bool = False
    simulated: Simulated | None = None
    seed: int = 0

    @field_validator("dissections", "methods", "tasks")
    @classmethod
    def _once(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("names something twice")
        return value

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = [m for m in self.methods if m not in WRITTEN and m not in self.texts]
        if unknown:
            raise ValueError(f"methods={unknown[0]!r} is not known; allowed: {', '.join((*WRITTEN, *self.texts))}")
        if set(self.texts) & set(WRITTEN):
            raise ValueError(f"texts: {', '.join(set(self.texts) & set(WRITTEN))} is a method's own name")
        if self.raters_per_item > self.raters:
            raise ValueError(f"raters_per_item={self.raters_per_item} is more than raters={self.raters}")
        if "choose" in self.tasks and len(self.methods) < 2:
            raise ValueError("the task 'choose' needs at least two methods")
        return self


def load_plan(path: str | Path) -> StudyConfig:
    """Read and check STUDY.yaml; files that it names count from its own folder.

    Raises
    ------
    StudyError
        No such file, no YAML, or a setting is wrong; the message names the setting and what is allowed.
    """
    raw, path = read_mapping(path, "study", StudyError), Path(path)
    if isinstance(raw.get("texts"), dict):
        raw["texts"] = {name: str(path.resolve().parent / str(file)) for name, file in raw["texts"].items()}
    return make_plan(raw)


def make_plan(raw: dict) -> StudyConfig:
    """Check a study given as a dictionary."""
    try:
        return StudyConfig(**raw)
    except ValidationError as error:
        raise StudyError(explain(error)) from None
