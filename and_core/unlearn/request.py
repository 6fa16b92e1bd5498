"""What is to be ablated, as plain settings: the same words in a configuration, on the command line and on the page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from and_core.config import SimilarityName, explain
from and_core.errors import ConfigError
from and_core.records import How, NeuronId

Strategy = Literal["OCP", "DB", "TAB", "adjective", "criterion", "random", "list"]
Criterion = Literal["noun", "adjective", "verb", "preposition", "summary", "basic", "high-level"]
Kind = Literal["run", "dose", "compare", "checkpoint"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
HOW: tuple[How, ...] = get_args(How)
BASIC = ("high-pitched", "high-quality", "clear", "loud")  # the paper's basic adjectives; all others are high-level
SIMILARITY: dict[str, SimilarityName] = {"TAB": "soft_wpmi", "DB": "cos_cubed"}  # the paper's choice
SEEDS = (20, 202, 2024)
PAPER_SHARE = 3000 / 55296  # the paper's random baseline: 3,000 of AST's hidden neurons
USED: dict[Strategy, tuple[str, ...]] = {
    "OCP": ("leave_shared", "substring", "synonyms"),
    "DB": ("top",),
    "TAB": ("top",),
    "random": ("share", "seed"),
    "adjective": ("adjective",),
    "criterion": ("criterion", "share", "seed"),
    "list": ("neurons",),
}


class AblationRequest(BaseModel):
    """One ablation.

    Attributes
    ----------
    concept : str
        What is unlearned; one of the concept set, or any words (OCP).
    strategy : str
        How neurons are chosen (AND sections 6 and 7).
    top : int
        TAB and DB: the concept is among a neuron's `top` closed concepts.
    leave_shared : bool
        OCP: leave out words that name several concepts.
    substring : bool
        OCP: as the reference matches, any noun that stands somewhere in the concept's name.
    synonyms : float or None
        OCP: nouns count whose embedding is at least this similar to the concept's name.
    adjective : str
        Neurons whose open concepts hold it.
    criterion : str
        Neurons with the most nouns, ..., the longest calibrated summary, the most basic or high-level adjectives.
    share : float
        Of the hidden neurons, for ``criterion`` and ``random``.
    neurons : tuple of str
        The user's own list, ``layer/unit`` each.
    dose : float
        Share of the chosen neurons that is ablated, the most responsive first.
    how : str
        ``weights`` (row and bias to zero, as the paper), or activations patched to ``zero`` or to their ``mean``.
    choose_on : str
        ``others``: neurons are chosen from explanations that never saw the tested clips; ``all``: from the dissection
        as it stands.
    seed : int
        Of random choices.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    concept: Annotated[str, Field(max_length=200)] = ""
    strategy: Strategy = "OCP"
    top: Annotated[int, Field(ge=1, le=50)] = 3
    leave_shared: bool = False
    substring: bool = False
    synonyms: Annotated[float, Field(ge=0, le=1)] | None = None
    adjective: Annotated[str, Field(max_length=100)] = ""
    criterion: Criterion = "noun"
    share: Annotated[float, Field(gt=0, le=1)] = PAPER_SHARE
    neurons: tuple[str, ...] = ()
    dose: Annotated[float, Field(ge=0, le=1)] = 1.0
    how: How = "weights"
    choose_on: Literal["others", "all"] = "others"
    seed: Annotated[int, Field(ge=0)] = SEEDS[0]

    def settled(self) -> dict[str, Any]:
        """Return settings that decide the result under this strategy, the others left out."""
        every = self.model_dump(mode="json")
        used = ("substring",) if self.strategy == "OCP" and self.substring else USED[self.strategy]
        return {name: every[name] for name in ("concept", "strategy", *used, "dose", "how", "choose_on")}

    def of_kind(self, kind: Kind) -> AblationRequest:
        """Return what a kind of run takes of it: a dose curve has every dose, a comparison every strategy."""
        if kind == "compare":
            return AblationRequest(concept=self.concept, how=self.how, choose_on=self.choose_on)
        return self.model_copy(update={"dose": 1.0}) if kind == "dose" else self

    def key(self, kind: Kind, inputs: dict[str, str]) -> str:
        """Return the fingerprint of a kind of run on what it reads: equal requests on equal data are one run."""
        text = json.dumps([kind, self.of_kind(kind).settled(), inputs], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def describe(self) -> str:
        """Return one line: ``OCP of dog, the first 50 %``."""
        what = {
            "adjective": f"neurons called {self.adjective}",
            "criterion": f"most {self.criterion}",
            "random": f"random {self.share:.1%}",
            "list": "own list",
        }
        text = what.get(self.strategy, self.strategy) + (f" of {self.concept}" if self.concept else "")
        return text + (f", the first {self.dose:.0%}" if self.dose < 1 else "")


def make_request(**settings: Any) -> AblationRequest:
    """Return a request from settings.

    Raises
    ------
    ConfigError
        With the setting, its value and what is allowed.
    """
    try:
        return AblationRequest(**settings)
    except ValidationError as error:
        raise ConfigError(explain(error, "unlearning")) from None


def neuron_ids(texts: Sequence[str]) -> list[NeuronId]:
    """Return neurons from their names.

    Raises
    ------
    ConfigError
        A text is not of the form layer/unit.
    """
    try:
        return [NeuronId.parse(text) for text in texts]
    except ValueError as error:
        raise ConfigError(str(error)) from None
