"""Gates, surprise and address codes behave as their docstrings say."""

from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from support.pairs import lively, pairs, random_gates
from titans_core.errors import InvalidSpecError
from titans_core.neural import (
    PRESETS,
    Decay,
    Gates,
    Keep,
    LeastSquares,
    Linear,
    MemorySpec,
    MemoryState,
    Momentum,
    Surprise,
    SurpriseMetric,
    address_codes,
    begin_session,
    follow_fullness,
    follow_surprise,
    fullness,
    read,
    surprise,
    write,
    write_sequentially,
)
from titans_core.neural.surprise import HALF_LIFE

DIM = 6
BOTH = pytest.mark.parametrize("learn", [write, write_sequentially])
NAMES = pytest.mark.parametrize("name", PRESETS)


def learn_a_little(spec, count=5):
    """Return a state that has learned a few pairs."""
    state, _ = write(spec, MemoryState.initial(spec, torch.float64), *pairs(count, spec.dim, spec.values, seed=8))
    return state


def learned_tensors(state):
    return (*state.weights, *state.dual, *state.momentum, *state.squares, state.inverse)


@NAMES
def test_constant_gates_are_the_numbers_of_the_spec(name):
    spec = lively(name)
    gates = Gates.constant(spec, 3)
    for gate, number in zip(
        (gates.step, gates.momentum, gates.forget), (spec.step, spec.momentum, spec.retention.forget), strict=True
    ):
        assert gate.dtype == torch.float64
        assert gate.tolist() == [number] * 3
    assert spec.step == getattr(spec.optimizer, "step", 1.0)
    assert spec.momentum == getattr(spec.optimizer, "momentum", 0.0)


@BOTH
@NAMES
def test_without_gates_a_write_uses_the_constants(name, learn):
    spec = lively(name)
    keys, values = pairs(20, DIM, DIM)
    start = MemoryState.initial(spec, torch.float64)
    (plain, _), (given, _) = (
        learn(spec, start, keys, values),
        learn(spec, start, keys, values, Gates.constant(spec, 20)),
    )
    for tensor, expected in zip(learned_tensors(given), learned_tensors(plain), strict=True):
        assert torch.equal(tensor, expected)


@pytest.mark.parametrize("wrong", [-0.1, float("nan"), 1.1])
@pytest.mark.parametrize("name", ["step", "momentum", "forget"])
def test_a_gate_out_of_range_is_refused_by_name(name, wrong):
    spec = lively("titans")
    keys, values = pairs(4, DIM, DIM)
    gate = torch.tensor([0.1, wrong, 0.1, 0.1], dtype=torch.float64)
    gates = replace(Gates.constant(spec, 4), **{name: gate})
    if name == "step" and wrong > 1:
        assert gates.checked(4) is gates  # a step may be above 1
        return
    with pytest.raises(InvalidSpecError, match=f"{name!r}.*in|{name!r}.*at least"):
        gates.checked(4)
    with pytest.raises(InvalidSpecError, match=repr(name)):
        write(spec, MemoryState.initial(spec, torch.float64), keys, values, gates)


@pytest.mark.parametrize("name", ["step", "momentum", "forget"])
@pytest.mark.parametrize("shape", [(3,), (5,), (4, 1), ()])
def test_a_gate_of_another_length_is_refused_by_name(name, shape):
    gates = Gates.constant(lively("titans"), 4)
    with pytest.raises(InvalidSpecError, match=f"{name!r}.*4 tokens"):
        replace(gates, **{name: torch.full(shape, 0.5, dtype=torch.float64)}).checked(4)
    assert gates.checked(4) is gates


def test_gates_at_are_those_of_some_tokens():
    gates = random_gates(9)
    part = gates.at(2, 5)
    for name in ("step", "momentum", "forget"):
        assert torch.equal(getattr(part, name), getattr(gates, name)[2:5])
    assert len(gates.at(4, 4).step) == 0


def test_the_step_follows_surprise_up_to_a_limit():
    gates = random_gates(8).at(4, 8)  # no step of these tokens is zero
    surprises = torch.tensor([0.0, 0.2, 0.4, 9.0])
    followed = follow_surprise(gates, surprises, usual=0.4)
    factors = torch.tensor([0, 0.5, 1, 2], dtype=torch.float64)
    torch.testing.assert_close(followed.step, gates.step * factors, rtol=1e-6, atol=0)
    steep = follow_surprise(gates, surprises.double(), usual=0.4, limit=3.0)
    assert float(steep.step[3]) == pytest.approx(3 * float(gates.step[3]))
    for one in (followed, steep):
        assert one.momentum is gates.momentum
        assert one.forget is gates.forget
    assert follow_surprise(gates, surprises, usual=0.0) is gates  # nothing is usual yet
    assert followed.checked(4) is followed


def test_a_session_begins_without_the_surprise_of_another():
    gates = random_gates(4)
    before = gates.momentum.clone()
    first_gates = begin_session(gates)
    assert first_gates.momentum.tolist() == [0.0, *before[1:].tolist()]
    assert torch.equal(gates.momentum, before)
    assert first_gates.step is gates.step
    assert first_gates.forget is gates.forget
    assert len(begin_session(gates.at(0, 0)).momentum) == 0


@BOTH
@pytest.mark.parametrize("name", ["titans", "omega"])
def test_momentum_that_is_reset_at_a_session_drops_the_past(name, learn):
    spec = replace(lively(name), window=1)
    state = learn_a_little(spec)
    keys, values = pairs(3, DIM, DIM)
    gates = Gates.constant(spec, 3)
    reset, _ = learn(spec, state, keys, values, begin_session(gates))
    forgotten = replace(state, momentum=tuple(torch.zeros_like(one) for one in state.momentum))
    fresh, _ = learn(spec, forgotten, keys, values, gates)
    kept, _ = learn(spec, state, keys, values, gates)
    for one, other, lingering in zip(reset.momentum, fresh.momentum, kept.momentum, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
        assert float((one - lingering).abs().max()) > 1e-4
    for one, other in zip(reset.weights, fresh.weights, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_forgetting_follows_how_full_the_memory_is():
    gates = random_gates(4)
    followed = follow_fullness(gates, 0.25)
    torch.testing.assert_close(followed.forget, gates.forget / 4)
    assert followed.step is gates.step
    assert followed.momentum is gates.momentum
    assert not follow_fullness(gates, 0.0).forget.any()


def test_an_exact_memory_is_as_full_as_the_directions_that_it_has_learned():
    spec = MemorySpec(DIM, optimizer=LeastSquares(1e-6))
    state = MemoryState.initial(spec)
    for directions in range(1, DIM + 1):
        state, _ = write(spec, state, torch.eye(DIM, dtype=torch.float64)[directions - 1 : directions])
        assert fullness(spec, state) == pytest.approx(directions / DIM, abs=1e-5)
    held = MemorySpec(DIM, optimizer=LeastSquares(3.0))
    keys = pairs(9, DIM)[0]
    state, _ = write(held, MemoryState.initial(held), keys)
    gram = keys.T @ keys
    freedom = torch.trace(gram @ torch.linalg.inv(gram + 3 * torch.eye(DIM, dtype=torch.float64)))
    assert fullness(held, state) == pytest.approx(float(freedom) / DIM)


@settings(max_examples=60, deadline=None)
@given(dim=st.integers(1, 80), ridge=st.sampled_from([0.3, 3.0, 30.0, 49.0, 100.0]), count=st.integers(0, 5))
@example(dim=9, ridge=100.0, count=0)
def test_fullness_lies_between_nothing_and_all_and_can_be_followed(dim, ridge, count):
    spec = MemorySpec(dim, optimizer=LeastSquares(ridge), retention=Decay(0.1))
    keys = pairs(count, dim)[0]
    state, _ = write(spec, MemoryState.initial(spec), keys)
    full = fullness(spec, state)
    assert 0 <= full <= 1
    follow_fullness(Gates.constant(spec, 2), full).checked(2)


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "least_squares"])
def test_another_memory_is_as_full_as_its_tokens_against_its_narrowest_layer(name):
    spec = lively(name)
    state, shares = MemoryState.initial(spec, torch.float64), []
    for number in range(8):
        shares.append(fullness(spec, state))
        state, _ = write(spec, state, *pairs(1, DIM, DIM, seed=number))
    assert shares == pytest.approx([min(1, number / DIM) for number in range(8)])


@BOTH
@NAMES
def test_what_a_token_with_a_step_of_zero_says_does_not_matter(name, learn):
    # With a larger window, a token would also belong to the windows of the next tokens.
    spec = replace(lively(name), window=1)
    start = learn_a_little(spec)
    keys, values = pairs(20, DIM, DIM)
    others = pairs(20, DIM, DIM, seed=1)
    gates = Gates.constant(spec, 20)
    silent = torch.arange(20) % 3 == 1
    gates = replace(gates, step=torch.where(silent, 0.0, gates.step))
    changed_keys, changed_values = (
        torch.where(silent[:, None], other, same) for other, same in zip(others, (keys, values), strict=True)
    )
    first, _ = learn(spec, start, keys, values, gates)
    second, _ = learn(spec, start, changed_keys, changed_values, gates)
    for left, right in zip(learned_tensors(first), learned_tensors(second), strict=True):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-13)


@NAMES
def test_surprise_of_a_new_memory_is_one_and_a_write_measures_the_same(name):
    spec = lively(name)
    keys, values = pairs(1, DIM, DIM)
    start = MemoryState.initial(spec, torch.float64)
    new = surprise(spec, start, keys, values)
    assert new.dtype == torch.float64
    torch.testing.assert_close(new, torch.ones(1, dtype=torch.float64))
    state = learn_a_little(spec)
    state, surprised = write(spec, state, keys, values)
    torch.testing.assert_close(surprised.momentary, surprise(spec, learn_a_little(spec), keys, values))
    after = surprise(spec, state, keys, values)
    assert bool((after >= 0).all())
    if name != "least_squares":
        gap, first = ((read(spec, one, keys) - values).square().sum(-1) for one in (state, start))
        decayed = (1 - spec.retention.forget) * state.weights[0] if name == "gated_deltanet" else None
        gap = (keys @ decayed.T - values).square().sum(-1) if decayed is not None else gap
        torch.testing.assert_close(after, gap / first)


@BOTH
@pytest.mark.parametrize(
    "name", ["titans", "omega", "deltanet", "gated_deltanet", "ttt_linear", "least_squares", "tutorial"]
)
def test_a_pair_that_is_repeated_surprises_less(name, learn):
    spec = lively(name, 16, 16)
    keys, values = pairs(1, 16, 16)
    values = keys + torch.nn.functional.layer_norm(values, (16,))  # a residual memory with a norm can give this answer
    state, seen = MemoryState.initial(spec, torch.float64), []
    for _ in range(12):
        state, surprised = learn(spec, state, keys, values)
        seen.append(surprised.turn)
    assert seen[0] == pytest.approx(1)
    assert seen[-1] < 0.95
    assert max(seen) == seen[0]


@BOTH
@pytest.mark.parametrize(
    "name",
    [name for name in PRESETS if name not in {"titans", "omega", "tutorial"}],  # AdamW's moments are a momentum too
)
def test_without_momentum_there_is_no_past_surprise(name, learn):
    spec = lively(name)
    _, surprised = learn(spec, learn_a_little(spec), *pairs(20, DIM, DIM))
    assert torch.equal(surprised.past, torch.zeros(20, dtype=torch.float64))


@BOTH
def test_past_surprise_is_one_when_the_last_tokens_were_all_new_and_alike(learn):
    # S = −θ (1 + η + … + η^{n−1}) ∇ℓ, so the share is 1 − η^n for every step and every length.
    spec = MemorySpec(DIM, DIM, Linear(), optimizer=Momentum(0.03, 0.8), chunk=64)
    key, value = pairs(1, DIM, DIM)
    for count in (1, 3, 40):
        keys, values = (5 * key).expand(count, -1), value.expand(count, -1)
        _, surprised = learn(spec, MemoryState.initial(spec, torch.float64), keys, values)
        expected = torch.full((count,), 1 - 0.8**count, dtype=torch.float64)
        torch.testing.assert_close(surprised.past, expected)


@BOTH
@pytest.mark.parametrize("name", ["titans", "omega"])
def test_past_surprise_grows_while_the_same_pair_repeats(name, learn):
    spec = lively(name)
    spec = replace(spec, window=1, optimizer=replace(spec.optimizer, step=1e-3))  # the pair stays new
    pair, state, seen = pairs(1, DIM, DIM), MemoryState.initial(spec, torch.float64), []
    for _ in range(4):
        state, surprised = learn(spec, state, *pair)
        seen.append(float(surprised.past))
    assert seen == sorted(seen)
    assert seen[-1] > 1.5 * seen[0] > 0


def test_the_surprise_of_a_turn_is_the_mean_of_its_tokens():
    one = Surprise(torch.tensor([0.5, 1.0]), torch.zeros(2))
    assert one.turn == pytest.approx(0.75)
    assert Surprise.joined([]).turn == 0
    both = Surprise.joined([one, Surprise(torch.tensor([0.0]), torch.ones(1))])
    assert both.momentary.tolist() == [0.5, 1.0, 0.0]
    assert both.past.tolist() == [0, 0, 1]


SURPRISES = st.lists(st.floats(0, 4), max_size=12)


@settings(max_examples=80, deadline=None)
@given(parts=st.lists(SURPRISES, max_size=4), half_life=st.floats(0.5, 5000))
def test_what_is_usual_is_a_mean_in_which_every_older_surprise_counts_less(parts, half_life):
    metric, total, weight = SurpriseMetric(half_life=half_life), 0.0, 0.0
    for part in parts:
        metric = metric.after(torch.tensor(part, dtype=torch.float64))
        for one in part:
            total, weight = total * 0.5 ** (1 / half_life) + one, weight * 0.5 ** (1 / half_life) + 1
    assert (metric.total, metric.weight) == pytest.approx((total, weight), rel=1e-9, abs=1e-12)
    assert metric.usual == pytest.approx(total / weight if weight else 0)
    assert metric.half_life == half_life


def test_a_surprise_counts_half_after_a_half_life_and_is_judged_by_what_is_usual():
    metric = SurpriseMetric().after(torch.ones(1)).after(torch.zeros(int(HALF_LIFE)))
    assert metric.total == pytest.approx(0.5)
    usual = SurpriseMetric().after(torch.tensor([0.2, 0.2]))
    torch.testing.assert_close(usual.relative(torch.tensor([0.1, 0.2, 0.6])), torch.tensor([0.5, 1.0, 3.0]))
    torch.testing.assert_close(SurpriseMetric().relative(torch.tensor([0.1, 5.0])), torch.ones(2))


def gated_spec(values=0, retention=None, gate=0.9):
    return MemorySpec(DIM, values, retention=retention or Keep(), optimizer=LeastSquares(3.0), gate=gate)


@BOTH
@pytest.mark.parametrize("length", [0, 4])
def test_a_write_below_the_gate_moves_nothing_and_still_counts_for_what_is_usual(learn, length):
    spec = gated_spec(length)
    keys, values = pairs(2, DIM, length)
    state = MemoryState.initial(spec)
    for _ in range(9):
        state, _ = learn(spec, state, keys, values)
    written = write(replace(spec, gate=0.0), state, keys, values)[0]
    skipped, surprised = learn(spec, state, keys, values)
    usual = SurpriseMetric(*state.usual.tolist())
    assert float(usual.relative(surprised.momentary).mean()) < spec.gate
    assert torch.equal(skipped.inverse, state.inverse)
    assert torch.equal(skipped.weights[0], state.weights[0])
    assert not torch.equal(written.inverse, state.inverse)
    assert skipped.tokens == state.tokens + 2
    torch.testing.assert_close(skipped.key_sum, state.key_sum + keys.sum(0))
    seen = usual.after(surprised.momentary)
    assert skipped.usual.tolist() == pytest.approx([seen.total, seen.weight])


@BOTH
def test_the_gate_opens_for_what_is_new(learn):
    spec = gated_spec()
    axes = torch.eye(DIM, dtype=torch.float64)
    state = MemoryState.initial(spec)
    for _ in range(9):
        state, _ = learn(spec, state, axes[:1])
    learned, surprised = learn(spec, state, axes[1:2])
    assert surprised.turn == pytest.approx(1)
    plain = write(replace(spec, gate=0.0), state, axes[1:2])[0]
    torch.testing.assert_close(learned.inverse, plain.inverse)
    assert not torch.equal(learned.inverse, state.inverse)


@BOTH
def test_a_memory_without_a_gate_learns_what_it_knows_too(learn):
    spec = gated_spec(gate=0.0)
    keys = pairs(1, DIM)[0].expand(40, -1)
    state, _ = learn(spec, MemoryState.initial(spec), keys)
    again, _ = learn(spec, state, keys)
    assert float(again.inverse.trace()) < float(state.inverse.trace())


@BOTH
def test_an_empty_key_does_not_end_learning(learn):
    spec = gated_spec()
    state, _ = learn(spec, MemoryState.initial(spec), torch.zeros(1, DIM, dtype=torch.float64))
    assert bool(torch.isfinite(state.usual).all())
    after, surprised = learn(spec, state, pairs(3, DIM)[0])
    assert bool(torch.isfinite(surprised.momentary).all())
    assert not torch.equal(after.inverse, state.inverse)


WORD = (1 << 64) - 1


def mixed64(mixed):
    """Compute the finalizer of S. Vigna's SplitMix64 with Python's whole numbers."""
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & WORD
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & WORD
    return mixed ^ mixed >> 31


ADDRESSES = st.integers(0, 2**63 - 1)


@settings(max_examples=60, deadline=None)
@given(address=ADDRESSES, size=st.integers(1, 200))
@example(address=2**63 - 1, size=96)
def test_the_codes_are_the_bits_of_splitmix64(address, size):
    words = -(-size // 32)
    states = [mixed64(address) + (word + 1) * 0x9E3779B97F4A7C15 & WORD for word in range(words)]
    bits = [mixed64(state) >> bit & 1 for state in states for bit in range(32)]
    code = address_codes([address], size)
    assert code.shape == (1, size)
    assert code.dtype == torch.float32
    assert (code[0] > 0).int().tolist() == bits[:size]
    torch.testing.assert_close(code.abs(), torch.full_like(code, size**-0.5))
    assert float(code.norm()) == pytest.approx(1, abs=1e-5)


def test_the_first_codes_are_these():
    signs = ["".join("-+"[int(one > 0)] for one in row) for row in address_codes([1, 2, 2**63 - 1], 40)]
    assert signs == [
        "-+--+++-+++-+-++-+----+++-+++-+++++---+-",
        "-++++-+-+---+----++++--+-+++-+-++-+-++-+",
        "+-----++--++-+--+-+++++------+-+-+++++-+",
    ]


@settings(max_examples=60, deadline=None)
@given(addresses=st.lists(ADDRESSES, min_size=1, max_size=6), size=st.integers(64, 300))
@example(addresses=[0, 2**62], size=96)
@example(addresses=[0, 1, 2], size=64)
def test_equal_addresses_have_equal_codes_and_different_ones_are_nearly_orthogonal(addresses, size):
    codes = address_codes(addresses, size)
    assert torch.equal(codes, torch.cat([address_codes([address], size) for address in addresses]))
    for place, one in enumerate(addresses):
        for earlier, other in enumerate(addresses[:place]):
            product = float(codes[place] @ codes[earlier])
            assert product == pytest.approx(1, abs=1e-5) if one == other else abs(product) < 7 * size**-0.5


@pytest.mark.parametrize("size", [64, 100, 512])
def test_the_noise_between_the_turns_of_a_log_is_that_of_random_signs(size):
    codes = address_codes(range(400), size)
    noise = (codes @ codes.T)[~torch.eye(400, dtype=torch.bool)] * size**0.5
    assert float(noise.mean()) == pytest.approx(0, abs=0.02)
    assert float(noise.square().mean()) == pytest.approx(1, abs=0.02)
    assert float(noise.abs().max()) < 6
    assert address_codes([], size).shape == (0, size)
