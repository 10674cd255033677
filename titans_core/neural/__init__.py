"""The fast-weight neural memory: pure functions over a spec and a state, on torch alone.

From the rest of this package it imports only the errors and the fork hook, so it works without `TitansMemory`.
"""

from titans_core.neural.architecture import MLP, Linear
from titans_core.neural.bias import L2, Dot, Huber, Lp
from titans_core.neural.codes import address_codes
from titans_core.neural.gates import Gates, begin_session, follow_fullness, follow_surprise, fullness
from titans_core.neural.memory import NeuralMemory
from titans_core.neural.optimizer import AdamW, GradientDescent, LeastSquares, Momentum, Muon
from titans_core.neural.presets import PRESETS
from titans_core.neural.retention import KL, Decay, ElasticNet, Keep, Lq
from titans_core.neural.serialization import dump_state, load_state
from titans_core.neural.spec import MemorySpec
from titans_core.neural.state import MemoryState
from titans_core.neural.surprise import Surprise, SurpriseMetric
from titans_core.neural.threads import one_thread
from titans_core.neural.write import read, surprise, write, write_sequentially

__all__ = [
    "KL",
    "L2",
    "MLP",
    "PRESETS",
    "AdamW",
    "Decay",
    "Dot",
    "ElasticNet",
    "Gates",
    "GradientDescent",
    "Huber",
    "Keep",
    "LeastSquares",
    "Linear",
    "Lp",
    "Lq",
    "MemorySpec",
    "MemoryState",
    "Momentum",
    "Muon",
    "NeuralMemory",
    "Surprise",
    "SurpriseMetric",
    "address_codes",
    "begin_session",
    "dump_state",
    "follow_fullness",
    "follow_surprise",
    "fullness",
    "load_state",
    "one_thread",
    "read",
    "surprise",
    "write",
    "write_sequentially",
]
