"""Late interaction computed from packed codes, in context, equals its definition."""

import numpy as np
import pytest

from titans_core.retrieval.late_interaction import CONTEXT, in_context, maxsim_scores, token_matches, token_salience
from titans_core.storage import decode_keys, encode_keys

NOBODY = np.array([-1])


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def defined_matches(query, mean, packed):
    """max(0, max_k cos(q − μ, k − μ)), passage by passage and token by token."""
    return [
        [max(0, *(unit(token - mean) @ unit(key - mean) for key in decode_keys(keys, len(mean)))) for token in query]
        for keys in packed
    ]


def defined_score(matches, weights, passage, before, after):
    """Σ_q w_q max(m_q, .9 m_q of the passage before, .9 m_q of the passage after) / Σ_q w_q."""
    total = 0.0
    for token, weight in enumerate(weights):
        beside = [CONTEXT * matches[near][token] for near in (before, after) if near >= 0]
        total += weight * max([matches[passage][token], *beside])
    return total / sum(weights)


@pytest.mark.parametrize("seed", range(5))
def test_the_fast_path_equals_the_definition(seed):
    generator = np.random.default_rng(seed)
    passages = [unit(generator.normal(size=(n, 64)) + 0.5).astype(np.float32) for n in (1, 7, 30, 4)]
    query = unit(generator.normal(size=(5, 64)) + 0.5).astype(np.float32)
    weights = generator.uniform(0.1, 1, 5).astype(np.float32)
    mean = np.concatenate(passages).mean(axis=0)
    packed = [encode_keys(keys) for keys in passages]
    matches = token_matches(query, mean, packed)
    np.testing.assert_allclose(matches, defined_matches(query, mean, packed), atol=1e-5)
    chosen, before, after = np.array([3, 0, 2]), np.array([2, -1, 1]), np.array([-1, 1, 3])
    expected = [defined_score(matches, weights, *places) for places in zip(chosen, before, after, strict=True)]
    np.testing.assert_allclose(maxsim_scores(in_context(matches, chosen, before, after), weights), expected, atol=1e-5)


def test_a_passage_without_keys_is_last():
    keys = unit(np.random.default_rng(0).normal(size=(3, 8))).astype(np.float32)
    matches = token_matches(keys, np.zeros(8, np.float32), [b"", encode_keys(keys), b""])
    scores = maxsim_scores(matches, np.ones(3, np.float32))
    assert scores[0] == scores[2] == 0
    assert scores[1] > 0.9


def test_a_query_without_keys_scores_nothing():
    matches = token_matches(
        np.zeros((0, 8), np.float32), np.zeros(8, np.float32), [encode_keys(np.eye(8, dtype=np.float32))]
    )
    weights = token_salience(matches, np.zeros(0, np.float32))
    assert maxsim_scores(in_context(matches, np.array([0]), NOBODY, NOBODY), weights).tolist() == [0]


def test_what_the_neighbours_match_counts_a_little_less():
    matches = np.array([[0.9, 0.0], [0.0, 0.8]], np.float32)
    weights = np.ones(2, np.float32)
    alone = maxsim_scores(in_context(matches, np.array([0]), NOBODY, NOBODY), weights)
    beside = maxsim_scores(in_context(matches, np.array([0]), NOBODY, np.array([1])), weights)
    assert alone.tolist() == pytest.approx([0.45])
    assert beside.tolist() == pytest.approx([(0.9 + CONTEXT * 0.8) / 2])


def test_a_token_tells_by_its_surprise_and_by_how_far_its_best_match_stands_out():
    matches = np.array([[0.9, 0.5, 0.9], [0.1, 0.5, 0.1]], np.float32)
    told = token_salience(matches, np.array([1.0, 1.0, 0.5], np.float32))
    assert told.tolist() == pytest.approx([0.4, 0.0, 0.1])
