"""What the memory is compared with, over the same turns: cosine of sentence vectors, and BM25.

Both rank whole turns, without splitting, neighbours or filters: once by their bare text, as the usual
tutorial does; and once ("+s") by "speaker: text", which is stronger where questions name the speakers, and
closer to what the memory is given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import bm25s
import numpy as np
import Stemmer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer


def cosine_scores(model: SentenceTransformer, turns: Sequence[str], queries: Sequence[str]) -> NDArray[np.float32]:
    """The cosine of every query (rows) with every turn (columns), by the sentence vectors of the model."""
    of_turns = model.encode(list(turns), normalize_embeddings=True, show_progress_bar=False)
    of_queries = model.encode(list(queries), normalize_embeddings=True, show_progress_bar=False)
    scores: NDArray[np.float32] = of_queries @ of_turns.T
    return scores


def bm25_scores(turns: Sequence[str], queries: Sequence[str]) -> NDArray[np.float32]:
    """BM25 of every query with every turn: k1 1.5, b .75, Porter stems, English stop words."""
    stemmer = Stemmer.Stemmer("porter")

    def words(texts: Sequence[str]) -> list[list[str]]:
        found: list[list[str]] = bm25s.tokenize(
            list(texts), stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
        )
        return found

    index = bm25s.BM25()
    index.index(words(turns), show_progress=False)
    return np.stack([index.get_scores(query) for query in words(queries)])


def rank(scores: NDArray[np.float32], ids: Sequence[str], k: int) -> list[list[str]]:
    """The ids of the k best columns of each row, best first; of equals the earlier comes first."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [[ids[column] for column in row] for row in order]
