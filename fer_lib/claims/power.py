"""How many runs would decide an inconclusive claim, simulated from the runs at hand.

New runs are sampled from what the runs at hand make likely: shares from their Beta posterior (Jeffreys' prior), means
and deviations from theirs. Then the claim's own rule judges old and new runs together.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ..evaluation import statistics
from . import rules
from .rules import Verdict

LADDER = (3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 75, 100)
"""Numbers of seeds that are tried; they include the runs at hand."""
DECIDED = 0.8
"""The share of simulated outcomes that has to be decided."""
DRAWS = 100

Draw = Callable[[np.random.Generator, int], Verdict]
"""Judges the runs at hand together with this many new ones."""


def seeds_needed(have: int, draw: Draw) -> tuple[int, float]:
    """The smallest number of seeds, old and new, at which the share ``DECIDED`` of ``DRAWS`` outcomes is decided, and
    the share decided there. If none is enough, the ladder's last number and its share.
    """

    def decided(n: int) -> float:
        rng = np.random.default_rng(n)
        return float(np.mean([draw(rng, n - have).verdict != rules.INCONCLUSIVE for _ in range(DRAWS)]))

    steps = [n for n in LADDER if n > have] or [have + 1]
    shares = {steps[-1]: decided(steps[-1])}
    if shares[steps[-1]] < DECIDED:
        return steps[-1], shares[steps[-1]]
    return next((n, share) for n in steps if (share := shares.get(n) or decided(n)) >= DECIDED)


def share_of(k: int, n: int, rng: np.random.Generator) -> float:
    """A share sampled from what k of n make likely."""
    return rng.beta(k + 0.5, n - k + 0.5)


def like(values: Sequence[float], rng: np.random.Generator, more: int) -> np.ndarray:
    """``more`` values sampled from what these (at least two) make likely: (more,)."""
    n, own = len(values), np.std(values, ddof=1)
    deviation = own * np.sqrt((n - 1) / rng.chisquare(n - 1))
    return rng.normal(rng.normal(np.mean(values), deviation / np.sqrt(n)), deviation, more)


def behaviour(shown: Sequence[bool]) -> Draw:
    """Simulates ``rules.behaviour``; arguments as there."""
    k, n = sum(shown), len(shown)

    def draw(rng, more):
        new = rng.random(more) < share_of(k, n, rng)
        return rules.behaviour([*shown, *new])

    return draw


def margin(values: Sequence[float], learned: Sequence[bool], low: float, high: float) -> Draw:
    """Simulates ``rules.margin``; arguments as there."""
    own = [value for value, did in zip(values, learned) if did]

    def draw(rng, more):
        did = rng.random(more) < share_of(len(own), len(values), rng)
        new = like(own, rng, more)
        return rules.margin([*values, *new], [*learned, *did], low, high)

    return draw


def accuracy(values: Sequence[float], collapsed_to: Sequence[str], judge: Callable[[list, list], Verdict]) -> Draw:
    """Simulates ``rules.accuracy``; ``judge`` is that rule as a function of values and what they collapsed to."""
    own = [value for value, to in zip(values, collapsed_to) if not to]
    collapsed = [(value, to) for value, to in zip(values, collapsed_to) if to]

    def draw(rng, more):
        kinds = sorted(set(collapsed))
        weights = [collapsed.count(kind) for kind in kinds] + ([len(own)] if own else []) + [0.5]
        shares = rng.dirichlet(weights)
        picks = rng.choice(len(weights), more, p=shares)
        learned = like(own, rng, more) if len(own) > 1 else np.full(more, own[0] if own else np.nan)
        new = [
            kinds[pick] if pick < len(kinds) else (value, "") if own and pick == len(kinds) else (0.0, "another")
            for pick, value in zip(picks, learned)
        ]
        return judge([*values, *(value for value, _ in new)], [*collapsed_to, *(to for _, to in new)])

    return draw


def paired(rule: Callable, differences: np.ndarray, collapsed: np.ndarray) -> Draw:
    """Simulates ``rules.ordering`` or ``rules.no_difference``; arguments as there, for at least two seeds."""
    seeds = differences.shape[1]

    def draw(rng, more):
        again = rng.integers(0, seeds, more)  # where one collapsed, whole pairs are sampled again
        new = [own[again] if failed.any() else like(own, rng, more) for own, failed in zip(differences, collapsed)]
        return rule(np.hstack([differences, new]), np.hstack([collapsed, collapsed[:, again]]))

    return draw


def faces_needed(k: int, n: int, low: float, high: float) -> int | None:
    """The number of faces that would decide ``rules.share`` if the share stays as it is; None beyond 100 times n."""
    for times in (2, 3, 5, 10, 20, 50, 100):
        start, end = (100 * side for side in statistics.clopper_pearson(k * times, n * times))
        if (low <= start and end <= high) or end < low or start > high:
            return n * times
    return None
