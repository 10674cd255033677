"""An invalid spec is refused, and the message names what is wrong."""

import dataclasses

import pytest
import torch

from support.pairs import pairs
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
    Gates,
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
    read,
    surprise,
    write,
    write_sequentially,
)

NAN = float("nan")
PLAIN = {"dim": 4, "values": 4, "optimizer": GradientDescent(0.1)}
RANGES = [
    ({"dim": 0}, "dim >= 1"),
    ({"values": -1}, "values >= 0"),
    *(({name: 0}, "window, chunk and steps") for name in ("window", "chunk", "steps")),
    *(({"gate": gate, "optimizer": LeastSquares()}, "gate") for gate in (-0.1, NAN)),
    *(({"architecture": shape}, "MLP needs depth") for shape in (MLP(depth=1), MLP(expansion=0))),
    *(({"bias": Lp(p)}, "Lp needs p > 1") for p in (1.0, 0.5, NAN)),
    *(({"bias": Huber(delta)}, "Huber needs delta > 0") for delta in (0.0, -1.0, NAN)),
    *(({"retention": Decay(forget)}, "forget") for forget in (-0.1, 1.1, NAN)),
    *(({"retention": Lq(q)}, "Lq needs q >= 2") for q in (1.9, NAN)),
    *(({"retention": Lq(4.0, floor=floor)}, "floor > 0") for floor in (0.0, NAN)),
    *(({"retention": KL(scale)}, "KL needs scale > 0") for scale in (0.0, -1.0, NAN)),
    ({"retention": KL(1.0, 1.0)}, "KL needs scale > 0 and forget < 1"),
    *(({"retention": ElasticNet(threshold)}, "ElasticNet needs threshold >= 0") for threshold in (-0.1, NAN)),
    *(({"optimizer": GradientDescent(step)}, "step must be above 0") for step in (0.0, -0.1, NAN)),
    *(({"optimizer": Momentum(step)}, "step must be above 0") for step in (0.0, NAN)),
    *(({"optimizer": Momentum(0.1, eta)}, "Momentum must be in") for eta in (-0.1, 1.0, NAN)),
    *(({"optimizer": Muon(0.1, eta)}, "Momentum must be in") for eta in (-0.1, 1.0)),
    ({"optimizer": Muon(0.0)}, "step must be above 0"),
    ({"optimizer": Muon(iterations=0)}, "Muon needs at least one iteration"),
    *(
        ({"optimizer": wrong}, "AdamW needs rate > 0")
        for wrong in (AdamW(0.0), AdamW(first=1.0), AdamW(second=-0.1), AdamW(decay=1.0), AdamW(epsilon=0.0))
    ),
    *(({"optimizer": LeastSquares(ridge)}, "LeastSquares needs ridge > 0") for ridge in (0.0, -1.0, NAN)),
]
EXACT = {"optimizer": LeastSquares()}
COMBINATIONS = [
    ({**EXACT, "architecture": MLP()}, "LeastSquares is exact only for a Linear architecture with an L2 bias"),
    *(
        ({**EXACT, "bias": bias}, "LeastSquares is exact only for a Linear architecture with an L2 bias")
        for bias in (Lp(), Huber(), Dot())
    ),
    *(
        ({**EXACT, "retention": retention}, "LeastSquares works with Keep or Decay only")
        for retention in (Lq(), KL(), ElasticNet())
    ),
    *(({**EXACT, name: 2}, "window = chunk = steps = 1") for name in ("window", "chunk", "steps")),
    ({"values": 0}, "Only LeastSquares works with values = 0"),
    ({"gate": 0.5}, "Only LeastSquares can have a gate"),
    ({"architecture": MLP(), "values": 3}, "residual MLP .* needs values = dim"),
    *(
        ({"optimizer": optimizer, "retention": retention}, "AdamW and Muon .* Keep or Decay only")
        for optimizer in (AdamW(), Muon())
        for retention in (Lq(), KL(), ElasticNet())
    ),
    ({"optimizer": AdamW(), "retention": Decay()}, "AdamW has its own decay"),
    *(
        ({"optimizer": optimizer, "retention": Decay(0.1, "decayed")}, "gradient at the decayed weights")
        for optimizer in (Momentum(), Muon(), LeastSquares())
    ),
    ({"retention": Decay(0.1, "decayed"), "chunk": 2}, "gradient at the decayed weights"),
]


@pytest.mark.parametrize(("wrong", "named"), [*RANGES, *COMBINATIONS], ids=str)
def test_what_is_out_of_range_or_does_not_go_together_is_refused_by_name(wrong, named):
    with pytest.raises(InvalidSpecError, match=named) as refused:
        MemorySpec(**{**PLAIN, **wrong})
    assert "Got MemorySpec(" in str(refused.value)
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize(
    "right",
    [
        {"dim": 1, "values": 1},
        {"values": 9},
        {"window": 5, "chunk": 3, "steps": 2},
        {"bias": Lp(1.01)},
        {"retention": Decay(0.0)},
        {"retention": Decay(1.0)},
        {"retention": Lq(2.0)},
        {"retention": KL(0.1, 0.0)},
        {"retention": ElasticNet(0.0, 1.0)},
        {"optimizer": Momentum(0.1, 0.0)},
        {"optimizer": Muon(0.1, 0.0, 1)},
        {"optimizer": AdamW(first=0.0, second=0.0, decay=0.0)},
        {**EXACT, "values": 0, "gate": 0.5},
        {**EXACT, "retention": Decay(1.0)},
        {"architecture": MLP(depth=2, expansion=1)},
        {"architecture": MLP(residual=False), "values": 3},
        {"retention": Decay(0.1, "decayed"), "window": 2, "steps": 2, "architecture": MLP()},
    ],
    ids=str,
)
def test_the_ends_of_the_ranges_are_specs_that_learn(right):
    spec = MemorySpec(**{**PLAIN, **right})
    keys, values = pairs(7, spec.dim, spec.values)
    state, _ = write(spec, MemoryState.initial(spec, torch.float64), keys, values)
    assert bool(torch.isfinite(read(spec, state, keys)).all())


def test_keep_lets_nothing_go():
    assert Keep().forget == 0
    with pytest.raises((TypeError, InvalidSpecError)):
        MemorySpec(**{**PLAIN, "retention": Keep(0.1)})


def test_the_default_is_the_exact_memory_of_addresses():
    spec = MemorySpec(384)
    assert (spec.values, spec.architecture, spec.bias, spec.retention) == (0, Linear(), L2(), Keep())
    assert isinstance(spec.optimizer, LeastSquares)
    assert (spec.window, spec.chunk, spec.steps, spec.gate) == (1, 1, 1, 0)
    assert spec == PRESETS["least_squares"](384, 0)


def variations():
    """Yield a spec, and for each field of it and of its parts a spec that differs only in this field."""
    base = MemorySpec(4, 4, MLP(), Huber(), Decay(0.1), GradientDescent(0.1))
    changed = {"dim": 5, "values": 5, "window": 2, "chunk": 2, "steps": 2, "seed": 1}
    yield base
    for name, value in changed.items():
        plain = dataclasses.replace(base, architecture=MLP(residual=False))
        yield dataclasses.replace(plain, **{name: value})
    yield dataclasses.replace(base, architecture=MLP(residual=False))
    yield MemorySpec(4)
    yield MemorySpec(4, gate=0.5)
    yield from (MemorySpec(4, seed=seed) for seed in (2**53, 2**53 + 1))
    parts = {
        "architecture": [MLP(), Linear()],
        "bias": [L2(), Lp(), Huber(), Dot()],
        "retention": [Keep(), Decay(), Lq(), KL(), ElasticNet()],
        "optimizer": [GradientDescent(), Momentum(), AdamW(), Muon()],
    }
    for name, kinds in parts.items():
        for kind in kinds:
            for part in [kind, *(alter(kind, field) for field in dataclasses.fields(kind))]:
                free = {"retention": Keep()} if name == "optimizer" else {}
                yield dataclasses.replace(base, **free, **{name: part})
    for retention in (Keep(), Decay(0.2)):
        yield MemorySpec(4, retention=retention, optimizer=LeastSquares(7.0))


def alter(part, field):
    """Return a part that differs in one field only."""
    value = getattr(part, field.name)
    others = {"current": "decayed", "textbook": "printed", "printed": "dual"}
    if isinstance(value, bool):
        other = not value
    elif isinstance(value, str):
        other = others[value]
    else:
        other = value + 1 if isinstance(value, int) else value * 0.875 + 0.0625
        other = other + 1 if field.name in {"p", "q"} else other
    return dataclasses.replace(part, **{field.name: other})


def test_the_fingerprint_tells_specs_apart_that_differ_in_any_field():
    specs = set(variations())
    assert len(specs) > 45
    assert len({spec.fingerprint for spec in specs}) == len(specs)
    for field in dataclasses.fields(MemorySpec):
        assert len({repr(getattr(spec, field.name)) for spec in specs}) > 1, field.name


def test_equal_specs_have_equal_fingerprints():
    assert MemorySpec(4, retention=Decay(0.5)).fingerprint == MemorySpec(4, retention=Decay(0.5)).fingerprint
    whole, real = MemorySpec(4, gate=1), MemorySpec(4, gate=1.0)
    assert whole == real
    assert whole.fingerprint == real.fingerprint


def test_a_spec_cannot_be_changed_and_serves_as_a_key():
    spec = MemorySpec(4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.dim = 5
    assert {spec: 1}[MemorySpec(4)] == 1


DEEP = MLP(depth=2, expansion=4, residual=True, norm=True, bias=False)  # MIRAS §5.3
EXPECTED = {
    "titans": (DEEP, L2, Decay, Momentum),
    "yaad": (DEEP, Huber, Decay, GradientDescent),
    "moneta": (DEEP, Lp, Lq, GradientDescent),
    "memora": (DEEP, L2, KL, GradientDescent),
    "omega": (DEEP, L2, Decay, Momentum),
    "deltanet": (Linear(), L2, Keep, GradientDescent),
    "gated_deltanet": (Linear(), L2, Decay, GradientDescent),
    "linear_attention": (Linear(), Dot, Keep, GradientDescent),
    "ttt_linear": (Linear(), L2, Keep, GradientDescent),
    "least_squares": (Linear(), L2, Keep, LeastSquares),
    "tutorial": (MLP(depth=2, expansion=2, residual=False, norm=False, bias=True), L2, Keep, AdamW),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_its_name_says(name):
    shape, bias, retention, optimizer = EXPECTED[name]
    spec = PRESETS[name](8, 8)
    assert (spec.dim, spec.values) == (8, 8)
    assert spec.architecture == shape
    assert (type(spec.bias), type(spec.retention), type(spec.optimizer)) == (bias, retention, optimizer)
    assert (spec.window > 1) == (name == "omega")
    assert (spec.retention.forget > 0) == (retention is not Keep)
    assert (spec.momentum > 0) == (name in {"titans", "omega"})


def test_presets_hold_the_constants_that_their_papers_fix():
    assert PRESETS["moneta"](8, 8).bias.p == 3
    assert (PRESETS["moneta"](8, 8).retention.q, PRESETS["moneta"](8, 8).retention.form) == (4, "printed")
    assert PRESETS["yaad"](8, 8).bias.form == "textbook"
    assert PRESETS["titans"](8, 8).retention.gradient == "current"
    assert PRESETS["gated_deltanet"](8, 8).retention.gradient == "decayed"
    assert 2 * PRESETS["linear_attention"](8, 8).step == 1  # Theorem 1 of TTT
    assert PRESETS["ttt_linear"](8, 8).chunk == PRESETS["omega"](8, 8).window == 16
    for name in ("deltanet", "gated_deltanet", "least_squares"):
        assert PRESETS[name](8, 8).chunk == 1, name


@pytest.mark.parametrize("name", ["titans", "yaad", "moneta", "memora", "omega"])
def test_a_residual_preset_asks_for_values_as_long_as_keys(name):
    with pytest.raises(InvalidSpecError, match="values = dim"):
        PRESETS[name](8, 4)


@pytest.mark.parametrize("learn", [write, write_sequentially])
@pytest.mark.parametrize(
    ("keys", "values", "named"),
    [
        ((3, 5), (3, 2), r"keys \(n, 4\).*got \(3, 5\)"),
        ((3, 4), (3, 3), r"values \(n, 2\).*\(3, 3\)"),
        ((3, 4), (2, 2), r"\(2, 2\)"),
        ((4,), (4, 2), r"got \(4,\)"),
        ((1, 3, 4), (1, 2), r"got \(1, 3, 4\)"),
        ((3, 4), None, "values of length 2"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(learn, keys, values, named):
    spec = MemorySpec(4, 2)
    state = MemoryState.initial(spec)
    given = None if values is None else torch.ones(values, dtype=torch.float64)
    with pytest.raises(InvalidSpecError, match=named):
        learn(spec, state, torch.ones(keys, dtype=torch.float64), given)


def test_surprise_without_values_is_refused_where_it_needs_them():
    keys = pairs(3, 4, 4)[0]
    for name in ("deltanet", "titans"):
        spec = PRESETS[name](4, 4)
        with pytest.raises(InvalidSpecError, match="values"):
            surprise(spec, MemoryState.initial(spec, torch.float64), keys)
    exact = MemorySpec(4, 2)
    assert torch.allclose(surprise(exact, MemoryState.initial(exact), keys), torch.ones(3, dtype=torch.float64))


def test_gates_that_do_not_fit_the_write_are_refused():
    spec = MemorySpec(4, 2)
    keys, values = pairs(3, 4, 2)
    with pytest.raises(InvalidSpecError, match=r"'step'.*3 tokens"):
        write(spec, MemoryState.initial(spec), keys, values, Gates.constant(spec, 2))
