"""The fast writes of the neural memory equal the token-by-token definition, for every kind of spec that is valid."""

import itertools
import random

import pytest
import torch

from support.pairs import lively, pairs, random_gates
from titans_core.errors import InvalidSpecError
from titans_core.neural import (
    KL,
    L2,
    MLP,
    PRESETS,
    AdamW,
    Decay,
    Dot,
    ElasticNet,
    GradientDescent,
    Huber,
    Keep,
    LeastSquares,
    Linear,
    Lp,
    Lq,
    MemorySpec,
    MemoryState,
    Momentum,
    Muon,
    delta,
    least_squares,
    write,
    write_sequentially,
)

DIM = 6
CHOICES = {
    "architecture": [
        Linear(),
        MLP(expansion=2),
        MLP(depth=3, expansion=2, residual=False, norm=False, bias=True),
    ],
    "bias": [L2(), Lp(3.0), Huber(), Huber(form="printed"), Dot()],
    "retention": [
        Keep(),
        Decay(0.05),
        Decay(0.05, "decayed"),
        Lq(4.0, 0.05, floor=0.5),
        Lq(4.0, 0.05, "dual", floor=0.5),
        KL(2.0, 0.05),
        ElasticNet(0.001, 0.05),
    ],
    "optimizer": [GradientDescent(0.05), Momentum(0.02, 0.8), AdamW(0.01), Muon(0.02, 0.8), LeastSquares(3.0)],
    "window": [1, 3],
    "chunk": [1, 4],
    "steps": [1, 2],
}


def spec_or_none(choices):
    """Return the spec of some choices; None if they cannot be combined."""
    shape = choices[0]
    values = DIM if isinstance(shape, MLP) and shape.residual else 4
    try:
        return MemorySpec(DIM, values, **dict(zip(CHOICES, choices, strict=True)))
    except InvalidSpecError:
        return None


def covering_specs():
    """Return specs that cover every valid pair of choices, and every valid triple of the choices after the bias.

    The fast path uses architecture and bias only through their gradients, so pairs are enough for them. It rearranges
    the computation of all other choices.
    """
    specs, seen = [], set()
    everything = list(itertools.product(*CHOICES.values()))
    random.Random(0).shuffle(everything)  # noqa: S311 - repeatable, not secret
    for choices in everything:
        spec = spec_or_none(choices)
        if (
            spec is not None
            and (covered := {*combinations_in(spec, 2), *combinations_in(spec, 3, list(CHOICES)[2:])}) - seen
        ):
            specs.append(spec)
            seen |= covered
    return specs


def combinations_in(spec, size, names=tuple(CHOICES)):
    """Return all combinations of `size` choices of this spec, by name and value."""
    return set(itertools.combinations([(name, repr(getattr(spec, name))) for name in names], size))


SPECS = [
    *covering_specs(),
    MemorySpec(DIM),
    MemorySpec(DIM, retention=Decay(0.1), gate=1.0),
    MemorySpec(DIM, 3, retention=Decay(0.1), gate=0.5),
]


def spec_id(spec):
    parts = [spec.architecture, spec.bias, spec.retention, spec.optimizer]
    form = getattr(spec.bias, "form", ""), getattr(spec.retention, "form", "")
    return "-".join([*(type(part).__name__ for part in parts), *form, f"{spec.window}{spec.chunk}{spec.steps}"])


def assert_parity(spec, lengths, gates_of=lambda count, seed: None):
    fast = slow = MemoryState.initial(spec, torch.float64)
    for number, count in enumerate(lengths):
        keys, values = pairs(count, spec.dim, spec.values, seed=number)
        gates = gates_of(count, number)
        fast, fast_surprise = write(spec, fast, keys, values, gates)
        slow, slow_surprise = write_sequentially(spec, slow, keys, values, gates)
        # After a gate clears a deep memory, its norm divides by almost zero, and rounding errors grow a millionfold.
        close = {"rtol": 1e-9, "atol": 1e-11} if gates is None else {"rtol": 1e-7, "atol": 1e-8}
        torch.testing.assert_close(fast.tensors(), slow.tensors(), **close)
        for kind in ("momentary", "past"):
            fast_values, slow_values = getattr(fast_surprise, kind), getattr(slow_surprise, kind)
            assert fast_values.shape == (count,)
            torch.testing.assert_close(fast_values, slow_values, **close)
    assert fast.tokens == sum(lengths)


def test_the_grid_shows_every_two_choices_that_go_together():
    possible = [spec for choices in itertools.product(*CHOICES.values()) if (spec := spec_or_none(choices))]
    covered = set().union(*(combinations_in(spec, 2) for spec in SPECS))
    assert covered >= set().union(*(combinations_in(spec, 2) for spec in possible))


@pytest.mark.parametrize("spec", SPECS, ids=spec_id)
def test_the_fast_path_equals_the_definition(spec):
    assert_parity(spec, (0, 1, 3, 9))


@pytest.mark.parametrize("spec", SPECS, ids=spec_id)
def test_the_fast_path_equals_the_definition_under_gates_that_differ_from_token_to_token(spec):
    assert_parity(spec, (0, 1, 3, 9), lambda count, seed: random_gates(count, seed=seed))


@pytest.mark.parametrize("name", PRESETS)
def test_the_fast_path_of_a_preset_equals_the_definition(name):
    assert_parity(lively(name), (0, 1, 3, 9, 70))


@pytest.mark.parametrize("name", PRESETS)
def test_the_fast_path_of_a_preset_equals_the_definition_under_gates_that_differ(name):
    assert_parity(lively(name), (0, 1, 3, 9, 70), lambda count, seed: random_gates(count, seed=seed))


@pytest.mark.parametrize("retention", [Keep(), Decay(0.05), Decay(0.05, "decayed")], ids=repr)
def test_the_delta_rule_solved_in_blocks_equals_one_token_after_the_other(retention):
    spec = MemorySpec(DIM, 4, Linear(), L2(), retention, GradientDescent(0.5))
    lengths = (150, delta.BLOCK)
    assert delta.is_delta_rule(spec)
    assert_parity(spec, lengths)
    assert_parity(spec, lengths, lambda count, seed: random_gates(count, seed=seed, step=1.0))


@pytest.mark.parametrize("values", [0, 4])
def test_least_squares_solved_in_blocks_equals_one_token_after_the_other(values):
    spec = MemorySpec(DIM, values, retention=Decay(0.1), optimizer=LeastSquares(3.0))
    lengths = (2 * least_squares.BLOCK + 5, least_squares.BLOCK)
    assert_parity(spec, lengths)
    assert_parity(spec, lengths, lambda count, seed: random_gates(count, seed=seed))


@pytest.mark.parametrize("learn", [write, write_sequentially])
@pytest.mark.parametrize("name", PRESETS)
def test_a_write_of_nothing_changes_nothing(name, learn):
    spec = lively(name)
    keys, values = pairs(5, spec.dim, spec.values)
    state, _ = write(spec, MemoryState.initial(spec, torch.float64), keys, values)
    after, surprised = learn(spec, state, keys[:0], values[:0])
    torch.testing.assert_close(after.tensors(), state.tensors(), rtol=0, atol=0)
    assert len(surprised.momentary) == len(surprised.past) == surprised.turn == 0


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "least_squares"])
def test_two_writes_of_whole_chunks_equal_one(name):
    spec = lively(name)
    keys, values = pairs(2 * spec.chunk, spec.dim, spec.values)
    start = MemoryState.initial(spec, torch.float64)
    whole, _ = write(spec, start, keys, values)
    first, _ = write(spec, start, keys[: spec.chunk], values[: spec.chunk])
    second, _ = write(spec, first, keys[spec.chunk :], values[spec.chunk :])
    torch.testing.assert_close(second.tensors(), whole.tensors(), rtol=1e-9, atol=1e-11)
