"""The least-squares memory learns what its equations say."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from titans_core.neural import Decay, Keep, LeastSquares, MemorySpec, MemoryState, surprise, write, write_sequentially

DIM = 24


def keys(count, seed=0, dim=DIM):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, dim, generator=generator, dtype=torch.float64), dim=-1)


def least_squares(ridge=30.0, keep=1.0, dim=DIM):
    return MemorySpec(dim, retention=Keep() if keep == 1 else Decay(1 - keep), optimizer=LeastSquares(ridge))


def state_after(spec, *batches):
    state = MemoryState.initial(spec)
    for batch in batches:
        state, _ = write(spec, state, batch)
    return state


@pytest.mark.parametrize("keep", [1.0, 0.9])
@pytest.mark.parametrize("count", [0, 1, 5, 60])
def test_the_fast_path_equals_the_definition(keep, count):
    spec = least_squares(keep=keep)
    start = state_after(spec, keys(7))
    fast, fast_surprise = write(spec, start, keys(count, seed=1))
    slow, slow_surprise = write_sequentially(spec, start, keys(count, seed=1))
    torch.testing.assert_close(fast.inverse, slow.inverse, rtol=0, atol=1e-12)
    torch.testing.assert_close(fast_surprise.momentary, slow_surprise.momentary, rtol=0, atol=1e-12)
    assert fast.tokens == slow.tokens == 7 + count


def test_one_pass_reaches_the_exact_minimum_of_the_associative_loss():
    spec = least_squares()
    batches = [keys(count, seed=count) for count in (3, 11, 6)]
    state = state_after(spec, *batches)

    stacked = torch.cat(batches)
    addresses = torch.zeros(len(stacked), 3, dtype=torch.float64)
    addresses[torch.arange(len(stacked)), torch.tensor([0] * 3 + [1] * 11 + [2] * 6)] = 1
    # The minimum of Σ‖W k − v‖² + λ‖W‖², computed directly with one-hot addresses as values.
    ridge = spec.optimizer.ridge * torch.eye(DIM, dtype=torch.float64)
    minimum = torch.linalg.solve(stacked.T @ stacked + ridge, stacked.T @ addresses).T
    columns = torch.stack([batch.sum(0) for batch in batches])
    torch.testing.assert_close(columns @ state.inverse, minimum, rtol=0, atol=1e-12)


def test_the_order_of_writing_does_not_matter_without_retention():
    spec = least_squares()
    forwards, backwards = state_after(spec, keys(9, 1), keys(4, 2)), state_after(spec, keys(4, 2), keys(9, 1))
    torch.testing.assert_close(forwards.inverse, backwards.inverse, rtol=0, atol=1e-13)


def test_retention_weighs_the_past_and_leaves_the_prior():
    spec = least_squares(5.0, 0.8)
    batches = [keys(6, seed) for seed in range(4)]
    gram = sum(0.8 ** (3 - age) * batch.T @ batch for age, batch in enumerate(batches))
    expected = torch.linalg.inv(gram + spec.optimizer.ridge * torch.eye(DIM, dtype=torch.float64))
    torch.testing.assert_close(state_after(spec, *batches).inverse, expected, rtol=0, atol=1e-12)


def test_surprise_is_one_for_the_first_key_and_falls_with_every_repetition():
    spec = least_squares()
    state, key = MemoryState.initial(spec), keys(1)
    seen = []
    for _ in range(300):
        state, surprised = write(spec, state, key)
        seen.append(surprised.turn)
    assert seen[0] == pytest.approx(1.0)
    assert all(later < earlier for earlier, later in itertools.pairwise(seen))
    assert seen[-1] < 0.1
    # λ / (λ + n) after n repetitions.
    assert seen[299] == pytest.approx(30 / (30 + 299))


def test_a_direction_never_seen_stays_a_surprise():
    spec = least_squares()
    basis = torch.eye(DIM, dtype=torch.float64)
    state = state_after(spec, basis[:5].repeat(20, 1))
    assert float(surprise(spec, state, basis[10:11])) == pytest.approx(1.0)
    assert float(surprise(spec, state, 7 * basis[:1])) == pytest.approx(30 / 50)  # the length of a key does not matter


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(0, 1000), st.sampled_from([1.0, 0.95]))
def test_any_sequence_of_writes_leaves_a_sound_state(counts, seed, keep):
    spec = least_squares(keep=keep)
    state = MemoryState.initial(spec)
    for step, count in enumerate(counts):
        state, surprised = write(spec, state, keys(count, seed + step))
        assert ((surprised.momentary > 0) & (surprised.momentary <= 1 + 1e-12)).all()
    assert torch.equal(state.inverse, state.inverse.T)
    assert float(torch.linalg.eigvalsh(state.inverse)[0]) > 0
    assert state.tokens == sum(counts)


def test_a_saved_state_comes_back_bit_for_bit():
    spec = least_squares()
    state = state_after(spec, keys(20))
    loaded = MemoryState.from_tensors(spec, state.tensors())
    assert torch.equal(loaded.inverse, state.inverse)
    assert torch.equal(loaded.key_sum, state.key_sum)
    assert loaded.tokens == state.tokens


def test_tensors_of_another_spec_are_no_state():
    tensors = state_after(least_squares(), keys(3)).tensors()
    assert MemoryState.from_tensors(least_squares(dim=DIM + 2), tensors) is None
    assert MemoryState.from_tensors(least_squares(), {"inverse": tensors["inverse"]}) is None
    half = {**tensors, "inverse": tensors["inverse"].float()}
    assert MemoryState.from_tensors(least_squares(), half) is None
