"""A frozen causal language model reads, is surprised and writes, in batches and for many threads."""

import logging
from concurrent.futures import ThreadPoolExecutor

import bitsandbytes
import numpy as np
import pytest
import torch
from transformers import ByT5Tokenizer

from support.tiny_model import CONTEXT, LAYERS, WIDTH, WORDS, converted, write_gguf
from titans_core import TitansMemory
from titans_core.errors import ReaderError, UncalibratedWarning
from titans_core.readers import CausalLM, CausalReader, load_causal_lm

TEXTS = ["The secret code is X-8-DELTA-9.", "I moved to Lisbon in March, near the river.", "Tea."]
PREFIXES = ["Ada: ", "", "user: "]
LETTERS = ["abc", "xyzzy", "q", "thequickbrownfoxjumps"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A tiny language model, in the letters of which a test can write."""
    return converted(tmp_path_factory.mktemp("model"), None, "nf4", "int8")


@pytest.fixture(params=[None, "nf4", "int8"])
def tiny(path, request):
    return CausalReader(path, quantization=request.param, device="cpu")


@pytest.fixture
def exact(path):
    """The tiny model in float32."""
    return CausalReader(path, quantization=None, device="cpu")


def weights(llm):
    return [parameter.detach().clone() for parameter in llm.lm.model.parameters()]


def test_four_bits_are_the_default(four_bits):
    assert four_bits.lm is load_causal_lm(quantization="nf4")
    assert four_bits.lm.precision == "nf4"
    assert four_bits.lm.model.config.quantization_config.bnb_4bit_use_double_quant
    assert not any(parameter.requires_grad for parameter in four_bits.lm.model.parameters())


def test_unpacked_four_bits_say_the_same(four_bits, llm):
    """Most tests have the weights unpacked, for their time."""
    tokens = torch.tensor([four_bits.tokens("The capital of France is Paris.")])
    assert torch.equal(four_bits.lm.model(tokens).logits, llm.lm.model(tokens).logits)


def test_a_loaded_model_is_shared(language_model):
    llm = CausalReader(language_model)
    assert llm.lm is language_model
    assert llm.fingerprint.startswith("float:")


def test_keys_are_unit_vectors_of_the_text_tokens(llm):
    [reading] = llm.read(["code X-8"], ["user: "])
    np.testing.assert_allclose(np.linalg.norm(reading.keys, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(reading.pooled), 1, rtol=1e-5)
    assert reading.keys.shape == (len(reading.tokens), llm.dim)
    assert (reading.keys.dtype, reading.pooled.dtype) == (np.float32, np.float32)
    # Offsets count from the start of prefix and text; a word's token begins with its space.
    words = ["user: code X-8"[start:end] for start, end in reading.offsets]
    assert words == ["user", ":", " code", " X", "-", "8"]
    assert list(reading.tokens) == llm.tokens("user: code X-8")


def test_the_prefix_colours_the_keys_but_stays_out_of_the_sentence_vector(llm):
    plain, prefixed = (llm.read(TEXTS[:1], [prefix])[0] for prefix in ("", "user: "))
    of_text = prefixed.keys[2:]
    assert len(of_text) == len(plain.keys)
    assert not np.allclose(of_text, plain.keys, atol=1e-2)
    mean = of_text.mean(axis=0)
    np.testing.assert_allclose(prefixed.pooled, mean / np.linalg.norm(mean), atol=1e-5)


def test_a_batch_reads_as_one_by_one(llm):
    together = llm.read(TEXTS, PREFIXES)
    alone = [llm.read([text], [prefix])[0] for text, prefix in zip(TEXTS, PREFIXES, strict=True)]
    for one, other in zip(together, alone, strict=True):
        assert (one.tokens == other.tokens).all()
        np.testing.assert_allclose(one.keys, other.keys, atol=1e-3)
        np.testing.assert_allclose(one.pooled, other.pooled, atol=1e-3)


def test_more_texts_than_a_batch_holds_come_back_in_order(exact):
    texts = [WORDS[2 + place % 26] * (1 + place % 7) for place in range(70)]
    readings = exact.read(texts)
    assert [reading.tokens.tolist() for reading in readings] == [exact.tokens(text) for text in texts]
    assert exact.read([]) == []


def test_text_of_any_length_is_read(tiny):
    empty, long = tiny.read(["", "q" * 1000])
    assert (empty.keys.shape, empty.offsets.shape) == ((0, WIDTH), (0, 2))
    assert not empty.pooled.any()
    assert len(long.keys) == len(long.tokens) == len(long.offsets) == CONTEXT - 1  # the start token has a place too
    assert tiny.count_tokens("q" * 1000) == len(tiny.surprisal("q" * 1000)) + 1000 - (CONTEXT - 1) == 1000
    assert tiny.surprisal("").shape == (0,)


def test_states_are_those_of_the_layer(exact):
    tokens = torch.tensor([[exact.start_token, *exact.tokens("abc")], [exact.start_token, *exact.tokens("xyz")[:2]]])
    with torch.no_grad():
        hidden = exact.lm.model(tokens, output_hidden_states=True).hidden_states
    assert len(hidden) == LAYERS + 1
    for layer, expected in enumerate(hidden):
        torch.testing.assert_close(exact.states(tokens, layer=layer), expected)
        torch.testing.assert_close(exact.states(tokens, layer=layer - LAYERS - 1), expected)
    torch.testing.assert_close(exact.states(tokens), hidden[-1])
    embeddings = exact.lm.model.get_input_embeddings().weight
    assert torch.equal(exact.states(tokens, layer=0), embeddings[tokens])


def test_keys_are_the_states_of_the_readers_layer(exact):
    middle = CausalReader(exact.lm, layer=1)
    tokens = [exact.start_token, *exact.tokens("abc")]
    [states] = exact.states(torch.tensor([tokens]), layer=1)
    [reading] = middle.read(["abc"])
    expected = torch.nn.functional.normalize(states[1:], dim=-1)
    np.testing.assert_allclose(reading.keys, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("layer", [LAYERS + 1, -LAYERS - 2])
def test_a_layer_that_the_model_lacks_is_refused(exact, layer):
    with pytest.raises(ReaderError, match=f"0 .* to {LAYERS}"):
        CausalReader(exact.lm, layer=layer)
    with pytest.raises(ReaderError, match=f"0 .* to {LAYERS}"):
        exact.states(torch.tensor([[1]]), layer=layer)


def test_the_fingerprint_tells_what_keys_depend_on(path, tmp_path, monkeypatch):
    monkeypatch.setenv("TITANS_CACHE", str(tmp_path))
    other = str(write_gguf(tmp_path / "tiny.gguf", seed=1))
    readers = [CausalReader(path, quantization=quantization) for quantization in (None, "nf4", "int8")]
    readers += [CausalReader(path, quantization=None, layer=1), CausalReader(other, quantization=None)]
    assert len({reader.fingerprint for reader in readers}) == 5
    assert CausalReader(path, quantization=None, layer=LAYERS).fingerprint == readers[0].fingerprint


def test_a_tokenizer_without_offsets_is_refused(exact):
    with pytest.raises(ReaderError, match="offsets"):
        CausalReader(CausalLM(exact.lm.model, ByT5Tokenizer()))


def test_surprisal_is_that_of_each_token_after_those_before(tiny):
    tokens = [tiny.start_token, *tiny.tokens("hello")]
    expected = []
    for length in range(1, len(tokens)):
        with torch.no_grad():
            logits = tiny.lm.model(torch.tensor([tokens[:length]])).logits[0, -1]
        expected.append(-logits.log_softmax(0)[tokens[length]])
    # Quantized products differ a little between a pass of one token and one of many.
    torch.testing.assert_close(tiny.surprisal("hello"), torch.stack(expected), atol=0.2, rtol=0.02)


def test_the_expected_surprises_less(llm):
    expected, unexpected = (llm.surprisal(f"The capital of France is {city}.") for city in ("Paris", "Lima"))
    assert expected[-2] < 1 < 10 < unexpected[-2]
    torch.testing.assert_close(expected[:-2], unexpected[:-2], atol=1e-3, rtol=0)


def test_a_batch_is_continued_as_one_by_one(exact):
    together = exact.generate(LETTERS, max_new_tokens=6)
    assert together == [answer for text in LETTERS for answer in exact.generate([text], max_new_tokens=6)]
    assert len(set(together)) == len(LETTERS)
    assert exact.generate([], max_new_tokens=6) == []
    [from_nothing] = exact.generate([""], max_new_tokens=6)
    assert from_nothing == exact.generate(["<start>"], max_new_tokens=6)[0]


def test_an_answer_is_what_would_be_written(exact):
    pieces = []
    exact.lm.generate("abc", max_new_tokens=6, on_text=lambda text: pieces.append(text) or True)
    assert exact.generate(["abc"], max_new_tokens=6) == ["".join(pieces)]


def test_an_answer_ends_at_the_end_token(exact, monkeypatch):
    [answer] = exact.generate(["abc"], max_new_tokens=6)
    third = exact.tokens(answer)[2]
    monkeypatch.setattr(exact.lm.model.generation_config, "eos_token_id", [third])
    short, _ = exact.generate(["abc", "xyzzy"], max_new_tokens=6)
    assert answer.startswith(short)
    assert len(exact.tokens(short)) < 3


def test_a_question_is_answered_through_the_chat_template(llm):
    prompt = llm.chat_prompt([{"role": "user", "content": "What is the capital of France?"}])
    assert prompt.endswith("<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n")
    assert llm.generate([prompt], max_new_tokens=6) == ["The capital of France is Paris"]


def test_a_model_without_a_chat_template_is_named(exact, monkeypatch):
    assert exact.chat_prompt([{"role": "user", "content": "abc"}]) == "abc"
    monkeypatch.setattr(exact.lm.tokenizer, "chat_template", None)
    with pytest.raises(ReaderError, match=r"tiny.gguf.*chat"):
        exact.chat_prompt([{"role": "user", "content": "abc"}])


def test_use_leaves_the_model_and_its_tokenizer_unchanged(tiny):
    before, tokenizer = weights(tiny), tiny.lm.tokenizer
    settings = (tokenizer.padding_side, tokenizer.pad_token, tokenizer.backend_tokenizer.to_str())
    tiny.read(LETTERS)
    tiny.surprisal("abc")
    tiny.generate(LETTERS, max_new_tokens=2)
    assert all(torch.equal(one, other) for one, other in zip(before, weights(tiny), strict=True))
    assert settings == (tokenizer.padding_side, tokenizer.pad_token, tokenizer.backend_tokenizer.to_str())


def trained_after_reading(llm):
    """Keys, and the gradient of what stands before the model: a soft prompt learns through the frozen weights."""
    [reading] = llm.read(["abc"])
    prompt = torch.linspace(-1, 1, 3 * WIDTH).reshape(1, 3, WIDTH).requires_grad_()
    llm.lm.model(inputs_embeds=prompt).logits.logsumexp(-1).sum().backward()
    return torch.from_numpy(reading.keys), prompt.grad


def test_a_soft_prompt_can_be_trained_through_the_model_after_it_was_read_with(tiny):
    _, gradient = trained_after_reading(tiny)
    assert gradient.norm() > 0
    assert all(parameter.grad is None for parameter in tiny.lm.model.parameters())


def test_a_cpu_with_avx512_bf16_keeps_the_layout_of_the_weights(path, tmp_path, monkeypatch):
    """bitsandbytes would repack them in the first forward pass, and no gradient would flow through them any more."""
    monkeypatch.setenv("TITANS_CACHE", str(tmp_path))
    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)
    same = CausalReader(str(write_gguf(tmp_path / "tiny.gguf")), device="cpu")
    usual = trained_after_reading(CausalReader(path, device="cpu"))
    for found, expected in zip(trained_after_reading(same), usual, strict=True):
        torch.testing.assert_close(found, expected)


def test_states_can_be_trained_on(exact):
    weight = torch.ones(WIDTH, requires_grad=True)
    (weight * exact.states(torch.tensor([[1, 2, 3]]))).sum().backward()
    assert weight.grad.norm() > 0


def test_what_is_no_news_is_not_logged(path, caplog):
    with caplog.at_level(logging.WARNING):
        CausalReader(path, quantization="int8").read(["abc"])
    assert not caplog.records


@pytest.mark.parametrize(
    "use",
    [
        lambda llm: llm.read(["abc"]),
        lambda llm: llm.states(torch.tensor([[1, 2]])),
        lambda llm: llm.surprisal("abc"),
        lambda llm: llm.generate(["abc"], max_new_tokens=2),
    ],
)
def test_the_lock_is_held_for_each_forward_pass(exact, use):
    held = []
    hook = exact.lm.model.base_model.register_forward_pre_hook(lambda *_: held.append(exact.lm.lock.locked()))
    try:
        use(exact)
    finally:
        hook.remove()
    assert held
    assert all(held)
    assert not exact.lm.lock.locked()


def test_threads_read_beside_a_text_that_is_being_written(exact):
    expected = exact.read(LETTERS)

    def write(text):
        exact.lm.generate(text, max_new_tokens=20, on_text=lambda written: True)

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, text) for text in LETTERS]
        reading = [pool.submit(exact.read, LETTERS) for _ in range(8)]
        for future in writing:
            future.result()
        for future in reading:
            for one, other in zip(future.result(), expected, strict=True):
                np.testing.assert_allclose(one.keys, other.keys, atol=1e-5)


def test_a_memory_takes_it_as_reader(llm):
    with pytest.warns(UncalibratedWarning):
        memory = TitansMemory.open(":memory:", tenant="alice", reader=llm)
    with memory:
        memory.memorize_many(TEXTS)
        assert memory.recall("What is the secret code?").best.text == TEXTS[0]


def test_what_the_model_would_say_anyway_counts_less_beside_a_plain_prompt(llm):
    fact, question = "Irene Keller keeps a pet pony.", "What pet does Irene Keller keep?"
    brief = {"role": "system", "content": "Answer in one short sentence."}
    told, plain = (
        llm.chat_prompt([brief, {"role": "user", "content": content}]) for content in (f"{fact}\n{question}", question)
    )
    with torch.no_grad():
        seen, unseen = (
            llm.lm.model(torch.tensor([llm.tokens(prompt)])).logits[0, -1].log_softmax(-1) for prompt in (told, plain)
        )
    [together] = llm.generate([told], max_new_tokens=1, unconditional_prompts=[plain])
    assert llm.tokens(together) == [int((1.5 * seen - 0.5 * unseen).argmax())]
    pieces = []
    llm.lm.generate(told, max_new_tokens=3, unconditional_prompt=plain, on_text=lambda text: not pieces.append(text))
    assert "".join(pieces) == llm.generate([told], max_new_tokens=3, unconditional_prompts=[plain])[0]
