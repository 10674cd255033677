"""Consolidation rehearses what matters, and what it did can be replayed from the log."""

import numpy as np
import pytest
import torch

from titans_core import TitansMemory, Turn
from titans_core.errors import InvalidQueryError

FACTS = [f"The gate code of house {number} is {number * 37}." for number in range(16)]
KEEP = 0.8


@pytest.fixture
def path(tmp_path, reader):
    path = tmp_path / "memory.db"
    with TitansMemory.open(path, tenant="alice", reader=reader, retention=KEEP) as memory:
        memory.memorize_many([Turn(fact, session="s", id=f"f{number}") for number, fact in enumerate(FACTS)])
    return path


@pytest.fixture
def fading(path, reader):
    with TitansMemory.open(path, tenant="alice", reader=reader, retention=KEEP) as memory:
        yield memory


def left(memory):
    """What retention has left of every turn."""
    return memory._learned.learner.index.retention_factors(memory._learned.learner.state.updates, KEEP)


def test_what_was_recalled_often_is_rehearsed_and_what_was_not_fades(fading):
    before = left(fading)
    assert before[2] < before[-1] / 10
    for _ in range(3):
        assert fading.recall(FACTS[2]).best.id == "f2"
    assert fading.consolidate(share=1 / 16) == 1
    after = left(fading)
    assert after[2] > 1  # as if it had been said again, and a little more
    assert after[3] < before[3]
    assert fading.recall(FACTS[3]).best.id == "f3"  # faded, but in the log and found


def test_a_late_turn_that_was_recalled_comes_before_surprising_early_ones(fading):
    index = fading._learned.learner.index.turns()
    late = int(np.argmin(index.surprise))
    for _ in range(2):
        assert fading.recall(FACTS[late]).best.id == f"f{late}"
    before = left(fading)[late]
    assert fading._learned.learner.most_important(1 / 16) == [int(index.positions[late])]
    fading.consolidate(share=1 / 16)
    assert left(fading)[late] > 1 > before


def test_without_recalls_the_most_surprising_are_rehearsed(fading):
    surprise = fading._learned.learner.index.turns().surprise.copy()
    fading.consolidate(share=0.25)
    rehearsed = np.flatnonzero(left(fading) > 1 - 4 * (1 - KEEP))[:4]
    assert set(np.argsort(-surprise, kind="stable")[:4]) >= set(rehearsed)


def test_nothing_changes_in_the_log_and_nothing_is_rehearsed_for_a_share_of_none(fading):
    turns, weights = fading.turns(), fading._learned.learner.state.inverse
    assert fading.consolidate(share=0) == 0
    assert fading.turns() == turns
    assert torch.equal(fading._learned.learner.state.inverse, weights)


def test_every_process_and_every_replay_sees_the_same_consolidated_weights(path, fading, reader):
    with TitansMemory.open(path, tenant="alice", reader=reader, retention=KEEP) as other:
        fading.recall(FACTS[5])
        fading.consolidate(share=0.2)
        fading.memorize("A turn after the consolidation.", session="s")
        other.stats()  # catches up
        assert torch.equal(other._learned.learner.state.inverse, fading._learned.learner.state.inverse)
        assert np.array_equal(left(other), left(fading))
    expected, strength = fading._learned.learner.state.inverse, left(fading).copy()
    fading.close()
    with TitansMemory.open(path, tenant="alice", reader=reader, retention=KEEP) as loaded:
        assert loaded._learned.learner._saved == len(FACTS) + 1
        assert torch.equal(loaded._learned.learner.state.inverse, expected)
        assert np.array_equal(left(loaded), strength)
        loaded._learned.log._connection.execute("DELETE FROM snapshots")
        loaded._learned.learner._saved = 100
    with TitansMemory.open(path, tenant="alice", reader=reader, retention=KEEP) as replayed:
        assert replayed._learned.learner._saved == 0
        assert torch.equal(replayed._learned.learner.state.inverse, expected)
        assert np.array_equal(left(replayed), strength)


def test_a_forgotten_turn_is_rehearsed_no_more(fading, reader, tmp_path):
    fading.consolidate(share=1.0)
    fading.forget("f4")
    assert 4 not in [int(position) - 1 for position in fading._learned.log.rehearsals()[1]]
    assert len(fading._learned.log.rehearsals()[1]) == len(FACTS) - 1
    assert fading.recall(FACTS[4]).best.text != FACTS[4]


def test_a_second_consolidation_replaces_the_first(fading):
    fading.consolidate(share=1.0)
    assert fading.consolidate(share=1 / 16) == 1
    assert len(fading._learned.log.rehearsals()[1]) == 1


def test_counts_of_recalls_survive_closing(path, reader):
    with TitansMemory.open(path, tenant="alice", reader=reader, retention=KEEP) as memory:
        memory.recall(FACTS[7])
        memory.memorize("Something else.", session="s")  # so that there is something to save
        assert memory._learned.learner.recalled == {8: 1}
    with TitansMemory.open(path, tenant="alice", reader=reader, retention=KEEP) as memory:
        assert memory._learned.learner.recalled == {8: 1}


def test_one_tenants_consolidation_is_not_anothers(path, fading, reader):
    with TitansMemory.open(path, tenant="bob", reader=reader, retention=KEEP) as bob:
        bob.memorize_many(FACTS[:3])
        fading.consolidate(share=1.0)
        assert bob._learned.log.rehearsals() == (0, [])


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_out_of_range_is_refused(fading, share):
    with pytest.raises(InvalidQueryError, match="share"):
        fading.consolidate(share=share)


async def test_it_can_be_awaited(fading):
    assert await fading.aconsolidate(share=0.5) == 8
