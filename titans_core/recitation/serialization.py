"""Weights of a recitation in a sealed safetensors file; nothing of the language model is in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from titans_core.errors import CorruptStateError
from titans_core.neural.serialization import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

FORMAT = "recitation-1"


def save_weights(path: str | Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors, and JSON values about them, to a file, which is replaced as a whole."""
    unfinished = Path(f"{path}.unfinished")
    named = {name: tensor.contiguous() for name, tensor in tensors.items()}
    unfinished.write_bytes(seal(named, {**about, "format": FORMAT}))
    unfinished.replace(path)


def load_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file, and what was said about them.

    Raises:
        CorruptStateError: the file is damaged, or none of these.
        OSError: it cannot be read.
    """
    data = Path(path).read_bytes()
    try:
        tensors, about, intact = unseal(data)
    except CorruptStateError as error:
        raise CorruptStateError(f"{path} holds no weights of a recitation. Learn them from the log.") from error
    if about.pop("format", None) != FORMAT or not intact:
        raise CorruptStateError(f"{path} is damaged or of another version. Learn the weights from the log.")
    return tensors, about
