"""With retention below 1 the weights forget the old, and the log does not."""

import numpy as np
import pytest
import torch

from titans_core import TitansMemory
from titans_core.errors import InvalidSpecError
from titans_core.neural import Decay, LeastSquares, MemorySpec, MemoryState, write
from titans_core.retrieval.associative import associative_scores

FACTS = [f"The gate code of house {number} is {number * 37}." for number in range(12)]


def answer(memory, fact):
    found = {recall.text: recall for recall in memory.recall(fact, k=12)}
    return found[fact].why["associative"]


def test_faded_weights_answer_less_to_what_is_old(reader):
    with (
        TitansMemory.open(":memory:", tenant="keeps", reader=reader) as keeps,
        TitansMemory.open(":memory:", tenant="fades", reader=reader, retention=0.7) as fades,
    ):
        for memory in (keeps, fades):
            for fact in FACTS:  # one by one, so that both read the same
                memory.memorize(fact)
        assert answer(fades, FACTS[0]) < answer(keeps, FACTS[0])
        assert answer(fades, FACTS[-1]) > answer(fades, FACTS[0])
        assert fades.recall(FACTS[0]).best.text == FACTS[0]  # still in the log, still found


def test_the_answer_is_that_of_the_faded_least_squares_problem():
    count, dim = 5, 6
    spec = MemorySpec(dim, retention=Decay(0.2), optimizer=LeastSquares(2.0))
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(3, dim, generator=generator, dtype=torch.float64) for _ in range(count)]
    state = MemoryState.initial(spec)
    for batch in batches:
        state, _ = write(spec, state, batch)
    # W minimises Σ keep^age ‖W k − v‖² + λ‖W‖² with one-hot addresses v.
    faded = [0.8 ** (count - 1 - age) for age in range(count)]
    gram = sum(weight * batch.T @ batch for weight, batch in zip(faded, batches, strict=True))
    values = torch.stack([weight * batch.sum(0) for weight, batch in zip(faded, batches, strict=True)])
    minimum = values @ torch.linalg.inv(gram + spec.optimizer.ridge * torch.eye(dim, dtype=torch.float64))
    query = torch.randn(1, dim, generator=generator, dtype=torch.float64)
    columns = torch.stack([batch.sum(0) for batch in batches])
    # Each answer over the root of the faded column's length in the memory's metric.
    length = torch.stack([weight * column for weight, column in zip(faded, columns, strict=True)])
    length = ((length @ state.inverse) * length).sum(-1).sqrt()
    expected = (minimum @ query[0]) / length.sqrt()
    found = associative_scores(
        state,
        columns.float().numpy(),
        query.float().numpy(),
        np.ones(1, np.float32),
        lengths=columns.norm(dim=1).float().numpy(),
        retention_factors=np.array(faded, np.float32),
        passages=np.ones(count, np.int32),
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_opened_with_another_retention_the_weights_are_relearned(reader, tmp_path):
    states = []
    for keep in (1.0, 0.9, 1.0):
        with TitansMemory.open(tmp_path / "memory.db", tenant="alice", reader=reader, retention=keep) as memory:
            if not memory.turns():
                memory.memorize_many(FACTS)
            states.append(memory._learned.learner.state.inverse)
    assert torch.equal(states[0], states[2])
    assert not torch.allclose(states[0], states[1])


@pytest.mark.parametrize("keep", [0.0, 1.5, -1])
def test_retention_out_of_range_is_refused(reader, keep):
    with pytest.raises(InvalidSpecError, match="retention"):
        TitansMemory.open(":memory:", tenant="alice", reader=reader, retention=keep)
