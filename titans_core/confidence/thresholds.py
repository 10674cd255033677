"""Thresholds with a finite-sample bound: learn-then-test with exact binomial tests.

A label is a promise about risk: at most a share α of the recalls under it is wrong. The threshold is found by
fixed-sequence testing (Angelopoulos et al., arXiv 2110.01052). Thresholds are tried in an order that is fixed before
the outcomes are known, the strictest first. Each is tested by the exact test of H: risk > α, and the search ends at the
first H that is not rejected. Then the probability that the risk at the last rejected threshold exceeds α is at most δ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta

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
        bound: The upper Clopper–Pearson bound of the risk.
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


def fewest_cases(alpha: float, delta: float) -> int:
    """The least number of cases with which a label without any error keeps a promise of risk α."""
    return math.ceil(math.log(delta) / math.log1p(-alpha))


def find_miss_threshold(
    scores: NDArray[np.float64], missed: NDArray[np.bool_], *, alpha: float, delta: float
) -> Threshold | None:
    """The lowest threshold that at most a share α of certain cases reach, with a probability of 1 − δ.

    Args:
        scores: (n,), the scores of cases that the scorer was not fitted to.
        missed: bool (n,), the cases for which reaching the threshold is wrong.
        alpha: α, the promised share of these cases, in (0, 1).
        delta: δ, in (0, 1).

    Returns:
        The threshold, with the number of these cases and of those among them that reach it; None if there are too few
        cases to promise anything.
    """
    wrong = np.sort(scores[missed])[::-1]
    if len(wrong) < fewest_cases(alpha, delta):
        return None
    # As many as can be missed while the bound stays below α; the threshold lies just above the next one.
    errors = max(count for count in range(len(wrong)) if upper_bound(count, len(wrong), delta) <= alpha)
    value = float(np.nextafter(wrong[errors], np.inf))
    return Threshold(value, len(wrong), int((wrong >= value).sum()), upper_bound(errors, len(wrong), delta))


def find_threshold(
    scores: NDArray[np.float64], wrong: NDArray[np.bool_], *, alpha: float, delta: float
) -> Threshold | None:
    """The lowest threshold whose risk is at most α, with a probability of 1 − δ.

    Args:
        scores: (n,), the scores of cases that the scorer was not fitted to; higher is more trustworthy.
        wrong: bool (n,), whether the label would be wrong for each case.
        alpha: α, the promised risk, in (0, 1).
        delta: δ, in (0, 1).

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
        bound = upper_bound(errors, int(chosen.sum()), delta)
        if bound > alpha:
            break
        found = Threshold(value, int(chosen.sum()), errors, bound)
    return found
