"""A state as bytes in the safetensors format, with the metadata that tells whether the bytes can be trusted.

The header's metadata has one entry, `titans`, a JSON object: `format` (version of this format), `spec` (the choices as
text, for people), `fingerprint` (the choices as a hash, for programs), `position` (last turn of the log that the state
has learned) and `sha256` (checksum of everything else). There is only one entry, because safetensors writes several
entries in no fixed order, and equal states must give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from titans_core.errors import CorruptStateError
from titans_core.neural.state import MemoryState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from titans_core.neural.spec import MemorySpec

FORMAT = "1"


def dump_state(spec: MemorySpec, state: MemoryState, *, position: int = 0) -> bytes:
    """Convert a state to bytes in the safetensors format.

    Args:
        spec: The memory's choices.
        state: The memory's state.
        position: Position of the last turn of the log that the state has learned; 0 without a log.

    Returns:
        The bytes; equal states give equal bytes.
    """
    metadata = {
        "format": FORMAT,
        "spec": repr(spec),
        "fingerprint": spec.fingerprint,
        "position": position,
    }
    return seal(state.tensors(), metadata)


def load_state(spec: MemorySpec, data: bytes) -> tuple[MemoryState, int]:
    """Read a state from bytes.

    Args:
        spec: Choices of the memory that learned the state.
        data: Bytes that `dump_state` returned.

    Returns:
        The state, and the position that was saved with it.

    Raises:
        CorruptStateError: The bytes are damaged, or they belong to another format or another spec.
    """
    tensors, metadata, intact = unseal(data)
    if metadata.get("format") != FORMAT:
        raise CorruptStateError(
            f"The saved state has format {metadata.get('format')!r}, but this version reads {FORMAT!r}. "
            "Rebuild it from the log."
        )
    if metadata.get("fingerprint") != spec.fingerprint:
        raise CorruptStateError(
            f"The saved state was learned under another spec: {metadata.get('spec')}. "
            "Use that spec, or rebuild the state from the log."
        )
    state = MemoryState.from_tensors(spec, tensors)
    if state is None or not intact:
        raise CorruptStateError("The saved state does not match its checksum. Rebuild it from the log.")
    return state, int(metadata.get("position", 0))


def seal(tensors: Mapping[str, Tensor], metadata: Mapping[str, object]) -> bytes:
    """Convert tensors to bytes in the safetensors format, with a checksum.

    Args:
        tensors: The tensors by name.
        metadata: JSON values to store beside the tensors. The checksum covers them too.

    Returns:
        The bytes.
    """
    entry = {**metadata, "sha256": _checksum(metadata, tensors)}
    return save(dict(tensors), metadata={"titans": json.dumps(entry, sort_keys=True)})


def unseal(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any], bool]:
    """Read tensors and their metadata from bytes that `seal` returned.

    Args:
        data: The bytes.

    Returns:
        The tensors by name, the metadata, and whether the checksum is correct.

    Raises:
        CorruptStateError: The bytes cannot be read as such a file.
    """
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = dict(json.loads(header.get("__metadata__", {}).get("titans", "{}")))
        checksum = metadata.pop("sha256", None)
        return tensors, metadata, checksum == _checksum(metadata, tensors)
    except (SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise CorruptStateError(f"The saved state cannot be read: {error}. Rebuild it from the log.") from error


def _checksum(metadata: Mapping[str, object], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
