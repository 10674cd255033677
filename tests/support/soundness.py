"""Checks of a memory's file, for example after a crash."""

import torch

from titans_core import TitansMemory
from titans_core.memory.learner import Learner


def inspected(path, reader, *, tenant="alice"):
    """Open a memory and check its promises.

    Returns:
        A dict with `turns` (lists of id and text, in order), `integrity` ("ok" if SQLite finds no fault), `replayed`
        (whether the weights equal those of a replay of the log, bit for bit) and `recalled` (whether every turn is
        recalled by its own text).
    """
    with TitansMemory.open(path, tenant=tenant, reader=reader) as memory:
        turns = memory.turns()
        return {
            "turns": [[turn.id, turn.text] for turn in turns],
            "integrity": memory._learned.log._connection.execute("PRAGMA integrity_check").fetchone()[0],
            "replayed": equals_a_replay(memory),
            "recalled": all(memory.recall(turn.text, k=1, ids=[turn.id]).best.text == turn.text for turn in turns),
        }


def equals_a_replay(memory):
    """Return whether the weights and the index equal those of a new learner that learns the whole log."""
    learner = memory._learned.learner
    current, replayed = map(_tensors, (learner, Learner(_WithoutSnapshots(memory._learned.log), learner.spec)))
    return current.keys() == replayed.keys() and all(torch.equal(current[name], replayed[name]) for name in current)


def _tensors(learner):
    """Return all tensors of the weights and the index, by name."""
    return learner.state.tensors() | learner.index.saved()


class _WithoutSnapshots:
    """A log without saved weights, so that a learner replays all turns."""

    def __init__(self, log):
        self._log = log

    def __getattr__(self, name):
        return getattr(self._log, name)

    def load_snapshot(self):
        return None
