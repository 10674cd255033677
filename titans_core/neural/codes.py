"""Address codes of a bounded memory: random codes, so that the weights do not grow with the number of turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# SplitMix64 (public domain, S. Vigna) turns consecutive numbers into independent 64-bit words.
_GAMMA, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def address_codes(addresses: Sequence[int], size: int) -> Tensor:
    """Return the code of each address: ±1/√size, equal for equal addresses, nearly orthogonal for different ones.

    Codes are not stored: each is a hash of its address. The inner product of two different codes is 0 ± 1/√size. This
    is the noise that every other turn in the same weights adds to an answer.

    Args:
        addresses: n whole numbers in [0, 2⁶³), for example the positions of turns in the log.
        size: Length c of a code; above 0.

    Returns:
        The codes, float32 (n, c); each row has unit length.
    """
    numbers = _mix(torch.tensor(list(addresses), dtype=torch.int64))
    words = torch.arange(1, -(-size // 32) + 1, dtype=torch.int64)
    mixed = _mix(numbers[:, None] + words * _to_signed(_GAMMA))
    bits = (mixed[..., None] >> torch.arange(32)) & 1
    signs = (2 * bits - 1).flatten(1)[:, :size]
    codes: Tensor = signs.float() / size**0.5
    return codes


def _mix(words: Tensor) -> Tensor:
    """Hash 64-bit words: different words stay different, and their order leaves no trace."""
    words = (words ^ _shift_right(words, 30)) * _to_signed(_FIRST)
    words = (words ^ _shift_right(words, 27)) * _to_signed(_SECOND)
    return words ^ _shift_right(words, 31)


def _to_signed(word: int) -> int:
    """Return the same 64 bits as a signed integer, the kind that torch computes with."""
    return word - (1 << 64) if word >= 1 << 63 else word


def _shift_right(words: Tensor, bits: int) -> Tensor:
    """Shift to the right and fill with zeros."""
    return (words >> bits) & ((1 << (64 - bits)) - 1)
