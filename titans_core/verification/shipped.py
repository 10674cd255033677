"""The verifiers that ship with the package, by their readers."""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from titans_core.readers import EncoderReader
from titans_core.verification.adapter import Adapter, ReaderVerifier

if TYPE_CHECKING:
    from titans_core.readers import Reader
    from titans_core.verification.protocol import Verifier

ADAPTER = "minilm.safetensors"
"""The adapter for the default reader; MODEL_CARD.md says what it was trained on, and how good it is."""


def make_verifier(verify: Verifier | bool, reader: Reader) -> Verifier | None:
    """Make the verifier of a memory.

    Args:
        verify: A verifier; True for the one that ships with the package, if it was trained with the reader; False for
            none.
        reader: The reader of the memory. If it is no `EncoderReader`, but its keys are those of the default reader, the
            default reader's model verifies.
    """
    if not isinstance(verify, bool):
        return verify
    if not verify or _adapter().reader != reader.fingerprint:
        return None
    return _verifier(reader if isinstance(reader, EncoderReader) else None)


@cache
def _adapter() -> Adapter:
    with as_file(files("titans_core.verification").joinpath(ADAPTER)) as path:
        return Adapter.load(path)


@cache
def _verifier(reader: EncoderReader | None) -> ReaderVerifier:
    return ReaderVerifier(_adapter(), reader)
