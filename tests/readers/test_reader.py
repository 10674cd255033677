"""The reader is frozen and quantized, and is found without a network."""

import bitsandbytes
import numpy as np
import pytest
import torch

from titans_core import TitansMemory
from titans_core.errors import ModelNotFoundError, QuantizationError
from titans_core.readers import DEFAULT_MODEL, EncoderReader, find_model, load_reader

TEXTS = ["The secret code is X-8-DELTA-9.", "I moved to Lisbon in March, near the river.", "Tea."]


@pytest.fixture
def reader(encoder):
    return encoder


def weights(reader):
    return {name: parameter.detach().clone() for name, parameter in reader.model.named_parameters()}


def test_memorizing_and_recalling_leave_the_weights_unchanged(reader):
    before = weights(reader)
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        memory.memorize_many(TEXTS)
        memory.recall("What is the code?")
    after = weights(reader)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(parameter.requires_grad for parameter in reader.model.parameters())


def test_four_bits_are_the_default(reader):
    layers = [module for module in reader.model.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    assert len(layers) >= 36  # six layers of six projections
    assert all(layer.weight.quant_type == "nf4" for layer in layers)
    assert reader.fingerprint.startswith("nf4:float32:")


def test_keys_are_unit_vectors_of_the_text_tokens(reader):
    [reading] = reader.read(["code X-8"], ["user: "])
    np.testing.assert_allclose(np.linalg.norm(reading.keys, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(reading.pooled), 1, rtol=1e-5)
    assert reading.keys.shape == (len(reading.tokens), reader.dim)
    # Offsets count from the start of prefix and text; special tokens are left out.
    words = ["user: code X-8"[start:end] for start, end in reading.offsets]
    assert words == ["user", ":", "code", "X", "-", "8"]


def test_a_batch_reads_as_one_by_one(reader):
    together = reader.read(TEXTS, ["Ada: ", "", "user: "])
    alone = [reader.read([text], [prefix])[0] for text, prefix in zip(TEXTS, ["Ada: ", "", "user: "], strict=True)]
    for one, other in zip(together, alone, strict=True):
        assert (one.tokens == other.tokens).all()
        np.testing.assert_allclose(one.keys, other.keys, atol=1e-4)
        np.testing.assert_allclose(one.pooled, other.pooled, atol=1e-4)


def test_the_prefix_colours_the_keys_but_stays_out_of_the_sentence_vector(reader):
    [question] = reader.read(["What is the secret code?"])
    plain, prefixed = (reader.read(TEXTS[:1], [prefix])[0] for prefix in ("", "user: "))
    assert len(prefixed.keys) == len(plain.keys) + 2
    # sentence-transformers' own vector of the whole, prefix included, is further from the question.
    whole = reader.model.encode(["user: " + TEXTS[0]], normalize_embeddings=True)[0]
    assert question.pooled @ prefixed.pooled > question.pooled @ whole
    np.testing.assert_allclose(plain.pooled, reader.model.encode(TEXTS[:1])[0], atol=1e-4)


@pytest.mark.parametrize("quantization", [None, "int8"])
def test_other_precisions_read_nearly_the_same_and_are_told_apart(reader, quantization):
    other = EncoderReader(quantization=quantization, device="cpu")
    [expected], [found] = reader.read(TEXTS[:1]), other.read(TEXTS[:1])
    assert expected.pooled @ found.pooled > 0.95
    assert other.fingerprint != reader.fingerprint


def test_an_unknown_quantization_is_refused():
    with pytest.raises(QuantizationError, match="'nf4', 'int8' or None"):
        EncoderReader(quantization="int3")


def test_text_of_any_length_is_read(reader):
    readings = reader.read(["", "word " * 5000])
    assert len(readings[0].keys) == 0
    assert not readings[0].pooled.any()
    assert len(readings[1].keys) <= 512


def test_unknown_tokens_are_no_keys(reader):
    [mixed, unknown] = reader.read(["I drink ชาเขียว 🎂 daily.", "ชาเขียว 🎂"], ["user: ", "user: "])
    text = "user: I drink ชาเขียว 🎂 daily."
    assert [text[start:end] for start, end in mixed.offsets] == ["user", ":", "I", "drink", "daily", "."]
    assert len(mixed.keys) == len(mixed.tokens) == 6
    assert [tuple(span) for span in unknown.offsets] == [(0, 4), (4, 5)]  # the speaker is known
    assert reader._unknown not in {*mixed.tokens, *unknown.tokens}


def test_unknown_tokens_stay_out_of_the_sentence_vector(reader):
    encoded = reader.model.tokenizer(["I drink ชาเขียว daily."], return_tensors="pt")
    known = encoded["input_ids"][0] != reader.model.tokenizer.unk_token_id
    assert known.sum() == len(known) - 1
    with torch.inference_mode():
        mean = reader.model[0](dict(encoded))["token_embeddings"][0][known].mean(dim=0)
    [reading] = reader.read(["I drink ชาเขียว daily."])
    np.testing.assert_allclose(reading.pooled, mean / mean.norm(), atol=1e-4)


@pytest.mark.parametrize("text", ["ชาเขียว", "绿茶", "🎂", "ชาเขียว " * 900])
@pytest.mark.parametrize("prefix", ["", "user: "])
def test_a_text_of_unknown_tokens_is_like_no_other(reader, text, prefix):
    [unknown, known] = reader.read([text, "I drink green tea."], [prefix, prefix])
    assert len(unknown.keys) == len(unknown.tokens) == len(unknown.offsets) == (2 if prefix else 0)
    assert unknown.keys.shape[1] == reader.dim
    assert (unknown.pooled.shape, unknown.pooled.dtype) == (known.pooled.shape, np.float32)
    assert not unknown.pooled.any()
    np.testing.assert_allclose(np.linalg.norm(known.pooled), 1, rtol=1e-5)


def test_a_memory_of_what_the_reader_does_not_know_is_still_a_memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        first, second = memory.memorize_many(["ชาเขียว", "绿茶"])
        assert (first.surprise, first.learned, second.duplicate_of) == (0, False, None)
        found = memory.recall("ชาเขียว กาแฟ")
        memory.memorize_many([f"I have {number} apples." for number in range(4)])
        assert memory.recall("ชาเขียว กาแฟ").best.similarity == 0
    assert all(np.isfinite([*found.reasons.values(), found.probability or 0]))


def test_a_path_comes_before_a_wheel_and_a_wheel_before_the_hub(tmp_path):
    assert find_model(str(tmp_path)).source == "path"
    assert find_model(DEFAULT_MODEL).source == "wheel"
    assert find_model("somebody/a-model").source == "hub"


def test_a_folder_loads_as_the_same_reader(reader):
    assert EncoderReader(find_model(DEFAULT_MODEL).location).fingerprint == reader.fingerprint


def test_a_model_that_is_nowhere_names_the_three_ways():
    with pytest.raises(ModelNotFoundError, match=r"path.*wheel.*Hub"):
        EncoderReader("somebody/a-model-that-does-not-exist")


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelNotFoundError, match="holds no model"):
        EncoderReader(str(tmp_path))


def test_a_process_loads_a_model_once(reader):
    assert load_reader() is reader
