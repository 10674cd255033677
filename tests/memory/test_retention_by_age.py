"""`max_age`: what was said too long ago is forgotten, from the file and the weights, without being asked."""

from datetime import UTC, datetime, timedelta

import pytest
import torch

from titans_core import Turn
from titans_core.errors import InvalidSpecError
from titans_core.memory.learned_log import SWEEP_SECONDS
from titans_core.memory.memory import TitansMemory

NOW = datetime.now(UTC)
OLD = Turn("The gate code was 1234-XYLO.", at=NOW - timedelta(days=100), id="old")
NEW = Turn("The gate code is 4417.", at=NOW - timedelta(days=1), id="new")
POLICY = timedelta(days=90)


def stored(path, reader, **options):
    with TitansMemory.open(path, tenant="alice", reader=reader, **options) as memory:
        return [turn.id for turn in memory.turns()]


def test_what_is_too_old_is_forgotten_when_the_memory_is_opened(tmp_path, reader):
    path = tmp_path / "memory.db"
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        memory.memorize_many([OLD, NEW])
    assert stored(path, reader, max_age=timedelta(days=200)) == ["old", "new"]
    assert stored(path, reader, max_age=POLICY) == ["new"]
    assert stored(path, reader) == ["new"]
    assert not any(b"1234-XYLO" in file.read_bytes() for file in tmp_path.iterdir())


def test_the_weights_are_those_of_a_memory_that_never_had_it(reader):
    with (
        TitansMemory.open(":memory:", tenant="alice", reader=reader, max_age=POLICY) as memory,
        TitansMemory.open(":memory:", tenant="alice", reader=reader) as without,
    ):
        memory.memorize_many([OLD, NEW])
        memory._learned._swept -= SWEEP_SECONDS + 1  # an hour later
        assert [turn.id for turn in memory.turns()] == ["new"]
        without.memorize(NEW)
        assert torch.equal(memory._learned.learner.state.inverse, without._learned.learner.state.inverse)


def test_within_the_hour_nothing_is_looked_for(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, max_age=POLICY) as memory:
        memory.memorize_many([OLD, NEW])
        assert len(memory.turns()) == 2


@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=-1)])
def test_an_age_of_nothing_is_refused(reader, age):
    with pytest.raises(InvalidSpecError, match="max_age"):
        TitansMemory.open(":memory:", tenant="alice", reader=reader, max_age=age)
