"""One memory becomes equal to another where the papers say so, and only there."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from support.pairs import lively, pairs, random_gates
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
    write,
    write_sequentially,
)
from titans_core.neural.optimizer import orthogonalise

DIM, VALUES = 6, 4
BOTH = pytest.mark.parametrize("learn", [write, write_sequentially])
SHAPES = pytest.mark.parametrize("shape", [Linear(), MLP(expansion=2, residual=False, norm=False)], ids=repr)


def linear(bias=None, retention=None, optimizer=None, **others):
    return MemorySpec(
        DIM, VALUES, Linear(), bias or L2(), retention or Keep(), optimizer or GradientDescent(0.1), **others
    )


def random_start(spec, seed=9):
    """Return a state whose weights are random."""
    generator = torch.Generator().manual_seed(seed)
    state = MemoryState.initial(spec, torch.float64)
    start = tuple(torch.randn(one.shape, generator=generator, dtype=torch.float64) for one in state.weights)
    weights = tuple(spec.retention.primal(one) for one in start)
    return replace(state, weights=weights, dual=start if state.dual else ())


def state_after(learn, spec, start, count=11, gates=None, seed=0):
    """Return the state after `count` tokens, which are learned in two writes: a third of them, then the rest."""
    keys, values = pairs(count, spec.dim, spec.values, seed=seed)
    cut = count // 3
    for start_at, stop in ((0, cut), (cut, count)):
        part = None if gates is None else gates.at(start_at, stop)
        start, _ = learn(spec, start, keys[start_at:stop], values[start_at:stop], part)
    return start


def assert_same_weights(one, other):
    for left, right in zip(one.weights, other.weights, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-11, atol=1e-12)


def differ(one, other):
    return any(float((left - right).abs().max()) > 1e-3 for left, right in zip(one.weights, other.weights, strict=True))


@BOTH
@SHAPES
@pytest.mark.parametrize(("bias", "limit"), [(Huber(0.5), Huber(1e9)), (Lp(3.0), Lp(2.0))], ids=repr)
def test_huber_without_a_limit_and_lp_at_two_are_l2(learn, shape, bias, limit):
    spec = replace(linear(chunk=4), architecture=shape)
    start = random_start(spec)
    squared = state_after(learn, spec, start)
    assert_same_weights(state_after(learn, replace(spec, bias=limit), start), squared)
    assert differ(state_after(learn, replace(spec, bias=bias), start), squared)


@BOTH
def test_huber_as_printed_is_l2_inside_its_delta_too(learn):
    spec = linear(chunk=4)
    start = random_start(spec)
    printed = replace(spec, bias=Huber(1e9, "printed"))
    assert_same_weights(state_after(learn, printed, start), state_after(learn, spec, start))


@BOTH
@SHAPES
@pytest.mark.parametrize("form", ["printed", "dual"])
def test_lq_at_two_is_plain_decay(learn, shape, form):
    spec = replace(linear(retention=Decay(0.1), chunk=4), architecture=shape)
    start = random_start(spec)
    dual = replace(start, dual=start.weights)
    decayed = state_after(learn, spec, start)
    assert_same_weights(state_after(learn, replace(spec, retention=Lq(2.0, 0.1, form)), dual), decayed)
    assert differ(state_after(learn, replace(spec, retention=Lq(4.0, 0.1, form)), dual), decayed)


@pytest.mark.parametrize("form", ["printed", "dual"])
def test_both_maps_of_moneta_are_the_identity_at_exponent_two(form):
    matrix = pairs(DIM, DIM, VALUES)[1]
    torch.testing.assert_close(Lq(2.0, 0.0, form).primal(matrix), matrix, rtol=1e-15, atol=0)


def test_the_dual_map_of_moneta_is_the_inverse_of_the_gradient_of_half_its_squared_norm():
    # A = ∇ ½‖W‖_p² with 1/p + 1/q = 1. The map from A back to W is the same map with q instead of p.
    weights = pairs(DIM, DIM, VALUES)[1].requires_grad_()
    norm = torch.linalg.vector_norm(weights, 4 / 3)
    (dual,) = torch.autograd.grad(norm.square() / 2, weights)
    back = Lq(4.0, 0.0, "dual", floor=1e-9).primal(dual)
    torch.testing.assert_close(back, weights.detach(), rtol=1e-12, atol=1e-14)


@BOTH
def test_one_batch_from_zero_at_half_a_step_is_linear_attention(learn):
    # TTT, Theorem 1: f(q) = Σ v ⟨k, q⟩. The squared loss and the dot product both give it, because W_0 = 0.
    keys, values = pairs(11, DIM, VALUES)
    queries = pairs(5, DIM, VALUES, seed=1)[0]
    attention = (queries @ keys.T) @ values
    for bias in (Dot(), L2()):
        spec = linear(bias, optimizer=GradientDescent(0.5), chunk=len(keys))
        state, _ = learn(spec, MemoryState.initial(spec, torch.float64), keys, values)
        torch.testing.assert_close(read(spec, state, queries), attention, rtol=0, atol=1e-12)


def delta_rule(weights, keys, values, gates, *, decayed):
    """Compute W_t = (1 − α)W − β(g W k − v)kᵀ with β = 2θ; g is 1 − α at decayed weights and 1 at current weights."""
    for key, value, step, forget in zip(keys, values, gates.step, gates.forget, strict=True):
        kept = (1 - forget) * weights
        error = (kept if decayed else weights) @ key - value
        weights = kept - 2 * step * torch.outer(error, key)
    return weights


@BOTH
@pytest.mark.parametrize("random", [False, True])
def test_the_gradient_at_decayed_weights_is_gated_deltanet(learn, random):
    spec = linear(retention=Decay(0.2, "decayed"), optimizer=GradientDescent(0.3))
    start = random_start(spec)
    gates = random_gates(11, step=0.5) if random else Gates.constant(spec, 11)
    keys, values = pairs(11, DIM, VALUES)
    weights, eye = start.weights[0], torch.eye(DIM, dtype=torch.float64)
    for key, value, step, forget in zip(keys, values, gates.step, gates.forget, strict=True):
        beta = 2 * step
        erased = weights @ (eye - beta * torch.outer(key, key))
        weights = (1 - forget) * erased + beta * torch.outer(value, key)
    found = state_after(learn, spec, start, gates=gates).weights[0]
    torch.testing.assert_close(found, weights, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        found, delta_rule(start.weights[0], keys, values, gates, decayed=True), rtol=0, atol=1e-12
    )


@BOTH
def test_titans_gradient_at_current_weights_differs_from_it_by_two_theta_alpha_m_k_k(learn):
    theta, alpha = 0.3, 0.2
    at_current = linear(retention=Decay(alpha), optimizer=GradientDescent(theta))
    at_decayed = linear(retention=Decay(alpha, "decayed"), optimizer=GradientDescent(theta))
    start = random_start(at_current)
    keys, values = pairs(1, DIM, VALUES)
    (current, _), (decayed, _) = (learn(spec, start, keys, values) for spec in (at_current, at_decayed))
    gap = 2 * theta * alpha * start.weights[0] @ torch.outer(keys[0], keys[0])
    assert float(gap.norm()) > 0.01
    torch.testing.assert_close(decayed.weights[0] - current.weights[0], gap, rtol=0, atol=1e-14)
    # Equal to (1 − α)M(I − 2θ/(1 − α) k kᵀ) + 2θ v kᵀ.
    erase = torch.eye(DIM, dtype=torch.float64) - 2 * theta / (1 - alpha) * torch.outer(keys[0], keys[0])
    expected = (1 - alpha) * start.weights[0] @ erase + 2 * theta * torch.outer(values[0], keys[0])
    torch.testing.assert_close(current.weights[0], expected, rtol=0, atol=1e-14)


@BOTH
@pytest.mark.parametrize("where", ["current", "decayed"])
def test_both_are_deltanet_when_nothing_is_forgotten(learn, where):
    spec = linear(retention=Decay(0.0, where), optimizer=GradientDescent(0.3))
    start = random_start(spec)
    keys, values = pairs(11, DIM, VALUES)
    weights, beta = start.weights[0], 2 * 0.3
    for key, value in zip(keys, values, strict=True):
        weights = weights @ (torch.eye(DIM, dtype=torch.float64) - beta * torch.outer(key, key))
        weights = weights + beta * torch.outer(value, key)
    torch.testing.assert_close(state_after(learn, spec, start).weights[0], weights, rtol=0, atol=1e-12)


def constant_gates(count, *, step, momentum, forget):
    return Gates(*(torch.full((count,), float(one), dtype=torch.float64) for one in (step, momentum, forget)))


@BOTH
@SHAPES
@pytest.mark.parametrize("optimizer", [GradientDescent(0.1), Momentum(0.1, 0.9)], ids=repr)
def test_forgetting_all_clears_the_memory_in_one_step(learn, shape, optimizer):
    spec = replace(linear(retention=Decay(0.1), optimizer=optimizer), architecture=shape)
    keys, values = pairs(1, DIM, VALUES)
    cleared, _ = learn(spec, random_start(spec), keys, values, constant_gates(1, step=0, momentum=0, forget=1))
    assert all(torch.equal(one, torch.zeros_like(one)) for one in cleared.weights)


@BOTH
def test_forgetting_all_while_learning_leaves_the_surprise_alone(learn):
    spec = linear(retention=Decay(0.1), optimizer=Momentum(0.1, 0.9))
    state = state_after(learn, spec, random_start(spec))
    keys, values = pairs(1, DIM, VALUES, seed=3)
    learned, _ = learn(spec, state, keys, values, constant_gates(1, step=0.1, momentum=0.9, forget=1))
    assert_same_weights(learned, replace(learned, weights=learned.momentum))


@BOTH
@pytest.mark.parametrize("name", [name for name in PRESETS if name != "memora"])
def test_a_write_that_neither_learns_nor_forgets_leaves_every_bit(learn, name):
    spec = lively(name)
    state = state_after(learn, spec, MemoryState.initial(spec, torch.float64), count=20)
    state = replace(state, momentum=tuple(torch.zeros_like(one) for one in state.momentum))
    keys, values = pairs(20, DIM, DIM, seed=4)
    same, _ = learn(spec, state, keys, values, constant_gates(20, step=0, momentum=0, forget=0))
    for one, other in zip((*same.weights, *same.dual), (*state.weights, *state.dual), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(same.inverse, state.inverse)


@BOTH
@settings(max_examples=25, deadline=None)
@given(
    scale=st.floats(0.1, 20),
    forget=st.floats(0, 0.99),
    step=st.floats(0.01, 5),
    counts=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    shape=st.sampled_from([Linear(), MLP(expansion=2, residual=False)]),
)
def test_kl_keeps_weights_on_the_simplex_after_every_write(learn, scale, forget, step, counts, shape):
    spec = MemorySpec(DIM, VALUES, shape, L2(), KL(scale, forget), GradientDescent(step), chunk=4)
    state = MemoryState.initial(spec, torch.float64)
    for seed, count in enumerate([0, *counts]):
        state, _ = learn(spec, state, *pairs(count, DIM, VALUES, seed=seed))
        for one in state.weights:
            assert bool((one >= 0).all())
            torch.testing.assert_close(one.sum(-1), torch.full_like(one[:, 0], scale), rtol=1e-12, atol=0)


@BOTH
def test_kl_at_full_forgetting_returns_to_the_uniform_row(learn):
    spec = linear(retention=KL(3.0, 0.1))
    keys, values = pairs(1, DIM, VALUES)
    state, _ = learn(spec, random_start(spec), keys, values, constant_gates(1, step=0.5, momentum=0, forget=1))
    torch.testing.assert_close(state.weights[0], torch.full_like(state.weights[0], 3 / DIM))


@BOTH
@pytest.mark.parametrize("window", [1, 2, 5])
def test_the_omega_rule_sums_the_gradients_of_its_window_and_is_the_plain_rule_for_one_pair(learn, window):
    theta, eta, alpha = 0.05, 0.6, 0.1
    spec = linear(retention=Decay(alpha), optimizer=Momentum(theta, eta), window=window)
    start = random_start(spec)
    keys, values = pairs(11, DIM, VALUES)
    weights, momentum = start.weights[0], torch.zeros(VALUES, DIM, dtype=torch.float64)
    for token in range(11):
        pairs_in_reach = range(max(0, token - window + 1), token + 1)
        gradient = sum(2 * torch.outer(weights @ keys[i] - values[i], keys[i]) for i in pairs_in_reach)
        momentum = eta * momentum - theta * gradient
        weights = (1 - alpha) * weights + momentum
    found = state_after(learn, spec, start)
    torch.testing.assert_close(found.weights[0], weights, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.momentum[0], momentum, rtol=0, atol=1e-12)
    assert len(found.recent_keys) == window - 1
    assert torch.equal(found.recent_keys, keys[len(keys) - window + 1 :])


def frozen_gradients(weights, keys, values):
    """Return ∇ℓ(M_0; x_i) of a linear memory, for all i at the same weights."""
    return [2 * torch.outer(weights @ key - value, key) for key, value in zip(keys, values, strict=True)]


@BOTH
@pytest.mark.parametrize("chunk", [2, 5, 16])
def test_a_chunk_follows_equation_16_in_closed_form(learn, chunk):
    # M_b = β_b M_0 − Σ_i θ_i (β_b/β_i) ∇ℓ(M_0; x_i), β_i = Π_{j≤i} (1 − α_j).
    spec = linear(retention=Decay(0.1), chunk=chunk)
    start = random_start(spec)
    keys, values = pairs(16, DIM, VALUES)
    gates = random_gates(16, step=0.2)
    # η = 0, because Eq. 16 has no past surprise; α is limited, because the closed form divides by β.
    gates = replace(gates, momentum=0 * gates.momentum, forget=gates.forget.clamp(max=0.5))
    weights = start.weights[0]
    for first in range(0, 16, chunk):
        part = slice(first, first + chunk)
        beta = torch.cumprod(1 - gates.forget[part], 0)
        steps = zip(gates.step[part], beta, frozen_gradients(weights, keys[part], values[part]), strict=True)
        weights = beta[-1] * weights - sum(step * beta[-1] / beta_i * gradient for step, beta_i, gradient in steps)
    state, _ = learn(spec, start, keys, values, gates)
    torch.testing.assert_close(state.weights[0], weights, rtol=0, atol=1e-12)


@BOTH
@pytest.mark.parametrize("chunk", [2, 5, 16])
def test_a_chunk_with_momentum_follows_equation_18_in_closed_form(learn, chunk):
    # S_t = Π_{j≤t} η_j S_0 − Σ_{i≤t} θ_i Π_{i<j≤t} η_j u_i, and M_b = β_b M_0 + Σ_t (β_b/β_t) S_t.
    spec = linear(retention=Decay(0.1), optimizer=Momentum(0.1, 0.9), chunk=chunk)
    start = replace(random_start(spec), momentum=random_start(spec, seed=10).weights)
    keys, values = pairs(16, DIM, VALUES)
    gates = random_gates(16, step=0.2)
    gates = replace(gates, forget=gates.forget.clamp(max=0.5))
    weights, momentum = start.weights[0], start.momentum[0]
    for first in range(0, 16, chunk):
        eta, theta = gates.momentum[first : first + chunk], gates.step[first : first + chunk]
        beta = torch.cumprod(1 - gates.forget[first : first + chunk], 0)
        gradients = frozen_gradients(weights, keys[first : first + chunk], values[first : first + chunk])
        moments = [
            eta[: t + 1].prod() * momentum
            - sum(theta[i] * eta[i + 1 : t + 1].prod() * gradients[i] for i in range(t + 1))
            for t in range(len(gradients))
        ]
        weights = beta[-1] * weights + sum(beta[-1] / beta[t] * moments[t] for t in range(len(moments)))
        momentum = moments[-1]
    state, _ = learn(spec, start, keys, values, gates)
    torch.testing.assert_close(state.weights[0], weights, rtol=0, atol=1e-11)
    torch.testing.assert_close(state.momentum[0], momentum, rtol=0, atol=1e-11)


@BOTH
@pytest.mark.parametrize("count", [11, 1000])  # 1000 keys are solved in several blocks
def test_least_squares_lands_on_the_exact_ridge_solution(learn, count):
    spec = linear(optimizer=LeastSquares(3.0))
    keys, values = pairs(count, DIM, VALUES)
    state = state_after(learn, spec, MemoryState.initial(spec), count)
    exact = torch.linalg.solve(keys.T @ keys + 3 * torch.eye(DIM, dtype=torch.float64), keys.T @ values)
    queries = pairs(5, DIM, VALUES, seed=1)[0]
    torch.testing.assert_close(read(spec, state, queries), queries @ exact, rtol=0, atol=1e-12)


@BOTH
def test_least_squares_weighs_tokens_by_their_step_and_writes_by_their_age(learn):
    spec = linear(retention=Decay(0.2), optimizer=LeastSquares(3.0))
    state, gram, cross = MemoryState.initial(spec), 0, 0
    for seed, count in enumerate((3, 1, 5)):
        keys, values = pairs(count, DIM, VALUES, seed=seed)
        gates = replace(Gates.constant(spec, count), step=torch.rand(count, dtype=torch.float64) + 0.5)
        state, _ = learn(spec, state, keys, values, gates)
        weighted = gates.step[:, None] * keys
        gram, cross = 0.8 * gram + weighted.T @ keys, 0.8 * cross + weighted.T @ values
    exact = torch.linalg.solve(gram + 3 * torch.eye(DIM, dtype=torch.float64), cross)
    queries = pairs(5, DIM, VALUES, seed=9)[0]
    torch.testing.assert_close(read(spec, state, queries), queries @ exact, rtol=0, atol=1e-12)


@BOTH
def test_the_elastic_net_makes_small_weights_zero_and_shrinks_the_rest(learn):
    # MIRAS, Eq. 22–23: W_t = S_γ(λ W_{t−1} − ζ ∇ℓ), λ = 1 − forget.
    spec = linear(retention=ElasticNet(0.2, 0.1))
    start = random_start(spec)
    keys, values = pairs(1, DIM, VALUES)
    moved = 0.9 * start.weights[0] - 0.1 * frozen_gradients(start.weights[0], keys, values)[0]
    expected = torch.where(moved > 0.2, moved - 0.2, torch.where(moved < -0.2, moved + 0.2, 0.0))
    assert 0 < int((expected == 0).sum()) < expected.numel()
    state, _ = learn(spec, start, keys, values)
    torch.testing.assert_close(state.weights[0], expected, rtol=0, atol=1e-14)
    assert torch.equal(state.weights[0] == 0, expected == 0)
    plain = replace(spec, retention=ElasticNet(0.0, 0.1))
    assert_same_weights(
        state_after(learn, plain, start), state_after(learn, replace(spec, retention=Decay(0.1)), start)
    )


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4), (3, 40), (40, 3)])
def test_an_orthogonalised_matrix_has_singular_values_near_one_and_keeps_its_directions(shape):
    matrix = pairs(shape[0], 2, shape[1])[1]
    result = orthogonalise(matrix, 5) / max(1, shape[0] / shape[1]) ** 0.5
    left, lengths, right = torch.linalg.svd(matrix, full_matrices=False)
    assert float(lengths[0] / lengths[-1]) > 1.15  # the matrix itself is not orthogonal
    found = torch.linalg.svdvals(result)
    assert float(found.min()) > 0.6
    assert float(found.max()) < 1.3
    core = left.T @ result @ right.T
    torch.testing.assert_close(core, torch.diag(core.diagonal()), rtol=0, atol=1e-10)
    assert bool((core.diagonal() > 0).all())


def test_orthogonalising_nothing_gives_nothing():
    assert not orthogonalise(torch.zeros(3, 5), 5).any()


@BOTH
def test_muon_takes_one_orthogonalised_step_a_chunk(learn):
    spec = linear(retention=Decay(0.1), optimizer=Muon(0.3, 0.8, 4), chunk=4)
    start = random_start(spec)
    keys, values = pairs(4, DIM, VALUES)
    momentum = torch.zeros(VALUES, DIM, dtype=torch.float64)
    for gradient in frozen_gradients(start.weights[0], keys, values):
        momentum = 0.8 * momentum - 0.3 * gradient
    expected = 0.9**4 * start.weights[0] + 0.3 * orthogonalise(momentum, 4)
    state, _ = learn(spec, start, keys, values)
    torch.testing.assert_close(state.weights[0], expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(state.momentum[0], momentum, rtol=0, atol=1e-12)


@BOTH
def test_adamw_is_that_of_torch_on_the_mean_loss_of_each_chunk(learn):
    optimizer = AdamW(0.05, 0.8, 0.95, 0.1, 1e-6)
    spec = linear(optimizer=optimizer, chunk=4, steps=2)
    start = random_start(spec)
    keys, values = pairs(11, DIM, VALUES)
    weights = start.weights[0].clone().requires_grad_()
    torch_optimizer = torch.optim.AdamW([weights], lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
    for first in range(0, 11, 4):
        for _ in range(2):
            torch_optimizer.zero_grad()
            error = keys[first : first + 4] @ weights.T - values[first : first + 4]
            error.square().sum(-1).mean().backward()
            torch_optimizer.step()
    state, _ = learn(spec, start, keys, values)
    torch.testing.assert_close(state.weights[0], weights.detach(), rtol=0, atol=1e-12)
    assert state.updates == 6


@BOTH
def test_adamw_weighs_each_token_by_its_step_and_scales_its_rate_by_their_mean(learn):
    spec = linear(optimizer=AdamW(0.05, 0.8, 0.95, 0.1, 1e-6), chunk=4)
    start = random_start(spec)
    keys, values = pairs(11, DIM, VALUES)
    gates = random_gates(11, step=2.0)
    weights = start.weights[0].clone().requires_grad_()
    torch_optimizer = torch.optim.AdamW([weights], betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
    for first in range(0, 11, 4):
        steps = gates.step[first : first + 4]
        torch_optimizer.param_groups[0]["lr"] = 0.05 * float(steps.mean())
        torch_optimizer.zero_grad()
        error = keys[first : first + 4] @ weights.T - values[first : first + 4]
        (steps @ error.square().sum(-1) / steps.sum()).backward()
        torch_optimizer.step()
    state, _ = learn(spec, start, keys, values, gates)
    torch.testing.assert_close(state.weights[0], weights.detach(), rtol=0, atol=1e-12)


@BOTH
@pytest.mark.parametrize("name", PRESETS)
def test_a_write_shorter_than_a_chunk_changes_the_answer(learn, name):
    spec = lively(name)
    start = MemoryState.initial(spec, torch.float64)
    keys, values = pairs(1, DIM, DIM)
    state, _ = learn(spec, start, keys, values)
    assert float((read(spec, state, keys) - read(spec, start, keys)).abs().max()) > 1e-3


@pytest.mark.parametrize("bias", [L2(), Lp(3.0), Lp(1.5), Huber(0.7), Dot()], ids=repr)
def test_the_gradient_of_a_bias_is_that_of_its_loss(bias):
    answers, values = pairs(20, 2, VALUES)[1], pairs(20, 2, VALUES, seed=1)[1]
    values = answers + torch.linspace(0.05, 1, 20, dtype=torch.float64)[:, None] * values  # small and large errors
    leaf = answers.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(bias.loss(leaf, values).sum(), leaf)
    torch.testing.assert_close(bias.gradient(answers, values), gradient, rtol=1e-12, atol=1e-13)


def test_huber_as_printed_squares_small_errors_and_follows_the_signs_of_large_ones():
    values = torch.zeros(3, 2, dtype=torch.float64)
    answers = torch.tensor([[0.3, -0.4], [3.0, -4.0], [0.0, 0.8]], dtype=torch.float64)  # of lengths 0.5, 5 and 0.8
    bias = Huber(0.7, "printed")
    expected = torch.tensor([[0.6, -0.8], [0.7, -0.7], [0.0, 0.7]], dtype=torch.float64)
    torch.testing.assert_close(bias.gradient(answers, values), expected)
    torch.testing.assert_close(bias.loss(answers, values), torch.tensor([0.25, 4.9, 0.56], dtype=torch.float64))
