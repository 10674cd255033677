"""The file of a recitation's weights: a safetensors file with a checksum. It holds nothing of the language model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from titans_core._utils.atomic import atomic_write
from titans_core.errors import CorruptStateError
from titans_core.neural.serialization import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

FORMAT = "recitation-1"


def save_weights(path: str | Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors and their metadata to a file. An existing file is replaced as a whole.

    Args:
        path: Path of the file.
        tensors: The tensors by name.
        about: The metadata: JSON values by name.

    Raises:
        UnwritableError: The file cannot be written.
    """
    named = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with atomic_write(path) as [part]:
        part.write_bytes(seal(named, {**about, "format": FORMAT}))


def load_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors of a file and their metadata.

    Args:
        path: Path of the file.

    Raises:
        CorruptStateError: The file is damaged, or it is not a file of `save_weights`.
        OSError: The file cannot be read.
    """
    data = Path(path).read_bytes()
    try:
        tensors, about, intact = unseal(data)
    except CorruptStateError as error:
        raise CorruptStateError(f"{path} is not a file of recitation weights. Learn them from the log.") from error
    if about.pop("format", None) != FORMAT or not intact:
        raise CorruptStateError(f"{path} is damaged or of another version. Learn the weights from the log.")
    return tensors, about
