"""Text to token keys, through a frozen and quantized model."""

from titans_core.reading.encoder import EncoderReader, load_reader, make_reader
from titans_core.reading.models import DEFAULT_MODEL, FoundModel, find_model
from titans_core.reading.passages import Passage, split_passages
from titans_core.reading.reader import Reader

__all__ = [
    "DEFAULT_MODEL",
    "EncoderReader",
    "FoundModel",
    "Passage",
    "Reader",
    "find_model",
    "load_reader",
    "make_reader",
    "split_passages",
]
