"""The baselines that the memory is compared with: cosine similarity of sentence embeddings, and BM25.

Both rank the same whole turns, without splitting, neighbours or filters. They do it twice: by the bare text, as the
usual tutorial does, and ("+s") by "speaker: text". The second form is stronger where questions name the speakers, and
closer to what the memory gets.
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
    """Compute the cosine similarity of the model's sentence embeddings for each query and turn.

    Args:
        model: The embedding model.
        turns: The texts of n turns.
        queries: The texts of q queries.

    Returns:
        float32 (q, n), in [-1, 1].
    """
    turn_vectors = model.encode(list(turns), normalize_embeddings=True, show_progress_bar=False)
    query_vectors = model.encode(list(queries), normalize_embeddings=True, show_progress_bar=False)
    scores: NDArray[np.float32] = query_vectors @ turn_vectors.T
    return scores


def bm25_scores(turns: Sequence[str], queries: Sequence[str]) -> NDArray[np.float32]:
    """Compute BM25 for each query and turn, with k1 = 1.5, b = .75, Porter stems and English stop words.

    Args:
        turns: The texts of n turns.
        queries: The texts of q queries.

    Returns:
        float32 (q, n), higher is better.
    """
    stemmer = Stemmer.Stemmer("porter")

    def tokenize(texts: Sequence[str]) -> list[list[str]]:
        tokens: list[list[str]] = bm25s.tokenize(
            list(texts), stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
        )
        return tokens

    index = bm25s.BM25()
    index.index(tokenize(turns), show_progress=False)
    return np.stack([index.get_scores(query) for query in tokenize(queries)])


def rank(scores: NDArray[np.float32], ids: Sequence[str], k: int) -> list[list[str]]:
    """Rank the turns for each query.

    Args:
        scores: float32 (q, n), the score of each turn (column) for each query (row).
        ids: The ids of the n turns.
        k: The number of turns to return for each query.

    Returns:
        The ids of the k best turns for each query, best first. Equal scores keep the order of the turns.
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return [[ids[column] for column in row] for row in order]
