"""Whether to speak at all: how familiar a question must be.

The more facts a memory holds, the less each of them answers and the more easily something else seems familiar. So both
thresholds depend on the number of facts. They were fitted by `benchmarks/fit/gate.py`, on facts about other topics and
other people than those that `titans total-recall` examines.
"""

from __future__ import annotations

import math

import numpy as np

_FACTS = (4, 16, 64, 256, 1024)
_ADDRESS = (0.213, 0.199, 0.158, 0.128, 0.110)
_FAMILIARITY = (0.0473, 0.0467, 0.0367, 0.0298, 0.0266)


def address_threshold(facts: int) -> float:
    """The least activation of a slot at which its fact is recited to be looked at, for a memory of so many facts."""
    return _interpolated(facts, _ADDRESS)


def familiarity_threshold(facts: int) -> float:
    """The least activation over strangeness, in 1/nats, at which the gate opens, for a memory of so many facts."""
    return _interpolated(facts, _FAMILIARITY)


def _interpolated(facts: int, thresholds: tuple[float, ...]) -> float:
    return float(np.interp(math.log(max(facts, 1)), np.log(_FACTS), thresholds))
