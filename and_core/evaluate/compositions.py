"""What a neuron means beyond one concept: a second sense, a concept most where an adjective holds, two adjectives at
once, everything but a concept, a whole category.

What is shown is chosen over all clips; on each half of the recordings it counts only where the other half alone chooses
the same. Everything works on a block of neurons of one layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
from scipy.stats import norm

from and_core.evaluate.ears import aurocs, rank_shares, whole_draw
from and_core.evaluate.readouts import cross_fitted, standardised

KINDS = ("concept", "adjective", "category")
FORMS = ("", "or", "category", "not", "and", "both")
LEAST = 4.0  # clips of a half that a predicate needs on either side of a comparison
CLEAR = 0.8  # held-out AUROC from which a predicate tells what a neuron fires on
SHARP = 0.9  # the same of a concept's clips with an adjective, fewer than the concept's
LEVEL = 0.4  # of the first concept's mean activation, that a second one must reach
SHARE = 0.05  # of the high clips with either sense, that a second one must have
EXCESS = 0.25  # by which this must lie above what a unit that reads the first concept alone would do
CONTRAST = 0.7  # held-out AUROC of an adjective among the clips of a concept, mean of both halves
STEADY = 0.6  # the same, in either half
DISTANCE = 2.5  # standard deviations from chance of this contrast, all clips together
FEW = 2.0  # clips of a half that an adjective needs on either side among the clips of a concept
PAIRED_DISTANCE = 3.0  # standard deviations from chance of two adjectives' contrasts, both halves together
PAIRED = 0.65  # the same of each of two adjectives among the clips of the other, mean of both halves
NEAR = 0.05  # of AUROC that two senses, or two adjectives, may lie below the best concept
MARGIN = 0.02  # of AUROC by which "everything but" must beat the best concept

THRESHOLDS = {
    "level": LEVEL, "share": SHARE, "excess": EXCESS, "clear": CLEAR, "sharp": SHARP, "contrast": CONTRAST,
    "steady": STEADY, "distance": DISTANCE, "few": FEW, "paired": PAIRED, "paired_distance": PAIRED_DISTANCE,
    "near": NEAR, "margin": MARGIN, "least": LEAST,
}  # fmt: skip


@dataclass(frozen=True)
class Predicates:
    """What can be true of clips: concepts, then adjectives, then categories.

    Attributes
    ----------
    names : list of str, Q
    kinds : (Q,) of str
        Of :data:`KINDS`.
    holds : (N, Q) bool
    """

    names: list[str]
    kinds: np.ndarray
    holds: np.ndarray

    def of_kind(self, kind: str) -> np.ndarray:
        """Return (Q,) bool: the predicates of one kind."""
        return np.asarray(self.kinds == kind)


@dataclass(frozen=True)
class Compared:
    """A block of neurons on some clips.

    Attributes
    ----------
    u : (R, n) float32
        Activations of mean 0 and variance 1.
    ranks : (R, n) float32
        By :func:`and_core.evaluate.ears.rank_shares`.
    holds : (n, Q) bool
    area, z : (R, Q) float32
        Of every predicate, see :func:`and_core.evaluate.ears.aurocs`; NaN where it has too few clips.
    strength : (R, Q) float32
        Mean normal score of the clips of each predicate.
    """

    u: np.ndarray
    ranks: np.ndarray
    holds: np.ndarray
    area: np.ndarray
    z: np.ndarray
    strength: np.ndarray


@dataclass(frozen=True)
class Composition:
    """What is made of every neuron of a block; arrays (R,).

    Attributes
    ----------
    form : int8
        Place in :data:`FORMS`: none, a second sense, a whole category, everything but, a concept most where an
        adjective holds, two adjectives at once.
    first, second : int32
        Predicates; -1 for none.
    share : float32
        Of the neuron's high clips with either sense, those with the second one; NaN for other forms.
    score : float32
        Held-out AUROC: of the union of both senses, of the category, of everything but, of the adjective among the
        concept's clips, of both adjectives at once.
    alone : float32
        The same of the best single concept, over both halves.
    """

    form: np.ndarray
    first: np.ndarray
    second: np.ndarray
    share: np.ndarray
    score: np.ndarray
    alone: np.ndarray


def compared(u: np.ndarray, holds: np.ndarray) -> Compared:
    """Compare a block of neurons (R, n) with every predicate (n, Q) on some clips."""
    ranks = rank_shares(u)
    n = max(1, u.shape[1])
    scores = norm.ppf((ranks * n - 0.5) / n).astype(np.float32)
    counts = np.maximum(holds.sum(0), 1)
    known = (holds.sum(0) >= LEAST) & ((~holds).sum(0) >= LEAST)
    strength = np.where(known, scores @ holds.astype(np.float32) / counts, np.nan).astype(np.float32)
    area, z = aurocs(ranks, whole_draw(holds), LEAST)
    return Compared(standardised(u.T).T.astype(np.float32), ranks, holds, area, z, strength)


def best(values: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Return (R,) number of the allowed predicate, (Q,) or (R, Q) bool, with the largest value; -1 for none."""
    filled = np.where(allowed & np.isfinite(values), values, -np.inf)
    if not filled.shape[1]:
        return np.full(len(filled), -1)
    return np.where(np.isfinite(filled.max(1, initial=-np.inf)), filled.argmax(1), -1)


def at(values: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return (R,) the value of each neuron's predicate; NaN for -1."""
    result = np.full(len(values), np.nan)
    rows = np.flatnonzero(number >= 0)
    result[rows] = values[rows, number[rows]]
    return result


def among(p: Compared, base: np.ndarray, least: float = LEAST) -> tuple[np.ndarray, np.ndarray]:
    """Return how well predicates tell a neuron's activations among the clips that have its base (R,).

    Parameters
    ----------
    least : float, default LEAST
        Clips that a predicate needs on either side.

    Returns
    -------
    area, z : (R, Q) float32
        NaN where either side has too few clips.
    """
    area, z = (np.full(p.area.shape, np.nan, np.float32) for _ in range(2))
    for number in np.unique(base[base >= 0]).tolist():
        mine, clips = np.flatnonzero(base == number), np.flatnonzero(p.holds[:, number])
        if len(clips) >= 2 * least:
            ranks = rank_shares(p.u[np.ix_(mine, clips)])
            area[mine], z[mine] = aurocs(ranks, whole_draw(p.holds[clips]), least)
    return area, z


def top_two(p: Compared, concepts: np.ndarray) -> np.ndarray:
    """Return (R, 2) the two strongest concepts by number, the smaller number first; -1 where there are fewer."""
    filled = np.where(concepts & np.isfinite(p.strength), p.strength, -np.inf)
    if filled.shape[1] < 2:
        return np.full((len(filled), 2), -1)
    pair = np.argpartition(-filled, 1, axis=1)[:, :2]
    known = np.isfinite(np.take_along_axis(filled, pair, 1)).all(1, keepdims=True)
    return np.where(known, np.sort(pair, 1), -1)


def means(p: Compared) -> np.ndarray:
    """Return (R, Q) mean activation on the clips of each predicate."""
    return p.u @ p.holds.astype(np.float32) / np.maximum(p.holds.sum(0), 1)


def expected_levels(x: np.ndarray, holds: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Return (C, C) mean activation on clips of the second concept, in parts of that on clips of the first, of a unit
    that reads the first alone.

    Such units are read-outs of the layer, fitted on one half of the recordings and read on the other.

    Parameters
    ----------
    x : (N, D)
        Activations of a layer.
    holds : (N, C) bool
        Concepts of the clips.
    first : (N,) bool
        Clips of the first half.
    """
    units = cross_fitted(x, holds.astype(np.float64), first)
    level = units.T @ holds / np.maximum(holds.sum(0), 1)
    own = np.maximum(np.diag(level), 1e-6)[:, None]
    return np.maximum(level / own, 0).astype(np.float32)


def compose(u: np.ndarray, predicates: Predicates, first: np.ndarray, expected: np.ndarray) -> Composition:
    """Return what is made of a block of neurons (R, N) of one layer.

    Parameters
    ----------
    first : (N,) bool
        Clips of the first half of the recordings.
    expected : (C, C)
        By :func:`expected_levels`, concepts in the order in which they come among the predicates.
    """
    every = compared(u, predicates.holds)
    halves = [compared(u[:, clips], predicates.holds[clips]) for clips in (first, ~first)]
    alone = held_out([best(p.area, predicates.of_kind("concept")) for p in halves], [p.area for p in halves])
    made = _second_sense(every, halves, predicates, expected, _nothing(alone))
    for form in (_adjective_within, _two_adjectives, _everything_but, _category):  # the later one stands
        made = form(every, halves, predicates, made)
    return Composition(**{**_columns(made), "alone": made.alone.astype(np.float32)})


def held_out(chosen: list[np.ndarray], values: list[np.ndarray]) -> np.ndarray:
    """Return (R,) mean over both halves of the value that the other half's choice has there."""
    return (at(values[1], chosen[0]) + at(values[0], chosen[1])) / 2


def _nothing(alone: np.ndarray) -> Composition:
    """Return no composition for neurons whose best single concept has the held-out area `alone` (R,)."""
    none, unknown = np.full(len(alone), -1, np.int32), np.full(len(alone), np.nan, np.float32)
    return Composition(np.zeros(len(alone), np.int8), none, none.copy(), unknown, unknown.copy(), alone)


def _columns(made: Composition) -> dict[str, np.ndarray]:
    return {field.name: getattr(made, field.name) for field in fields(made)}


def _where(mask: np.ndarray, made: Composition, form: str, **columns: np.ndarray) -> Composition:
    """Return the composition with some neurons' replaced."""
    old = _columns(made)
    new = {
        name: np.where(mask, columns.get(name, np.nan), old[name]).astype(old[name].dtype)
        for name in ("share", "score")
    }
    new |= {name: np.where(mask, columns.get(name, -1), old[name]).astype(np.int32) for name in ("first", "second")}
    new["form"] = np.where(mask, FORMS.index(form), old["form"]).astype(np.int8)
    return Composition(**{**old, **new})


def _second_sense(
    every: Compared, halves: list[Compared], predicates: Predicates, expected: np.ndarray, made: Composition
) -> Composition:
    concepts = predicates.of_kind("concept")
    pair = top_two(every, concepts)
    agrees = [(top_two(p, concepts) == pair).all(1) & (pair >= 0).all(1) for p in halves]
    mean = means(every)
    swap = at(mean, pair[:, 1]) > at(mean, pair[:, 0])
    strong, weak = np.where(swap, pair[:, 1], pair[:, 0]), np.where(swap, pair[:, 0], pair[:, 1])
    levels = []
    for p in halves:
        of_half = means(p)
        one, other = at(of_half, strong), at(of_half, weak)
        levels.append(np.minimum(one, other) / np.maximum(np.maximum(one, other), 1e-6))
    level = (levels[0] + levels[1]) / 2
    excess = np.full(len(pair), np.nan)
    named = weak >= 0
    excess[named] = level[named] - expected[strong[named], weak[named]]
    pays = (agrees[0] | agrees[1]) & (level >= LEVEL) & (excess >= EXCESS)
    strong, weak = np.where(pays, strong, -1), np.where(pays, weak, -1)
    areas = [_area_of(p, strong, weak, np.logical_or) for p in halves]
    area = _mean_known(_or_nan(areas[0], agrees[1]), _or_nan(areas[1], agrees[0]))
    two = pays & (area >= CLEAR) & (area >= made.alone - NEAR)
    worded = np.where(two, best(_correlations(every.u, every.holds), predicates.of_kind("adjective")), -1)
    two &= ~_says_more(every, worded, worded, strong, weak)
    share = _share(every, strong, weak)
    return _where(two & (share >= SHARE), made, "or", first=strong, second=weak, share=share, score=area)


def _or_nan(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask, values, np.nan)


def _mean_known(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(one), other, np.where(np.isnan(other), one, (one + other) / 2))


def _by_pair(one: np.ndarray, other: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield each pair of predicates that some neurons have, with these neurons."""
    pairs, of_row = np.unique(np.stack([one, other], 1), axis=0, return_inverse=True)
    for number, (a, b) in enumerate(pairs.tolist()):
        if min(a, b) >= 0:
            yield a, b, np.flatnonzero(of_row.ravel() == number)


def _area_of(p: Compared, one: np.ndarray, other: np.ndarray, join: np.ufunc, least: float = LEAST) -> np.ndarray:
    """Return (R,) area under the ROC curve of the clips with either, or both, of two predicates."""
    area = np.full(len(p.u), np.nan)
    for a, b, mine in _by_pair(one, other):
        joined = join(p.holds[:, a], p.holds[:, b])[:, None]
        area[mine] = aurocs(p.ranks[mine], whole_draw(joined), least)[0][:, 0]
    return area


def _share(p: Compared, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return (R,) of the highest clips with either concept, as many as the rarer one has, those with the second."""
    share = np.full(len(p.u), np.nan)
    for row in np.flatnonzero((one >= 0) & (other >= 0)).tolist():
        first, second = p.holds[:, one[row]], p.holds[:, other[row]]
        inside = np.flatnonzero(first | second)
        count = max(1, min(int(first.sum()), int(second.sum())))
        high = inside[np.argsort(-p.u[row, inside], kind="stable")[:count]]
        share[row] = second[high].mean()
    return share


def _adjective_within(
    every: Compared, halves: list[Compared], predicates: Predicates, made: Composition
) -> Composition:
    adjectives, base = predicates.of_kind("adjective"), best(every.strength, predicates.of_kind("concept"))
    distance = among(every, base)[1]
    shown = best(distance, adjectives)
    inside = [at(among(p, base, FEW)[0], shown) for p in halves]
    area = (inside[0] + inside[1]) / 2
    steady = np.minimum(*inside) >= STEADY
    clear = np.minimum(*(at(p.area, base) for p in halves)) >= CLEAR
    clear |= np.minimum(*(_area_of(p, base, shown, np.logical_and, FEW) for p in halves)) >= SHARP
    told = (made.form == 0) & clear & steady & (area >= CONTRAST) & (at(distance, shown) >= DISTANCE)
    return _where(told, made, "and", first=base, second=shown, score=area)


def _two_adjectives(every: Compared, halves: list[Compared], predicates: Predicates, made: Composition) -> Composition:
    places = np.flatnonzero(predicates.of_kind("adjective"))
    pairs = np.array([(a, b) for n, a in enumerate(places) for b in places[n + 1 :]]).reshape(-1, 2)
    if not len(pairs):
        return made
    shown, *of_half = (_best_pair(p, pairs) for p in (every, *halves))
    agrees = np.logical_or(*(pair == shown for pair in of_half)) & (shown >= 0)
    one, other = (np.where(shown >= 0, pairs[shown, side], -1) for side in (0, 1))
    area = np.minimum(*(_area_of(p, one, other, np.logical_and) for p in halves))
    ways = [[among(p, base) for p in halves] for base in (one, other)]
    contrast = [(at(ways[0][h][0], other), at(ways[1][h][0], one)) for h in (0, 1)]
    least = np.minimum(*((contrast[0][way] + contrast[1][way]) / 2 for way in (0, 1)))
    z = np.minimum(*(sum(at(ways[way][h][1], end) for h in (0, 1)) / np.sqrt(2) for way, end in ((0, other), (1, one))))
    told = agrees & (area >= CLEAR) & (least >= PAIRED) & (z >= PAIRED_DISTANCE) & ~(area < made.alone - NEAR)
    two = made.form == FORMS.index("or")
    concept = np.where(two, made.first, best(every.area, predicates.of_kind("concept")))
    second = np.where(two, made.second, concept)
    told &= _says_more(every, np.where(told, one, -1), other, concept, second)
    return _where(told, made, "both", first=one, second=other, score=area)


def _best_pair(p: Compared, pairs: np.ndarray) -> np.ndarray:
    """Return (R,) number of the pair of predicates (P, 2) that together go with the activations most."""
    both = p.holds[:, pairs[:, 0]] & p.holds[:, pairs[:, 1]]
    return best(_correlations(p.u, both), np.ones(len(pairs), bool))


def _correlations(u: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return (R, Q) correlation of activations with masks (n, Q); NaN where too few clips have one, or lack it."""
    correlations = u @ standardised(masks).astype(np.float32) / max(1, len(masks))
    enough = (masks.sum(0) >= LEAST) & ((~masks).sum(0) >= LEAST)
    return np.where(enough, correlations, np.nan)


def _says_more(p: Compared, one: np.ndarray, other: np.ndarray, concept: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return (R,) bool: both of two adjectives say more than either of two concepts.

    The clips that have both adjectives and neither concept must lie clear of those that have none of this, and reach a
    part of the mean activation of the concepts' clips.
    """
    more = (one >= 0) & (concept < 0)
    for a, b, mine in _by_pair(one, other):
        both = p.holds[:, a] & p.holds[:, b]
        for c, d, rows in _by_pair(concept[mine], second[mine]):
            either = p.holds[:, c] | p.holds[:, d]
            ours, rest = both & ~either, ~both & ~either
            if min(ours.sum(), rest.sum()) < LEAST:
                continue
            u, clips = p.u[mine[rows]], np.flatnonzero(~either)
            area = aurocs(rank_shares(u[:, clips]), whole_draw(ours[clips, None]), LEAST)[0][:, 0]
            floor = u[:, rest].mean(1)
            level = (u[:, ours].mean(1) - floor) / np.maximum(u[:, either].mean(1) - floor, 1e-6)
            more[mine[rows]] = (area >= CLEAR) & (level >= LEVEL)
    return more


def _everything_but(every: Compared, halves: list[Compared], predicates: Predicates, made: Composition) -> Composition:
    concepts = predicates.of_kind("concept")
    least = best(1 - every.area, concepts)
    agrees = np.logical_and(*(best(1 - p.area, concepts) == least for p in halves)) & (least >= 0)
    area = np.minimum(*(1 - at(p.area, least) for p in halves))
    single = np.maximum(*(at(p.area, best(p.area, concepts)) for p in halves))
    told = agrees & (area >= CLEAR) & (area >= single + MARGIN)
    return _where(told, made, "not", first=least, score=area)


def _category(every: Compared, halves: list[Compared], predicates: Predicates, made: Composition) -> Composition:
    categories = predicates.of_kind("category")
    if not categories.any():
        return made
    shown = best(every.area, categories)
    agrees = np.logical_and(*(best(p.area, categories) == shown for p in halves)) & (shown >= 0)
    area = np.minimum(*(at(p.area, shown) for p in halves))
    told = agrees & (area >= CLEAR) & (held_out([shown, shown], [p.area for p in halves]) > made.alone)
    return _where(told, made, "category", first=shown, score=area)
