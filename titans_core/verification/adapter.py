"""The default verifier: the reader's own frozen weights with a low-rank adapter."""

from __future__ import annotations

import copy
import hashlib
import json
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from titans_core._utils.locks import Lock
from titans_core.errors import ModelNotFoundError
from titans_core.readers import load_reader
from titans_core.readers.precision import full_precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from titans_core.readers import EncoderReader
    from titans_core.verification.pair import Pair

VERIFY_BATCH = 16
"""The number of pairs in one forward pass."""

MAX_TOKENS = 320
"""The most tokens of a pair; if there are more, the statement is cut, never the question."""

TARGETS = r"encoder\.layer\..*\.(query|key|value|dense)"
"""The linear layers that get an adapter: all of every block, and not the pooler, which is not used."""


class Adapter(NamedTuple):
    """Trained weights that make a reader a verifier.

    Attributes:
        reader: Fingerprint of the reader that it was trained with.
        rank: The rank r of each layer's update.
        alpha: The update of a layer is alpha / r · BA (Hu et al., LoRA, arXiv:2106.09685, section 4.1).
        tensors: The matrices A and B of each layer, and the weight and bias of the head.
    """

    reader: str
    rank: int
    alpha: int
    tensors: Mapping[str, torch.Tensor]

    @classmethod
    def load(cls, path: Path) -> Adapter:
        """Read an adapter from a safetensors file.

        Raises:
            ModelNotFoundError: The file is missing or holds no adapter.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                made_of = json.loads(file.metadata()["adapter"])
                tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 - no mapping
            return cls(made_of["reader"], made_of["rank"], made_of["alpha"], tensors)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ModelNotFoundError(f"The file {str(path)!r} holds no adapter of a verifier: {error}") from error

    def save(self, path: Path) -> None:
        """Write the adapter to a safetensors file, in float16."""
        from safetensors.torch import save_file

        made_of = {"reader": self.reader, "rank": self.rank, "alpha": self.alpha}
        tensors = {name: tensor.detach().half().contiguous() for name, tensor in self.tensors.items()}
        save_file(tensors, path, metadata={"adapter": json.dumps(made_of)})


class CrossEncoder(torch.nn.Module):
    """An encoder that reads a question and a statement together, and a head that gives one number.

    The head is linear on the state of the first token and on the mean of all states.
    """

    def __init__(self, encoder: nn.Module, dim: int) -> None:
        """Put a head on an encoder whose states have the length `dim`."""
        super().__init__()
        self.encoder = encoder
        self.head = torch.nn.Linear(2 * dim, 1)

    def forward(self, **tokens: torch.Tensor) -> torch.Tensor:
        """The log odds, (n,), of n tokenized pairs."""
        logits: torch.Tensor = self.head(self.pooled(**tokens))[:, 0]
        return logits

    def pooled(self, **tokens: torch.Tensor) -> torch.Tensor:
        """The state of the first token and the mean of all, (n, 2 · dim)."""
        states = self.encoder(**tokens).last_hidden_state
        mask = tokens["attention_mask"][..., None].to(states.dtype)
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
        return torch.cat([states[:, 0], mean], dim=-1)


class ReaderVerifier:
    """Verifies with the weights of a reader and an adapter: one model in memory, two ways to read.

    Thread-safe: the adapter is put on the model once, before the first pair; a lock lets forward passes run one after
    another.
    """

    def __init__(self, adapter: Adapter, reader: EncoderReader | None = None) -> None:
        """Choose an adapter.

        Args:
            adapter: The adapter.
            reader: The reader that it was trained with, which is not changed; None for the default reader.

        Raises:
            ModelNotFoundError: The adapter was trained with another reader.
        """
        self._lock = Lock()
        self._adapter, self._reader = adapter, reader
        self._fingerprint = _hash(adapter)
        if reader is not None:
            _check_reader(adapter, reader)

    @cached_property
    def _model(self) -> tuple[Any, CrossEncoder]:
        """The tokenizer and the model."""
        reader = self._reader or load_reader()
        _check_reader(self._adapter, reader)
        return reader.model.tokenizer, _adapted(reader, self._adapter)

    @property
    def fingerprint(self) -> str:
        """A hash of the adapter's weights and the reader's fingerprint."""
        return self._fingerprint

    def log_odds(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """See `Verifier.log_odds`."""
        found = np.zeros(len(pairs))
        # Sorted by length, a batch needs little padding.
        order = sorted(range(len(pairs)), key=lambda place: len(pairs[place].question) + len(pairs[place].statement))
        for start in range(0, len(order), VERIFY_BATCH):
            places = order[start : start + VERIFY_BATCH]
            with self._lock, full_precision(), torch.inference_mode():
                tokenizer, model = self._model
                tokens = tokenize(tokenizer, [pairs[place] for place in places])
                device = model.head.weight.device
                logits = model(**{name: tensor.to(device) for name, tensor in tokens.items()})
            found[places] = logits.double().cpu().numpy()
        return found


def tokenize(tokenizer: Any, pairs: Sequence[Pair]) -> dict[str, torch.Tensor]:
    """Tokenize pairs for a `CrossEncoder`: the question is the first segment, the statement the second one."""
    tokens: dict[str, torch.Tensor] = tokenizer(
        [pair.question for pair in pairs],
        [pair.statement for pair in pairs],
        padding=True,
        truncation="only_second",
        max_length=MAX_TOKENS,
        return_tensors="pt",
    )
    return tokens


def inject(encoder: nn.Module, *, rank: int, alpha: int, dropout: float = 0.0) -> nn.Module:
    """Put an adapter into the linear layers of an encoder; at first it changes nothing."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=TARGETS)
    injected: nn.Module = inject_adapter_in_model(config, encoder)
    return injected


def _check_reader(adapter: Adapter, reader: EncoderReader) -> None:
    if adapter.reader != reader.fingerprint:
        raise ModelNotFoundError(
            f"The verifier was trained with the reader {adapter.reader}, and this one is {reader.fingerprint}. "
            f"Train one for it: `python -m benchmarks.fit.verifier`."
        )


def _adapted(reader: EncoderReader, adapter: Adapter) -> CrossEncoder:
    plain: Any = reader.model[0].auto_model
    # A second tree of modules that shares the frozen weights: to read turns without the adapter, and pairs with it.
    shared = {id(tensor): tensor for tensor in chain(plain.parameters(), plain.buffers())}
    encoder = inject(copy.deepcopy(plain, shared), rank=adapter.rank, alpha=adapter.alpha)
    model = CrossEncoder(encoder, reader.dim).to(plain.device)
    missing, unknown = model.load_state_dict(dict(adapter.tensors), strict=False)
    if unknown or any("lora" in name or name.startswith("head") for name in missing):
        raise ModelNotFoundError("The verifier's adapter does not fit the layers of its reader; train it again.")
    return model.eval().requires_grad_(requires_grad=False)


def _hash(adapter: Adapter) -> str:
    digest = hashlib.sha256(f"{adapter.reader} {adapter.rank} {adapter.alpha}".encode())
    for name, tensor in sorted(adapter.tensors.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()[:16]
