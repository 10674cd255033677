"""Compares a passage with earlier ones: overlap under the neural memory, and the same words."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from titans_core.neural import MemoryState
    from titans_core.retrieval.index import Index

DUPLICATE = 0.8
"""The least overlap of two passages with the same words that count as duplicates. In LoCoMo 99.5 % of the turns have no
other turn with this overlap; the same words with other punctuation overlap by at least .82 in 99 % of the cases."""

_NEAREST = 8


def nearest_passages(
    index: Index, state: MemoryState, column: NDArray[np.floating], sketch: NDArray[np.float32]
) -> list[tuple[int, float]]:
    """Find the earlier passages that are nearest to a passage, under the neural memory.

    The overlap of two columns is their cosine under P, ⟨y, P z⟩ / (‖y‖_P ‖z‖_P): parts that all passages have in common
    do not count. Sketches select the few passages whose overlap is computed.

    Args:
        index: The passages so far.
        state: The neural memory's weights.
        column: (d,), the sum of the passage's keys.
        sketch: The sketch of the column, see `Index.sketch`.

    Returns:
        Rows and overlaps in [0, 1] of the nearest passages, nearest first; [(-1, 0)] if there are none.
    """
    passages = index.passages()
    if not len(passages.numbers):
        return [(-1, 0.0)]
    likeness = torch.from_numpy(passages.sketches) @ torch.from_numpy(sketch)
    near = likeness.topk(min(_NEAREST, len(likeness))).indices
    stored = np.concatenate([passages.columns[near.numpy()], column[None]])
    columns = torch.from_numpy(stored).double()
    projected = columns @ state.inverse
    squares = (projected * columns).sum(-1)
    overlaps = (projected[:-1] @ columns[-1] / (squares[:-1] * squares[-1]).clamp(min=1e-24).sqrt()).clamp(0, 1)
    order = overlaps.argsort(descending=True, stable=True)
    return list(zip(near[order].tolist(), overlaps[order].tolist(), strict=True))


def same_words(one: str, other: str) -> bool:
    """Whether two texts have the same words, whatever their case, order and punctuation.

    The states of a frozen reader hardly change for a "not" or another number (their overlap is .98 and more), so that
    overlap alone would take a correction for a repetition. The reader may know no token of a text without words, such
    as an emoji: two of these must be equal as a whole.
    """
    words = words_of(one)
    return words == words_of(other) and (bool(words) or _composed(one) == _composed(other))


def words_of(text: str) -> Counter[str]:
    """The words of a text with their counts, whatever their case, order, punctuation and encoding."""
    # Marks are parts of words: many scripts write vowels with them.
    characters = ((char, unicodedata.category(char)[0]) for char in _composed(text.casefold()))
    return Counter("".join(char if kind in "LMN" else " " for char, kind in characters).split())


def _composed(text: str) -> str:
    """The text in composed form (NFC), which nearly all texts have."""
    return unicodedata.normalize("NFC", text)
