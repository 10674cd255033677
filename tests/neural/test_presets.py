"""Each preset follows its printed equation, which is written out here again, independently of the package.

From the package, the tests use only the spec's constants, the initial weights, `write` and `read`. The forward pass,
every loss and every update are written out below, and autograd computes the gradients of these losses.
"""

from dataclasses import replace

import pytest
import torch

from support.pairs import lively, pairs
from titans_core.neural import (
    PRESETS,
    Huber,
    Lq,
    MemorySpec,
    MemoryState,
    Momentum,
    Muon,
    read,
    write,
    write_sequentially,
)

DIM = 5
WRITES = (19, 2, 1)  # one full chunk of 16 tokens and a short chunk, then writes that are shorter than a chunk
BOTH = pytest.mark.parametrize("learn", [write, write_sequentially])


def tokens_of(start, counts=WRITES):
    """Return keys and values of each write. Half of the values are near a deep memory's answers, half are far away."""
    writes = []
    for seed, count in enumerate(counts):
        keys, noise = pairs(count, DIM, DIM, seed=seed)
        spread = torch.where(torch.arange(count) % 2 == 0, 0.2, 2.0)[:, None]
        writes.append((keys, deep(*start.weights, keys) + spread * noise))
    return writes


def chunks_of(writes, size):
    """Yield keys and values of each chunk. A write is split from its start; no chunk has tokens of two writes."""
    for keys, values in writes:
        yield from zip(keys.split(size), values.split(size), strict=True)


def one_by_one(writes):
    for keys, values in writes:
        yield from zip(keys, values, strict=True)


def state_after(learn, spec, start, writes):
    state = start
    for keys, values in writes:
        state, _ = learn(spec, state, keys, values)
    return state


def initial_state(spec):
    return MemoryState.initial(spec, torch.float64)


def gelu(signal):
    return signal * (1 + torch.erf(signal / 2**0.5)) / 2


def normalised(signal):
    centred = signal - signal.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()


def deep(inner, outer, key):
    """Compute M(x) = x + LN(W_1 σ(W_2 x)) (MIRAS, §5.3)."""
    return key + normalised(gelu(key @ inner.T) @ outer.T)


def squared(error):
    return error.square().sum()


def layer_gradients(loss, weights, key, value):
    """Return ∇ℓ(M; k, v) of a deep memory by the weights of each layer."""
    leaves = [layer.clone().requires_grad_() for layer in weights]
    return torch.autograd.grad(loss(deep(*leaves, key) - value), leaves)


def assert_all_close(found, expected):
    for tensor, expected_tensor in zip(found, expected, strict=True):
        torch.testing.assert_close(tensor, expected_tensor, rtol=1e-10, atol=1e-11)


def assert_same_answers(spec, state, weights):
    queries = pairs(4, DIM, DIM, seed=7)[0]
    torch.testing.assert_close(read(spec, state, queries), deep(*weights, queries), rtol=1e-10, atol=1e-11)


@BOTH
def test_titans_follows_equations_13_and_14(learn):
    spec = lively("titans", DIM, DIM)
    theta, eta, alpha = spec.optimizer.step, spec.optimizer.momentum, spec.retention.forget
    assert 0 < alpha < 1
    start = initial_state(spec)
    writes = tokens_of(start)
    weights, momentum = list(start.weights), [torch.zeros_like(one) for one in start.weights]
    for keys, values in chunks_of(writes, spec.chunk):
        before = list(weights)  # M_{t'}, Eq. 16
        for key, value in zip(keys, values, strict=True):
            for layer, gradient in enumerate(layer_gradients(squared, before, key, value)):
                momentum[layer] = eta * momentum[layer] - theta * gradient  # Eq. 14
                weights[layer] = (1 - alpha) * weights[layer] + momentum[layer]  # Eq. 13
    state = state_after(learn, spec, start, writes)
    assert_all_close(state.weights, weights)
    assert_all_close(state.momentum, momentum)
    assert_same_answers(spec, state, weights)


def yaad_by_hand(spec, start, writes, loss):
    theta, alpha = spec.optimizer.step, spec.retention.forget
    assert 0 < alpha < 1
    weights = list(start.weights)
    for keys, values in chunks_of(writes, spec.chunk):
        before = list(weights)
        for key, value in zip(keys, values, strict=True):
            for layer, gradient in enumerate(layer_gradients(loss, before, key, value)):
                weights[layer] = (1 - alpha) * weights[layer] - theta * gradient
    return weights


@BOTH
def test_yaad_follows_equation_26_with_the_textbook_huber_loss(learn):
    spec = lively("yaad", DIM, DIM)
    delta = spec.bias.delta
    branches = []

    def huber(error):
        length = error.norm()
        branches.append(bool(length <= delta))
        return error.square().sum() if length <= delta else 2 * delta * length - delta**2

    start = initial_state(spec)
    writes = tokens_of(start)
    weights = yaad_by_hand(spec, start, writes, huber)
    assert set(branches) == {True, False}
    state = state_after(learn, spec, start, writes)
    assert_all_close(state.weights, weights)
    assert_same_answers(spec, state, weights)


@BOTH
def test_yaad_follows_equation_26_as_printed_when_asked_to(learn):
    # W_t = α W_{t−1} − η ∇ℓ_2 if ‖M(k) − v‖ ≤ δ, else − η δ ∇ℓ_1.
    spec = replace(lively("yaad", DIM, DIM), bias=Huber(0.9, "printed"))
    start = initial_state(spec)
    writes = tokens_of(start)
    weights = yaad_by_hand(
        spec, start, writes, lambda error: squared(error) if error.norm() <= 0.9 else 0.9 * error.abs().sum()
    )
    assert_all_close(state_after(learn, spec, start, writes).weights, weights)


def moneta_by_hand(spec, start, writes, to_weights):
    theta, alpha, power = spec.optimizer.step, spec.retention.forget, spec.bias.p
    assert 0 < alpha < 1
    dual = list(start.dual)
    for keys, values in chunks_of(writes, spec.chunk):
        before = [to_weights(one) for one in dual]
        for key, value in zip(keys, values, strict=True):
            for layer, gradient in enumerate(
                layer_gradients(lambda error: (error.abs() ** power).sum(), before, key, value)
            ):
                dual[layer] = (1 - alpha) * dual[layer] - theta * gradient
    return dual, [to_weights(one) for one in dual]


@BOTH
def test_moneta_follows_equation_24(learn):
    spec = lively("moneta", DIM, DIM)
    q = spec.retention.q
    assert (spec.bias.p, q) == (3, 4)
    start = initial_state(spec)
    writes = tokens_of(start)

    def to_weights(dual):
        norm = (dual.abs() ** q).sum() ** (1 / q)
        return dual / max(float(norm), spec.retention.floor) ** (q - 2)

    sizes = [float((one.abs() ** q).sum() ** (1 / q)) for one in start.dual]
    assert max(sizes) > spec.retention.floor
    dual, weights = moneta_by_hand(spec, start, writes, to_weights)
    assert_all_close(start.weights, [to_weights(one) for one in start.dual])
    state = state_after(learn, spec, start, writes)
    assert_all_close(state.dual, dual)
    assert_all_close(state.weights, weights)
    assert_same_answers(spec, state, weights)


@BOTH
def test_moneta_follows_the_exact_dual_map_when_asked_to(learn):
    spec = replace(lively("moneta", DIM, DIM), retention=Lq(4.0, 0.01, "dual", floor=0.5))

    def to_weights(dual):
        return torch.sign(dual) * dual.abs() ** 3 / max(0.5, float((dual**4).sum() ** 0.25)) ** 2

    start = initial_state(spec)
    writes = tokens_of(start)
    dual, weights = moneta_by_hand(spec, start, writes, to_weights)
    state = state_after(learn, spec, start, writes)
    assert_all_close(state.dual, dual)
    assert_all_close(state.weights, weights)


@BOTH
def test_memora_follows_equations_21_and_27(learn):
    # W_t = c Softmax((1 − λ) log W_{t−1} − η' ∇ℓ) over the row, η' = (1 − λ) θ; once for each chunk, at its last token.
    spec = lively("memora", DIM, DIM)
    theta, lam, scale = spec.optimizer.step, spec.retention.forget, spec.retention.scale
    assert 0 < lam < 1
    start = initial_state(spec)
    writes = tokens_of(start)
    weights = list(start.weights)
    for one in weights:
        assert bool((one > 0).all())
        torch.testing.assert_close(one.sum(1), torch.full_like(one[:, 0], scale))
    for keys, values in chunks_of(writes, spec.chunk):
        before = list(weights)
        logs = [one.log() for one in before]
        for key, value in zip(keys, values, strict=True):
            for layer, gradient in enumerate(layer_gradients(squared, before, key, value)):
                logs[layer] = (1 - lam) * logs[layer] - (1 - lam) * theta * gradient
        weights = [scale * one.exp() / one.exp().sum(1, keepdim=True) for one in logs]
    state = state_after(learn, spec, start, writes)
    assert_all_close(state.weights, weights)
    assert_same_answers(spec, state, weights)


def newton_schulz(matrix, iterations):
    """Apply 3.4445 s − 4.7750 s³ + 2.0315 s⁵ to each singular value, and scale by √(r / c) if r > c."""
    left, lengths, right = torch.linalg.svd(matrix, full_matrices=False)
    lengths = lengths / lengths.square().sum().sqrt()
    for _ in range(iterations):
        lengths = 3.4445 * lengths - 4.7750 * lengths**3 + 2.0315 * lengths**5
    rows, columns = matrix.shape
    return max(1.0, rows / columns) ** 0.5 * (left * lengths) @ right


@BOTH
def test_omega_follows_the_rule_of_atlas_with_equations_13_and_14(learn):
    # S_t = η S_{t−1} − θ Σ_{i=t−c+1..t} ∇ℓ(M_{t'}; x_i) and M_t = (1 − α) M_{t−1} + S_t.
    spec = replace(lively("omega", DIM, DIM), optimizer=Momentum(0.01, 0.8))
    start, writes, weights, momentum = omega_by_hand(spec, lambda weights, momentum: weights + momentum)
    state = state_after(learn, spec, start, writes)
    assert_all_close(state.weights, weights)
    assert_all_close(state.momentum, momentum)
    assert_same_answers(spec, state, weights)


@BOTH
def test_omega_with_muon_takes_one_orthogonalised_step_a_chunk(learn):
    # S_t as in the test above, and once for each chunk M = Π(1 − α) M + θ NewtonSchulz(S).
    spec = replace(lively("omega", DIM, DIM), optimizer=Muon(0.05, 0.8))

    def last_step(weights, momentum):
        return weights + spec.optimizer.step * newton_schulz(momentum, spec.optimizer.iterations)

    start, writes, weights, momentum = omega_by_hand(spec, lambda weights, momentum: weights, last_step)
    state = state_after(learn, spec, start, writes)
    assert_all_close(state.weights, weights)
    assert_all_close(state.momentum, momentum)
    assert_same_answers(spec, state, weights)


def omega_by_hand(spec, each_token, last_of_chunk=lambda weights, momentum: weights):
    """Return the state before the writes, the writes, and the weights and the momentum after them."""
    theta, eta, alpha = spec.optimizer.step, spec.optimizer.momentum, spec.retention.forget
    assert 0 < alpha < 1
    assert spec.window > 1
    start = initial_state(spec)
    writes = tokens_of(start, (19, 2, 11))
    weights, momentum = list(start.weights), [torch.zeros_like(one) for one in start.weights]
    past = []  # every pair so far, also from earlier chunks and writes
    for keys, values in chunks_of(writes, spec.chunk):
        before = list(weights)
        for pair in zip(keys, values, strict=True):
            past.append(pair)
            window_gradients = [layer_gradients(squared, before, *one) for one in past[-spec.window :]]
            for layer in range(2):
                momentum[layer] = eta * momentum[layer] - theta * sum(one[layer] for one in window_gradients)
                weights[layer] = each_token((1 - alpha) * weights[layer], momentum[layer])
        weights = [last_of_chunk(*one) for one in zip(weights, momentum, strict=True)]
    return start, writes, weights, momentum


def linear_case(name, counts):
    """Return a spec, a state with weights that are not zero, and the writes."""
    spec = lively(name, DIM, DIM)
    start = initial_state(spec)
    assert not start.weights[0].any()  # a linear memory starts at zero
    weights = pairs(DIM, DIM, DIM, seed=5)[1]
    writes = [pairs(count, DIM, DIM, seed=seed) for seed, count in enumerate(counts)]
    return spec, replace(start, weights=(weights,)), writes


@BOTH
def test_deltanet_follows_its_recurrence(learn):
    # S_t = S_{t−1}(I − β k kᵀ) + β v kᵀ with β = 2θ (arXiv 2406.06484).
    spec, start, writes = linear_case("deltanet", (70, 2))
    weights, beta = start.weights[0], 2 * spec.optimizer.step
    for key, value in one_by_one(writes):
        erased = weights @ (torch.eye(DIM, dtype=torch.float64) - beta * torch.outer(key, key))
        weights = erased + beta * torch.outer(value, key)
    state = state_after(learn, spec, start, writes)
    assert_all_close(state.weights, [weights])
    torch.testing.assert_close(read(spec, state, writes[0][0]), writes[0][0] @ weights.T)


@BOTH
def test_gated_deltanet_follows_its_recurrence(learn):
    # S_t = (1 − α) S_{t−1}(I − β k kᵀ) + β v kᵀ with β = 2θ (arXiv 2412.06464, whose α is our 1 − α).
    spec, start, writes = linear_case("gated_deltanet", (70, 2))
    kept, beta = 1 - spec.retention.forget, 2 * spec.optimizer.step
    assert 0 < kept < 1
    weights = start.weights[0]
    for key, value in one_by_one(writes):
        erased = weights @ (torch.eye(DIM, dtype=torch.float64) - beta * torch.outer(key, key))
        weights = kept * erased + beta * torch.outer(value, key)
    assert_all_close(state_after(learn, spec, start, writes).weights, [weights])


@BOTH
def test_linear_attention_sums_values_by_keys(learn):
    # f(q) = Σ v ⟨k, q⟩ (arXiv 2407.04620, Theorem 1).
    spec = PRESETS["linear_attention"](DIM, DIM)
    writes = [pairs(count, DIM, DIM, seed=seed) for seed, count in enumerate((70, 2))]
    keys, values = (torch.cat(one) for one in zip(*writes, strict=True))
    state = state_after(learn, spec, initial_state(spec), writes)
    queries = pairs(4, DIM, DIM, seed=9)[0]
    torch.testing.assert_close(read(spec, state, queries), (queries @ keys.T) @ values, rtol=1e-12, atol=1e-12)


@BOTH
def test_ttt_linear_follows_mini_batch_gradient_descent(learn):
    # W_b = W_{b−1} − θ Σ_{t in b} 2 (W_{b−1} k_t − v_t) k_tᵀ for batches of 16 (arXiv 2407.04620).
    spec, start, writes = linear_case("ttt_linear", (35, 2))
    weights = start.weights[0]
    for keys, values in chunks_of(writes, 16):
        errors = keys @ weights.T - values
        weights = weights - spec.optimizer.step * 2 * errors.T @ keys
    assert_all_close(state_after(learn, spec, start, writes).weights, [weights])


@BOTH
def test_least_squares_follows_its_closed_form(learn):
    # W = argmin Σ ‖W k − v‖² + λ‖W‖², of which P = (λI + Σ k kᵀ)⁻¹ is one half.
    spec = lively("least_squares", DIM, DIM)
    ridge = spec.optimizer.ridge * torch.eye(DIM, dtype=torch.float64)
    writes = [pairs(count, DIM, DIM, seed=seed) for seed, count in enumerate(WRITES)]
    keys, values = (torch.cat(one) for one in zip(*writes, strict=True))
    state = state_after(learn, spec, initial_state(spec), writes)
    inverse = torch.linalg.inv(ridge + keys.T @ keys)
    torch.testing.assert_close(state.inverse, inverse, rtol=1e-12, atol=1e-15)
    queries = pairs(4, DIM, DIM, seed=9)[0]
    torch.testing.assert_close(read(spec, state, queries), queries @ inverse @ keys.T @ values, rtol=1e-11, atol=1e-13)
    addresses = replace(spec, values=0)
    state = initial_state(addresses)
    for each, _ in writes:
        state, _ = learn(addresses, state, each)
    torch.testing.assert_close(state.inverse, inverse, rtol=1e-12, atol=1e-15)
    assert read(addresses, state, queries).shape == (4, 0)


@BOTH
def test_the_tutorial_is_linear_gelu_linear_trained_by_the_adamw_of_torch(learn):
    spec = lively("tutorial", DIM, DIM)
    optimizer = spec.optimizer
    start = initial_state(spec)
    model = torch.nn.Sequential(torch.nn.Linear(DIM, 2 * DIM), torch.nn.GELU(), torch.nn.Linear(2 * DIM, DIM)).double()
    with torch.no_grad():
        for layer, one in zip((model[0], model[2]), start.weights, strict=True):
            layer.weight.copy_(one[:, :-1])
            layer.bias.copy_(one[:, -1])
    adamw = torch.optim.AdamW(
        model.parameters(),
        lr=optimizer.rate,
        betas=(optimizer.first, optimizer.second),
        eps=optimizer.epsilon,
        weight_decay=optimizer.decay,
    )
    writes = [pairs(count, DIM, DIM, seed=seed) for seed, count in enumerate((70, 2))]
    for keys, values in chunks_of(writes, spec.chunk):
        for _ in range(spec.steps):
            adamw.zero_grad()
            (model(keys) - values).square().sum(-1).mean().backward()
            adamw.step()
    expected = [torch.cat([one.weight, one.bias[:, None]], 1).detach() for one in (model[0], model[2])]
    state = state_after(learn, spec, start, writes)
    assert_all_close(state.weights, expected)
    queries = pairs(4, DIM, DIM, seed=9)[0]
    torch.testing.assert_close(read(spec, state, queries), model(queries).detach(), rtol=1e-11, atol=1e-12)


def test_a_deep_memory_begins_with_random_weights_of_variance_one_by_columns():
    spec = PRESETS["titans"](64, 64)
    inner, outer = initial_state(spec).weights
    assert (inner.shape, outer.shape) == ((256, 64), (64, 256))
    for one in (inner, outer):
        assert float(one.mean()) == pytest.approx(0, abs=0.01)
        assert float(one.var() * one.shape[1]) == pytest.approx(1, abs=0.05)
    assert torch.equal(initial_state(spec).weights[0], inner)
    assert not torch.equal(initial_state(replace(spec, seed=1)).weights[0], inner)


def test_every_preset_is_a_spec_of_its_lengths():
    for name, make in PRESETS.items():
        spec = make(7, 7)
        assert isinstance(spec, MemorySpec), name
        assert (spec.dim, spec.values) == (7, 7), name
