"""What is found in a memory's file after something happened to it."""

import torch

from titans_core import TitansMemory
from titans_core.memory.learner import Learner


def inspected(path, reader, *, tenant="alice"):
    """Open a memory and look at all that it promises.

    Returns:
        A dict with `turns` (pairs of id and text, in order), `integrity` ("ok" if SQLite finds nothing wrong),
        `replayed` (whether the weights are, bit for bit, those of a replay of the log) and `recalled` (whether every
        turn is found by its own text).
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
    """Whether the weights and the index are what learning the whole log anew gives."""
    known, fresh = (
        _learned(cache)
        for cache in (
            memory._learned.learner,
            Learner(_WithoutSnapshots(memory._learned.log), memory._learned.learner.spec),
        )
    )
    return known.keys() == fresh.keys() and all(torch.equal(known[name], fresh[name]) for name in known)


def _learned(cache):
    return cache.state.tensors() | cache.index.saved()


class _WithoutSnapshots:
    """A log that has lost its weights, so that they are replayed."""

    def __init__(self, log):
        self._log = log

    def __getattr__(self, name):
        return getattr(self._log, name)

    def load_snapshot(self):
        return None
