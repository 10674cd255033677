"""Readers: text to token keys, through a frozen quantized model; and the language model that writes."""

from typing import TYPE_CHECKING

from titans_core._utils.lazy import lazy_names
from titans_core.readers.encoder import EncoderReader, load_reader, make_reader
from titans_core.readers.find import DEFAULT_LANGUAGE_MODEL, DEFAULT_MODEL, FoundModel, find_model
from titans_core.readers.passages import Passage, split_passages
from titans_core.readers.protocol import Reader

if TYPE_CHECKING:
    from titans_core.readers.causal_lm import CausalLM, Generation, load_causal_lm
    from titans_core.readers.causal_reader import CausalReader

__all__ = [
    "DEFAULT_LANGUAGE_MODEL",
    "DEFAULT_MODEL",
    "CausalLM",
    "CausalReader",
    "EncoderReader",
    "FoundModel",
    "Generation",
    "Passage",
    "Reader",
    "find_model",
    "load_causal_lm",
    "load_reader",
    "make_reader",
    "split_passages",
]

# A memory needs no language model, and importing one takes seconds.
__getattr__ = lazy_names(
    __name__,
    {
        "CausalLM": "titans_core.readers.causal_lm",
        "CausalReader": "titans_core.readers.causal_reader",
        "Generation": "titans_core.readers.causal_lm",
        "load_causal_lm": "titans_core.readers.causal_lm",
    },
)
