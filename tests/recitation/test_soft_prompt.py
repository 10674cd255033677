"""A soft prompt is trained at test time. The frozen model then completes the facts, and does not change."""

import copy
import math

import pytest
import torch

from support.tiny_model import WIDTH, converted
from titans_core.errors import EmptyTurnError, InvalidQueryError, QuantizationError
from titans_core.readers import CausalLM, CausalReader, load_causal_lm
from titans_core.recitation.baselines.soft_prompt import SoftPromptMemory

FACTS = ["codexyz", "namebob"]
CODE = "The secret code is X-8-DELTA-9."


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A tiny language model with one token for each letter, so that a test can write any word."""
    return converted(tmp_path_factory.mktemp("model"), None)


@pytest.fixture(scope="module")
def tiny(path):
    """The tiny model in float32. Its layers are scaled down to those of a new model, so that a prompt can steer it."""
    lm = load_causal_lm(path)
    model = copy.deepcopy(lm.model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "proj" in name:
                parameter.mul_(WIDTH**-0.5)
    return CausalReader(CausalLM(model, lm.tokenizer))


@pytest.fixture(scope="module")
def trained(tiny):
    memory = SoftPromptMemory(tiny, prompts=4)
    return memory, memory.train(FACTS, steps=200)


def weights(memory):
    return torch.cat([parameter.detach().flatten() for parameter in memory._network.parameters()])


def late_loss(training):
    """The mean loss of the last 20 steps."""
    return sum(training.losses[-20:]) / 20


def test_facts_are_completed_and_end_where_they_ended(trained):
    memory, training = trained
    assert [memory.generate(text, max_new_tokens=8) for text in ("code", "name", "na")] == ["xyz", "bob", "mebob"]
    assert memory.generate("code", max_new_tokens=2) == "xy"
    assert late_loss(training) < 0.2 < training.losses[0]


def test_an_untrained_memory_completes_nothing(tiny):
    assert SoftPromptMemory(tiny, prompts=4).generate("code", max_new_tokens=8) != "xyz"


def test_a_training_tells_how_it_went(trained):
    _, training = trained
    assert len(training.losses) == 200
    assert training.seconds > 0
    assert not training.diverged


def test_more_prompts_hold_more(tiny, trained):
    memory = SoftPromptMemory(tiny)
    assert late_loss(memory.train(FACTS, steps=200)) > 5 * late_loss(trained[1])
    assert 4 * memory.nbytes > trained[0].nbytes > memory.nbytes


def test_size_is_that_of_two_layers(tiny):
    parameters = (WIDTH + 1) * 2 * WIDTH + (2 * WIDTH + 1) * WIDTH
    assert SoftPromptMemory(tiny).nbytes == 4 * parameters


def test_the_language_model_is_not_changed_and_collects_no_gradients(tiny):
    model = copy.deepcopy(tiny.lm.model).requires_grad_()  # a model whose parameters could be trained
    before = [parameter.detach().clone() for parameter in model.parameters()]
    memory = SoftPromptMemory(CausalReader(CausalLM(model, tiny.lm.tokenizer)))
    memory.train(FACTS, steps=4)
    memory.generate("code", max_new_tokens=2)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(map(torch.equal, before, model.parameters()))


def test_one_seed_gives_one_memory(tiny):
    memories = [SoftPromptMemory(tiny, seed=seed) for seed in (1, 1, 2)]
    trainings = [memory.train(FACTS, steps=6) for memory in memories]
    assert trainings[0].losses == trainings[1].losses != trainings[2].losses
    assert torch.equal(weights(memories[0]), weights(memories[1]))


def test_a_second_training_goes_on(tiny):
    once, twice = SoftPromptMemory(tiny), SoftPromptMemory(tiny)
    losses = [*twice.train(FACTS, steps=4).losses, *twice.train(FACTS, steps=2).losses]
    assert once.train(FACTS, steps=6).losses == tuple(losses)


def test_reset_forgets_everything(tiny):
    memory = SoftPromptMemory(tiny)
    new = weights(memory)
    first = memory.train(FACTS, steps=6)
    assert not torch.equal(weights(memory), new)
    memory.reset()
    assert torch.equal(weights(memory), new)
    assert memory.train(FACTS, steps=6).losses == first.losses


@pytest.mark.parametrize("option", [{"rate": 0.001}, {"momentum": 0.0}])
def test_rate_and_momentum_are_those_of_sgd(tiny, option):
    usual, other = SoftPromptMemory(tiny), SoftPromptMemory(tiny, **option)
    first, second = usual.train(FACTS, steps=8), other.train(FACTS, steps=8)
    assert first.losses[0] == second.losses[0]
    assert first.losses[-1] != second.losses[-1]


def test_a_divergence_ends_the_training_and_is_told(tiny):
    training = SoftPromptMemory(tiny, rate=1e38).train(FACTS, steps=10)
    assert training.diverged
    assert 1 < len(training.losses) < 10
    assert not math.isfinite(training.losses[-1])


def test_progress_is_shown_on_request(tiny, capsys):
    memory = SoftPromptMemory(tiny)
    memory.train(FACTS, steps=2)
    assert capsys.readouterr().err == ""
    memory.train(FACTS, steps=2, progress=True)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize("quantization", ["nf4", "int8"])
def test_quantized_models_pass_gradients(path, quantization):
    llm = CausalReader(path, quantization=quantization)
    training = SoftPromptMemory(llm).train(["codexyz"], steps=100)
    assert late_loss(training) < sum(training.losses[:20]) / 20


def test_gradients_of_the_real_model_in_four_bits_are_right(llm):
    rate = 1e-5
    memory = SoftPromptMemory(llm, rate=rate, momentum=0.0)
    [before] = memory.train(["Bluebird"], steps=1).losses  # it has two tokens, so there is only one place to cut
    slope = sum(float(parameter.grad.square().sum()) for parameter in memory._network.parameters())
    [after] = memory.train(["Bluebird"], steps=1).losses
    assert after - before == pytest.approx(-rate * slope, rel=0.2)
    assert isinstance(memory.generate("Blue", max_new_tokens=2), str)


def test_weights_that_pass_no_gradients_are_refused(four_bits, monkeypatch):
    state = next(
        parameter.quant_state for parameter in four_bits.lm.model.parameters() if hasattr(parameter, "quant_state")
    )
    monkeypatch.setattr(state, "packing_format_for_cpu", True, raising=False)
    with pytest.raises(QuantizationError, match="quantization=None"):
        SoftPromptMemory(four_bits).train([CODE], steps=1)


def test_no_text_is_refused(tiny):
    memory = SoftPromptMemory(tiny)
    for facts in ([], ["codexyz", " "]):
        with pytest.raises(EmptyTurnError):
            memory.train(facts, steps=1)
    with pytest.raises(InvalidQueryError):
        memory.generate("", max_new_tokens=1)
