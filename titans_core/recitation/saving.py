"""Weights in a safetensors file, with what is needed to know whether they may be trusted.

The header's metadata holds one entry, `titans`, a JSON object: `format`, `sha256` (of all the rest), and what the
weights were learned with. Nothing of the language model is in the file.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from titans_core.errors import CorruptStateError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

FORMAT = "recitation-1"


def save_weights(path: str | Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors, and JSON values about them, to a file, which is replaced as a whole."""
    named = {name: tensor.contiguous() for name, tensor in tensors.items()}
    body = save(named, metadata={"titans": json.dumps(_sealed(named, about), sort_keys=True)})
    unfinished = Path(f"{path}.unfinished")
    unfinished.write_bytes(body)
    unfinished.replace(path)


def load_weights(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file, and what was said about them.

    Raises:
        CorruptStateError: the file is damaged, or none of these.
        OSError: it cannot be read.
    """
    data = Path(path).read_bytes()
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = dict(json.loads(header["__metadata__"]["titans"]))
        found = about.pop("sha256", None)
        right = about.pop("format", None) == FORMAT and found == _sealed(tensors, about)["sha256"]
    except (SafetensorError, LookupError, ValueError, TypeError) as error:
        raise CorruptStateError(
            f"{path} holds no weights of a recitation: {error}. Learn them from the log."
        ) from error
    if not right:
        raise CorruptStateError(f"{path} is damaged or of another version. Learn the weights from the log.")
    return tensors, about


def _sealed(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return {**about, "format": FORMAT, "sha256": digest.hexdigest()}
