"""Late interaction computed from packed codes equals its definition."""

import numpy as np
import pytest

from titans_core.episodes import decode_keys, encode_keys
from titans_core.recalling.late import late_scores


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def definition(query, weights, mean, packed):
    """Σ_q w_q max_k cos(q − μ, k − μ) / Σ_q w_q, passage by passage."""
    scores = []
    for keys in packed:
        centred = unit(decode_keys(keys, len(mean)) - mean)
        cosines = unit(query - mean) @ centred.T
        scores.append((weights * cosines.max(axis=1)).sum() / weights.sum())
    return scores


@pytest.mark.parametrize("seed", range(5))
def test_the_fast_path_equals_the_definition(seed):
    generator = np.random.default_rng(seed)
    passages = [unit(generator.normal(size=(n, 64)) + 0.5).astype(np.float32) for n in (1, 7, 30)]
    query = unit(generator.normal(size=(5, 64)) + 0.5).astype(np.float32)
    weights = generator.uniform(0.1, 1, 5).astype(np.float32)
    mean = np.concatenate(passages).mean(axis=0)
    packed = [encode_keys(keys) for keys in passages]
    np.testing.assert_allclose(
        late_scores(query, weights, mean, packed), definition(query, weights, mean, packed), atol=1e-5
    )


def test_a_passage_without_keys_is_last():
    keys = unit(np.random.default_rng(0).normal(size=(3, 8))).astype(np.float32)
    scores = late_scores(keys, np.ones(3, np.float32), np.zeros(8, np.float32), [b"", encode_keys(keys), b""])
    assert scores[0] == scores[2] == -1
    assert scores[1] > 0.9


def test_a_query_without_keys_scores_nothing():
    empty = np.zeros((0, 8), np.float32)
    keys = encode_keys(np.eye(8, dtype=np.float32))
    assert late_scores(empty, np.zeros(0, np.float32), np.zeros(8, np.float32), [keys]).tolist() == [-1]
