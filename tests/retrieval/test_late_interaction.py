"""Late interaction computed from packed codes, in context, equals its definition."""

import numpy as np
import pytest

from titans_core.retrieval.late_interaction import (
    ANSWERED,
    CONTEXT,
    CONTEXT_TWO,
    Neighbours,
    in_context,
    maxsim_scores,
    token_matches,
    token_salience,
)
from titans_core.storage import decode_keys, encode_keys


def beside(rows, weights):
    return Neighbours(np.array(rows), np.array(weights, np.float32))


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def defined_matches(query, mean, packed):
    """max(0, max_k cos(q − μ, k − μ)), passage by passage and token by token."""
    return [
        [max(0, *(unit(token - mean) @ unit(key - mean) for key in decode_keys(keys, len(mean)))) for token in query]
        for keys in packed
    ]


def defined_score(matches, weights, passage, near):
    """Σ_q w_q max(m_q, u_n m_q of each neighbour n) / Σ_q w_q, with the neighbours' weights u."""
    total = 0.0
    for token, weight in enumerate(weights):
        lent = [share * matches[row][token] for row, share in near if row >= 0]
        total += weight * max([matches[passage][token], *lent])
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
    chosen = [3, 0, 2]
    places = [  # before, after and two before, each with its weight
        ([2, -1, 1], [CONTEXT, 0, ANSWERED]),
        ([-1, 1, 3], [0, CONTEXT, 0]),
        ([1, -1, 0], [CONTEXT_TWO, CONTEXT_TWO, CONTEXT_TWO]),
    ]
    for count in range(len(places) + 1):
        near = [[(rows[place], shares[place]) for rows, shares in places[:count]] for place, _ in enumerate(chosen)]
        expected = [defined_score(matches, weights, row, these) for row, these in zip(chosen, near, strict=True)]
        found = in_context(matches, np.array(chosen), [beside(*each) for each in places[:count]])
        np.testing.assert_allclose(maxsim_scores(found, weights), expected, atol=1e-5)


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
    found = in_context(matches, np.array([0]), [beside([-1], [CONTEXT])])
    assert maxsim_scores(found, weights).tolist() == [0]


def test_what_the_neighbours_match_counts_a_little_less():
    matches = np.array([[0.9, 0.0], [0.0, 0.8]], np.float32)
    weights = np.ones(2, np.float32)
    first = np.array([0])
    alone = maxsim_scores(in_context(matches, first, []), weights)
    assert alone.tolist() == pytest.approx([0.45])
    assert maxsim_scores(in_context(matches, first, [beside([-1], [CONTEXT])]), weights).tolist() == alone.tolist()
    assert maxsim_scores(in_context(matches, first, [beside([1], [0])]), weights).tolist() == alone.tolist()
    for share in (CONTEXT, ANSWERED, CONTEXT_TWO):
        found = maxsim_scores(in_context(matches, first, [beside([1], [share])]), weights)
        assert found.tolist() == pytest.approx([(0.9 + share * 0.8) / 2])


def test_a_token_tells_by_its_surprise_and_by_how_far_its_best_match_stands_out():
    matches = np.array([[0.9, 0.5, 0.9], [0.1, 0.5, 0.1]], np.float32)
    told = token_salience(matches, np.array([1.0, 1.0, 0.5], np.float32))
    assert told.tolist() == pytest.approx([0.4, 0.0, 0.1])
