"""Thresholds with a finite-sample bound: learn-then-test with exact binomial tests.

A label is a promise about risk: of the recalls that carry it, at most a share α is wrong. The threshold is found by
fixed-sequence testing (Angelopoulos et al., arXiv 2110.01052): thresholds are tried in an order that is fixed before
the labels are looked at, strictest first, each by the exact test of H: risk > α, and the walk ends at the first that
is not rejected. Then the chance that the risk at the last rejected threshold exceeds α is at most δ.
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
"""Shares of the cases that the thresholds let through, in the order in which they are tried.

The walk does not begin at the very strictest: among a few dozen cases one error more than usual would end it at once.
"""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold that was tested.

    Attributes:
        value: the label is given at this score or above.
        cases: how many of the cases that it was tested on got the label.
        errors: how many of those were wrong.
        bound: upper Clopper–Pearson bound of the risk.
    """

    value: float
    cases: int
    errors: int
    bound: float


def upper_bound(errors: int, cases: int, delta: float) -> float:
    """The exact (Clopper–Pearson) upper bound of a risk: it lies below it with a probability of 1 − δ.

    Args:
        errors: in [0, cases].
        cases: how many were looked at; with none the bound is 1.
        delta: in (0, 1).
    """
    return 1.0 if errors >= cases else float(beta.ppf(1 - delta, errors + 1, cases - errors))


def fewest_cases(alpha: float, delta: float) -> int:
    """With fewer cases than this not even a label without an error keeps a promise of risk α."""
    return math.ceil(math.log(delta) / math.log1p(-alpha))


def find_threshold(
    scores: NDArray[np.float64], wrong: NDArray[np.bool_], *, alpha: float, delta: float
) -> Threshold | None:
    """The lowest threshold whose risk is at most α, with a probability of 1 − δ.

    Args:
        scores: (n,), higher is more trustworthy; of cases that the scorer was not fitted to.
        wrong: (n,), whether the label would be wrong for each.
        alpha: the risk that is promised, in (0, 1).
        delta: in (0, 1).

    Returns:
        The threshold, or None: then the label must never be given.
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
