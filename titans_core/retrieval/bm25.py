"""Finds by words: BM25 over Porter stems, in memory."""

from __future__ import annotations

import math
import unicodedata
from array import array
from collections import Counter, defaultdict
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from Stemmer import Stemmer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

MAX_QUERY_WORDS = 200
"""The most distinct words of a query that are looked up: a question has a tenth of them, a pasted page more."""

MAX_STEMMED_CHARS = 64
"""The most characters of a word that is stemmed: a longer one is no English word, and is taken as it is."""

K1 = 1.2
"""How much more a word counts that is said again: the usual choice, and that of SQLite's FTS5."""

B = 0.75
"""How much a long passage's words count less, from 0 to 1; likewise."""

_SAVED = {
    "words.stems": torch.uint8,  # in UTF-8, each ended by a line feed, in the order in which they were first said
    "words.sizes": torch.int32,  # of each stem, the passages that hold it
    "words.rows": torch.int32,  # stem by stem, which these are
    "words.counts": torch.int32,  # and how often each says it
    "words.lengths": torch.int32,  # of each passage, its words
}


class BM25Index:
    """The words of a tenant's passages, m of them; their rows count from 0.

    A word is a run of letters and digits, in lower case and without accents, as in SQLite's FTS5 with the tokenizer
    `porter unicode61`. The marks of other scripts are dropped like accents, which keeps their words whole. The scores
    are those of FTS5's bm25 too, so that what was fitted to them stays valid. The stems of some words in -logy and -bly
    differ from FTS5's, of 6 words in LoCoMo's 5,787.
    """

    def __init__(self) -> None:
        self._lengths = array("i")
        # Of each stem: row, count, row, count… A dict keeps them in order, so that equal logs save equal tensors.
        self._postings: defaultdict[str, array[int]] = defaultdict(lambda: array("i"))

    def __len__(self) -> int:
        """The number of passages, m."""
        return len(self._lengths)

    def add(self, text: str) -> None:
        """Add the words of the next passage."""
        words, row = _words_of(text), len(self)
        self._lengths.append(len(words))
        for stem, count in Counter(_stems(words)).items():
            posting = self._postings[stem]
            posting.append(row)
            posting.append(count)

    def frequencies(self, query: str) -> dict[str, int]:
        """The query's first `MAX_QUERY_WORDS` distinct words, each with the number of passages that hold its stem."""
        words = list(islice(dict.fromkeys(_words_of(query)), MAX_QUERY_WORDS))
        return {word: len(self._postings.get(stem, ())) // 2 for word, stem in zip(words, _stems(words), strict=True)}

    def scores(self, words: Mapping[str, int]) -> NDArray[np.float32]:
        """BM25 of each passage for any of a query's words.

        There is no list of stop words: BM25 gives frequent words next to no weight, and where "I" is rare it tells
        who is asking (R@10 .541 against .499 with a list, on user–assistant chat). But BM25 gives no weight at all to
        what half of the passages hold, or a negative one: such a word is left out.

        Args:
            words: see `frequencies`. Two of one stem count twice, as in FTS5.

        Returns:
            float32 (m,), at least 0; 0 where no word matches.
        """
        scores = np.zeros(len(self))
        informative = [word for word, count in words.items() if 0 < count < len(self) / 2]
        if informative:
            lengths = np.frombuffer(self._lengths, np.int32)
            norms = K1 * (1 - B + B * lengths / lengths.mean())
            for word, stem in zip(informative, _stems(informative), strict=True):
                rows, counts = np.frombuffer(self._postings[stem], np.int32).reshape(-1, 2).T
                rarity = math.log((len(self) - words[word] + 0.5) / (words[word] + 0.5))
                scores[rows] += rarity * (K1 + 1) * counts / (counts + norms[rows])
        return scores.astype(np.float32)

    def saved(self) -> dict[str, torch.Tensor]:
        """All of it for a snapshot; equal ones give equal tensors."""
        pairs = np.frombuffer(b"".join(self._postings.values()), np.int32).reshape(-1, 2)
        arrays: tuple[NDArray[np.uint8 | np.int32], ...] = (
            np.frombuffer("".join(f"{stem}\n" for stem in self._postings).encode(), np.uint8),
            np.array([len(posting) // 2 for posting in self._postings.values()], np.int32),
            pairs[:, 0],
            pairs[:, 1],
            np.array(self._lengths, np.int32),
        )
        return {name: torch.from_numpy(found.copy()) for name, found in zip(_SAVED, arrays, strict=True)}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> bool:
        """Fill an empty one with what another had `saved`.

        Returns:
            Whether the tensors are whole and fit together; if not, nothing has changed.
        """
        found = {name: tensors.get(name, torch.empty(())) for name in _SAVED}
        if any(tensor.dtype != _SAVED[name] or tensor.ndim != 1 for name, tensor in found.items()):
            return False
        text, sizes, rows, counts, lengths = (tensor.numpy() for tensor in found.values())
        stems = _stems_in(text.tobytes())
        if len(stems) != len(sizes) or not _fit(sizes, rows, counts, lengths):
            return False
        pairs, ends = np.stack([rows, counts], axis=1), np.cumsum(sizes).tolist()
        for stem, start, end in zip(stems, [0, *ends], ends, strict=False):
            self._postings[stem].frombytes(pairs[start:end].tobytes())
        self._lengths.frombytes(lengths.tobytes())
        return True


class _Folded(dict[int, str]):
    """By code point, what a character is in a word: small letters or digits without accents; a space between words."""

    def __missing__(self, code: int) -> str:
        # Decomposed canonically only: else 8² would be the word 82.
        folded = "".join(_fold(part) for part in unicodedata.normalize("NFD", chr(code)))
        if code < 0x10000:  # those beyond are rare, and too many to keep
            self[code] = folded
        return folded


_FOLDED = _Folded()


def _words_of(text: str) -> list[str]:
    return text.translate(_FOLDED).split()


def _stems(words: Iterable[str]) -> list[str]:
    """The stem of each word, as FTS5 has it: without a shortest length "is" would be "i", and the s of "Tom's" ""."""
    return [_stem(word) if 2 < len(word) <= MAX_STEMMED_CHARS else word for word in words]


@lru_cache(maxsize=20_000)  # ten times as fast as stemming each time
def _stem(word: str) -> str:
    # A stemmer is not thread-safe, and takes less time to make than to lock.
    stem: str = Stemmer("porter", 0).stemWord(word)
    return stem


def _fold(part: str) -> str:
    if unicodedata.category(part).startswith("M"):
        return ""
    return part.casefold() if part.isalnum() or unicodedata.category(part) == "Co" else " "


def _stems_in(text: bytes) -> list[str]:
    """The saved stems; none if they are not whole."""
    try:
        *stems, rest = text.decode().split("\n")
    except UnicodeDecodeError:
        return []
    return stems if not rest and len(set(stems)) == len(stems) else []


def _fit(
    sizes: NDArray[np.int32], rows: NDArray[np.int32], counts: NDArray[np.int32], lengths: NDArray[np.int32]
) -> bool:
    """Whether saved arrays are of one state: each passage has the words that are counted in it, each stem once."""
    if not len(rows) == len(counts) == sizes.sum() or (sizes < 1).any() or (counts < 1).any():
        return False
    if ((rows < 0) | (rows >= len(lengths))).any():
        return False
    ascending = np.diff(rows, prepend=-1) > 0
    ascending[np.cumsum(sizes) - sizes] = True  # a stem's first row
    return bool(ascending.all()) and np.array_equal(np.bincount(rows, counts, len(lengths)), lengths)
