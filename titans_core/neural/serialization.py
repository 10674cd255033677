"""A state as bytes: safetensors, with what is needed to know whether the bytes may be trusted.

The header's metadata holds one entry, `titans`, a JSON object: `format` (this file's version), `spec` (the choices, for
people), `fingerprint` (the same, for programs), `position` (the last turn of the log that the state has learned) and
`sha256` (of all the rest). One entry, because safetensors writes several in no fixed order, and equal states
are to give equal bytes.
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
    """The state in the safetensors format.

    Args:
        spec: the memory's choices.
        state: what it has learned.
        position: the last turn of the log that it has learned; 0 without a log.
    """
    about = {
        "format": FORMAT,
        "spec": repr(spec),
        "fingerprint": spec.fingerprint,
        "position": position,
    }
    return seal(state.tensors(), about)


def load_state(spec: MemorySpec, data: bytes) -> tuple[MemoryState, int]:
    """The state and the position that were saved.

    Args:
        spec: the choices that the state was learned under.
        data: what `dump_state` returned.

    Raises:
        CorruptStateError: the bytes are damaged, of another version, or of another spec.
    """
    tensors, about, intact = unseal(data)
    if about.get("format") != FORMAT:
        raise CorruptStateError(
            f"The saved state is of format {about.get('format')!r}, this version reads {FORMAT!r}. "
            "Rebuild it from the log."
        )
    if about.get("fingerprint") != spec.fingerprint:
        raise CorruptStateError(
            f"The saved state was learned under another spec: {about.get('spec')}. Use that one, or rebuild it."
        )
    state = MemoryState.from_tensors(spec, tensors)
    if state is None or not intact:
        raise CorruptStateError("The saved state does not match its checksum. Rebuild it from the log.")
    return state, int(about.get("position", 0))


def seal(tensors: Mapping[str, Tensor], about: Mapping[str, object]) -> bytes:
    """Tensors in the safetensors format, with JSON values about them and a checksum over both."""
    sealed = {**about, "sha256": _checksum(about, tensors)}
    return save(dict(tensors), metadata={"titans": json.dumps(sealed, sort_keys=True)})


def unseal(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any], bool]:
    """The tensors of what `seal` returned, what was said about them, and whether the checksum fits.

    Raises:
        CorruptStateError: the bytes are no such file.
    """
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        about = dict(json.loads(header.get("__metadata__", {}).get("titans", "{}")))
        found = about.pop("sha256", None)
        return tensors, about, found == _checksum(about, tensors)
    except (SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise CorruptStateError(f"The saved state cannot be read: {error}. Rebuild it from the log.") from error


def _checksum(about: Mapping[str, object], tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
