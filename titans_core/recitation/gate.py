"""The gate's thresholds: how familiar a question must be before anything is recited.

The more facts a memory holds, the lower is the activation that a known question causes, and the more easily an unknown
question seems familiar. So both thresholds depend on the number of facts. `benchmarks/fit/gate.py` fitted them on other
people and other topics than `titans total-recall` examines.
"""

from __future__ import annotations

import math

import numpy as np

_FACT_COUNTS = (4, 16, 64, 256, 1024)
_ADDRESS_THRESHOLDS = (0.213, 0.199, 0.158, 0.128, 0.110)
_FAMILIARITY_THRESHOLDS = (0.0473, 0.0467, 0.0367, 0.0298, 0.0266)


def address_threshold(facts: int) -> float:
    """The least activation of a slot at which its fact is recited and checked.

    Args:
        facts: Number of facts in the memory, at least 0.

    Returns:
        The threshold of the activation, between .110 and .213.
    """
    return _interpolate(facts, _ADDRESS_THRESHOLDS)


def familiarity_threshold(facts: int) -> float:
    """The least activation per surprisal at which the gate opens.

    Args:
        facts: Number of facts in the memory, at least 0.

    Returns:
        The threshold of the activation divided by `surprisal_given`, in 1/nats, between .0266 and .0473.
    """
    return _interpolate(facts, _FAMILIARITY_THRESHOLDS)


def _interpolate(facts: int, thresholds: tuple[float, ...]) -> float:
    return float(np.interp(math.log(max(facts, 1)), np.log(_FACT_COUNTS), thresholds))
