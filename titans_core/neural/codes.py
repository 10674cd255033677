"""Addresses of a bounded memory: random codes, so that the weights do not grow with the number of turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

# SplitMix64 (public domain, S. Vigna): turns consecutive numbers into independent 64-bit words.
_GAMMA, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def address_codes(addresses: Sequence[int], size: int) -> Tensor:
    """The code of each address: ±1/√size, equal for equal addresses, and nearly orthogonal for different ones.

    Nothing is stored: the code is a hash. Two of them have an inner product of 0 ± 1/√size, which is the noise that an
    answer picks up from each of the other turns in the same weights.

    Args:
        addresses: n whole numbers in [0, 2⁶³), the positions of turns in the log, say.
        size: c, the numbers of a code; above 0.

    Returns:
        float32 (n, c), rows of unit length.
    """
    numbers = _mixed(torch.tensor(list(addresses), dtype=torch.int64))
    words = torch.arange(1, -(-size // 32) + 1, dtype=torch.int64)
    mixed = _mixed(numbers[:, None] + words * _signed(_GAMMA))
    bits = (mixed[..., None] >> torch.arange(32)) & 1
    signs = (2 * bits - 1).flatten(1)[:, :size]
    codes: Tensor = signs.float() / size**0.5
    return codes


def _mixed(words: Tensor) -> Tensor:
    """Different words for different words, without any trace of their order."""
    words = (words ^ _shifted(words, 30)) * _signed(_FIRST)
    words = (words ^ _shifted(words, 27)) * _signed(_SECOND)
    return words ^ _shifted(words, 31)


def _signed(word: int) -> int:
    """The same 64 bits as torch's signed integer."""
    return word - (1 << 64) if word >= 1 << 63 else word


def _shifted(words: Tensor, bits: int) -> Tensor:
    """A shift to the right that fills with zeros."""
    return (words >> bits) & ((1 << (64 - bits)) - 1)
