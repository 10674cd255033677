"""Text to token keys, through a frozen and quantized model; and the language model that writes."""

from typing import TYPE_CHECKING

from titans_core.lazy import lazy_names
from titans_core.reading.encoder import EncoderReader, load_reader, make_reader
from titans_core.reading.models import DEFAULT_LANGUAGE_MODEL, DEFAULT_MODEL, FoundModel, find_model
from titans_core.reading.passages import Passage, split_passages
from titans_core.reading.reader import Reader

if TYPE_CHECKING:
    from titans_core.reading.causal import CausalLM, Written, load_causal_lm
    from titans_core.reading.causal_reader import CausalReader

__all__ = [
    "DEFAULT_LANGUAGE_MODEL",
    "DEFAULT_MODEL",
    "CausalLM",
    "CausalReader",
    "EncoderReader",
    "FoundModel",
    "Passage",
    "Reader",
    "Written",
    "find_model",
    "load_causal_lm",
    "load_reader",
    "make_reader",
    "split_passages",
]

# A memory needs no language model, and importing what runs one takes seconds.
__getattr__ = lazy_names(
    __name__,
    {
        "CausalLM": "titans_core.reading.causal",
        "CausalReader": "titans_core.reading.causal_reader",
        "Written": "titans_core.reading.causal",
        "load_causal_lm": "titans_core.reading.causal",
    },
)
