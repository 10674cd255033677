"""Thresholds with a finite-sample bound: learn-then-test with exact binomial tests, adjusted for conversations.

A label is a promise about risk: at most a share α of the recalls under it is wrong. The threshold is found by
fixed-sequence testing (Angelopoulos et al., arXiv 2110.01052). Thresholds are tried in an order that is fixed before
the outcomes are known, the strictest first. Each is tested by the exact test of H: risk > α, and the search ends at the
first H that is not rejected. Then the probability that the risk at the last rejected threshold exceeds α is at most δ.

The questions of one conversation are not independent: where one is answered wrongly, others are too. So the exact bound
is computed for the number of independent cases that are worth as much (Korn and Graubard, Survey Methodology 24, 1998).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta, t

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARES = tuple(percent / 100 for percent in range(10, 101))
"""Shares of the cases that get the label, in the order in which they are tried.

The search does not begin at the very strictest: among a few dozen cases one error more than usual would end it at once.
"""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold that was tested.

    Attributes:
        value: The least score at which the label is given.
        cases: The number of test cases that got the label.
        errors: The number of those cases that were wrong.
        bound: The upper bound of the risk.
    """

    value: float
    cases: int
    errors: int
    bound: float


def upper_bound(errors: int, cases: int, delta: float) -> float:
    """The exact (Clopper–Pearson) upper bound of a risk: the risk lies below it with a probability of 1 − δ.

    Args:
        errors: The number of errors, in [0, cases].
        cases: The number of cases; with none the bound is 1.
        delta: δ, in (0, 1).
    """
    return 1.0 if errors >= cases else float(beta.ppf(1 - delta, errors + 1, cases - errors))


def clustered_bound(wrong: NDArray[np.bool_], groups: NDArray[np.int64], delta: float) -> float:
    """The upper bound of a risk, if the cases of one group are not independent.

    The design effect is the variance of the risk over the groups, divided by that of independent cases. The number of
    cases and of errors are divided by it before the exact bound is computed, and a factor accounts for the number of
    groups from which the variance is known.

    Args:
        wrong: bool (n,), the cases that are wrong.
        groups: (n,), the group of each case. With a single group, the cases count as independent.
        delta: δ, in (0, 1).
    """
    cases, errors = len(wrong), int(wrong.sum())
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    count = len(sizes)
    if count < 2 or errors in (0, cases):
        return upper_bound(errors, cases, delta)
    risk = errors / cases
    beyond = np.bincount(group, weights=wrong) - risk * sizes
    variance = count / (count - 1) * float((beyond**2).sum()) / cases**2
    effect = max(variance / (risk * (1 - risk) / cases), 1.0)
    effect *= (t.ppf(1 - delta, count - 1) / t.ppf(1 - delta, cases - 1)) ** 2
    effect = max(effect, 1.0)
    return float(beta.ppf(1 - delta, errors / effect + 1, (cases - errors) / effect))


def fewest_cases(alpha: float, delta: float) -> int:
    """The least number of cases with which a label without any error keeps a promise of risk α."""
    return math.ceil(math.log(delta) / math.log1p(-alpha))


def find_miss_threshold(
    scores: NDArray[np.float64],
    missed: NDArray[np.bool_],
    *,
    alpha: float,
    delta: float,
    groups: NDArray[np.int64] | None = None,
) -> Threshold | None:
    """The lowest threshold that at most a share α of certain cases reach, with a probability of 1 − δ.

    Args:
        scores: (n,), the scores of cases that the scorer was not fitted to.
        missed: bool (n,), the cases for which reaching the threshold is wrong.
        alpha: α, the promised share of these cases, in (0, 1).
        delta: δ, in (0, 1).
        groups: (n,), the group of each case; None if all cases are independent.

    Returns:
        The threshold, with the number of these cases and of those among them that reach it; None if there are too few
        cases to promise anything.
    """
    tested = scores[missed]
    grouped = np.arange(len(tested)) if groups is None else groups[missed]
    wrong = np.sort(tested)[::-1]
    if len(wrong) < fewest_cases(alpha, delta):
        return None
    errors, bound = 0, upper_bound(0, len(wrong), delta)
    # As many as can be missed while the bound stays below α; the threshold lies just above the next one.
    for count in range(1, len(wrong)):
        reached = clustered_bound(tested > wrong[count], grouped, delta)
        if reached > alpha:
            break
        errors, bound = count, reached
    value = float(np.nextafter(wrong[errors], np.inf))
    return Threshold(value, len(wrong), int((wrong >= value).sum()), bound)


def find_threshold(
    scores: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    *,
    alpha: float,
    delta: float,
    groups: NDArray[np.int64] | None = None,
) -> Threshold | None:
    """The lowest threshold whose risk is at most α, with a probability of 1 − δ.

    Args:
        scores: (n,), the scores of cases that the scorer was not fitted to; higher is more trustworthy.
        wrong: bool (n,), whether the label would be wrong for each case.
        alpha: α, the promised risk, in (0, 1).
        delta: δ, in (0, 1).
        groups: (n,), the group of each case; None if all cases are independent.

    Returns:
        The threshold; None if the label must never be given.
    """
    ordered = np.sort(scores)[::-1]
    found = None
    for share in SHARES:
        count = math.ceil(share * len(ordered))
        if count < fewest_cases(alpha, delta):
            continue
        value = float(ordered[count - 1])
        chosen = scores >= value
        errors = int(wrong[chosen].sum())
        bound = (
            upper_bound(errors, int(chosen.sum()), delta)
            if groups is None
            else clustered_bound(wrong[chosen], groups[chosen], delta)
        )
        if bound > alpha:
            break
        found = Threshold(value, int(chosen.sum()), errors, bound)
    return found
