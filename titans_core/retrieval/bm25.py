"""Finds passages by words: BM25 over Porter stems, in memory."""

from __future__ import annotations

import math
import re
import unicodedata
from array import array
from collections import Counter, defaultdict
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from Stemmer import Stemmer

from titans_core.retrieval.english import content_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

MAX_QUERY_WORDS = 200
"""The most distinct words of a query that are looked up. A question has a tenth of them, a pasted page has more."""

MAX_STEMMED_CHARS = 64
"""The most characters of a word that is stemmed. A longer word is no English word, and is used as it is."""

K1 = 1.2
"""BM25's k1: how much a repeated word adds. This is the usual value, and that of SQLite's FTS5."""

B = 0.75
"""BM25's b: how much less the words of a long passage count, in [0, 1]. This is the usual value, and FTS5's."""

_SAVED = {
    "stems": torch.uint8,  # in UTF-8, each followed by a line feed, in the order of their first use
    "sizes": torch.int32,  # for each stem the number of passages that hold it
    "rows": torch.int32,  # stem by stem, the rows of these passages
    "counts": torch.int32,  # and the count of the stem in each
    "lengths": torch.int32,  # for each passage the number of its words
}


class BM25Index:
    """An index of the words of a tenant's m passages; rows count from 0.

    A word is a run of letters and digits, in lower case and without accents, as in SQLite's FTS5 with the tokenizer
    `porter unicode61`. Marks of other scripts are dropped like accents, which keeps their words whole. The scores equal
    those of FTS5's bm25, so that weights that were fitted to them stay valid. The stems of some words in -logy and -bly
    differ from FTS5's: of 6 words in LoCoMo's 5,787.

    Two kinds of words are not FTS5's. A run of Chinese, Japanese, Thai or another script without spaces gives its
    overlapping pairs of characters, so that any two neighbours in it are found. Marks are characters there, because
    they write the vowels. Each symbol or emoji (Unicode's category So) is a word of its own.
    """

    def __init__(self, name: str = "words") -> None:
        """Make an empty index.

        Args:
            name: The first part of the names of its tensors in a snapshot.
        """
        self._name = name
        self._lengths = array("i")
        # For each stem: row, count, row, count… A dict keeps the order, so that equal logs save equal tensors.
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
        """The BM25 score of each passage for the words of a query.

        There is no list of stop words: BM25 gives frequent words almost no weight, and where "I" is rare it says who
        asks (R@10 .541 against .499 with a list, on user–assistant chat). A word that half of the passages hold would
        have no weight or a negative one, and is left out.

        Args:
            words: The words with their frequencies, see `frequencies`. Two words of one stem count twice, as in FTS5.

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

    def shares(self, words: Mapping[str, int]) -> NDArray[np.float32]:
        """The share of a query's words that each passage holds, however frequent they are.

        Args:
            words: The words with their frequencies, see `frequencies`.

        Returns:
            float32 (m,), in [0, 1].
        """
        found = np.zeros(len(self), np.float32)
        for stem in _stems(words):
            found[np.frombuffer(self._postings.get(stem, array("i")), np.int32)[::2]] += 1
        return found / np.float32(max(len(words), 1))

    def saved(self) -> dict[str, torch.Tensor]:
        """The tensors that a snapshot saves; equal indexes give equal tensors."""
        pairs = np.frombuffer(b"".join(self._postings.values()), np.int32).reshape(-1, 2)
        arrays: tuple[NDArray[np.uint8 | np.int32], ...] = (
            np.frombuffer("".join(f"{stem}\n" for stem in self._postings).encode(), np.uint8),
            np.array([len(posting) // 2 for posting in self._postings.values()], np.int32),
            pairs[:, 0],
            pairs[:, 1],
            np.array(self._lengths, np.int32),
        )
        return {
            f"{self._name}.{part}": torch.from_numpy(found.copy()) for part, found in zip(_SAVED, arrays, strict=True)
        }

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> bool:
        """Fill an empty index with the tensors that `saved` returned.

        Args:
            tensors: The tensors, by name.

        Returns:
            Whether the tensors are intact and fit together; if not, the index is unchanged.
        """
        found = {part: tensors.get(f"{self._name}.{part}", torch.empty(())) for part in _SAVED}
        if any(tensor.dtype != _SAVED[part] or tensor.ndim != 1 for part, tensor in found.items()):
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


_UNSPACED = "\0"
"""Stands before each character of a script without spaces in a folded text. No character folds to it."""

_UNSPACED_NAMES = re.compile(
    r"(?:COMBINING |HALFWIDTH |VERTICAL )?"
    r"(?:CJK|IDEOGRAPHIC|HANGZHOU|HIRAGANA|HENTAIGANA|KATAKANA|KANA|YI SYLLABLE"
    r"|THAI|LAO|KHMER|MYANMAR|TAI LE|NEW TAI LUE|TAI THAM|TAI VIET)\b"
)
"""How Unicode's names of the characters of scripts without spaces between words begin."""

_RUN = re.compile(f"(?:{_UNSPACED}.)+|[^{_UNSPACED} ]+")


def is_unspaced(text: str) -> bool:
    """Whether a text holds a character of a script without spaces between words."""
    return _UNSPACED in text.translate(_FOLDED)


class _Folded(dict[int, str]):
    """For each code point its form in a word: small letters or digits without accents; a space separates words."""

    def __missing__(self, code: int) -> str:
        # Only canonical decomposition (NFD): with NFKD, 8² would be the word 82.
        folded = "".join(_fold(part) for part in unicodedata.normalize("NFD", chr(code)))
        if code < 0x20000:  # higher code points are rare, and too many to keep; emoji are lower
            self[code] = folded
        return folded


_FOLDED = _Folded()


def _words_of(text: str) -> list[str]:
    folded = text.translate(_FOLDED)
    if _UNSPACED not in folded:
        return folded.split()
    # The marks stay, so they need the order that is the same for every encoding.
    folded = unicodedata.normalize("NFD", text).translate(_FOLDED)
    return [word for run in _RUN.findall(folded) for word in _words_in(run)]


def _words_in(run: str) -> list[str]:
    """The words of a folded run: itself, or the pairs of its characters if its script has no spaces."""
    if not run.startswith(_UNSPACED):
        return [run]
    chars = run[1::2]
    return [chars[start : start + 2] for start in range(max(len(chars) - 1, 1))]


def content_stems(text: str) -> set[str]:
    """The stems of a text's content words, see `content_words`."""
    return {_stem(word) for word in content_words(text)}


def _stems(words: Iterable[str]) -> list[str]:
    """The stem of each word, as in FTS5. Words of one or two letters stay, or "is" would be "i"."""
    return [_stem(word) if 2 < len(word) <= MAX_STEMMED_CHARS else word for word in words]


@lru_cache(maxsize=20_000)  # ten times faster than stemming each time
def _stem(word: str) -> str:
    # A stemmer is not thread-safe, and creating one is faster than a lock.
    found: str = Stemmer("porter", 0).stemWord(word)
    return found


def _fold(part: str) -> str:
    category = unicodedata.category(part)
    if category == "So":
        return f" {part.casefold()} "
    if (part.isalnum() or category[0] == "M") and _UNSPACED_NAMES.match(unicodedata.name(part, "")):
        return _UNSPACED + part
    if category[0] == "M":
        return ""
    return part.casefold() if part.isalnum() or category == "Co" else " "


def _stems_in(text: bytes) -> list[str]:
    """The saved stems; an empty list if they are damaged."""
    try:
        *stems, rest = text.decode().split("\n")
    except UnicodeDecodeError:
        return []
    return stems if not rest and len(set(stems)) == len(stems) else []


def _fit(
    sizes: NDArray[np.int32], rows: NDArray[np.int32], counts: NDArray[np.int32], lengths: NDArray[np.int32]
) -> bool:
    """Whether saved arrays fit together: each passage has the words that are counted in it, each stem once."""
    if not len(rows) == len(counts) == sizes.sum() or (sizes < 1).any() or (counts < 1).any():
        return False
    if ((rows < 0) | (rows >= len(lengths))).any():
        return False
    ascending = np.diff(rows, prepend=-1) > 0
    ascending[np.cumsum(sizes) - sizes] = True  # a stem's first row
    return bool(ascending.all()) and np.array_equal(np.bincount(rows, counts, len(lengths)), lengths)
