"""A language model that is so small that each test can create its own."""

import numpy as np
import pytest
from gguf import GGUFWriter, TokenType

from titans_core.readers import load_causal_lm

WIDTH, LAYERS = 64, 2  # bitsandbytes quantizes 64 weights at a time
CONTEXT = 64
WORDS = ["<end>", "<start>", *"abcdefghijklmnopqrstuvwxyz", "ab"]


def write_gguf(path, seed=0):
    """Write a language model with random weights, and return its path.

    It has the architecture of the default language model, and one token for each letter.

    Args:
        path: Path of the new GGUF file.
        seed: Seed of the weights.
    """
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
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


def converted(folder, *quantizations):
    """Write a tiny language model, load it once with each quantization, and return the path of its GGUF file.

    Loading converts the file. The results are in the folder too.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TITANS_CACHE", str(folder))
        path = str(write_gguf(folder / "tiny.gguf"))
        for quantization in quantizations:
            load_causal_lm(path, quantization=quantization, device="cpu")
    return path
