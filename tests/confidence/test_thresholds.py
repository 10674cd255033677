"""A threshold keeps its promise as often as it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_core.confidence.thresholds import clustered_bound, fewest_cases, find_threshold, upper_bound


def simulated(generator, n):
    """Scores whose risk is known: a case with score s is wrong with a probability of 1 − s."""
    scores = generator.uniform(0, 1, n)
    return scores, generator.uniform(0, 1, n) > scores


def test_the_bound_is_the_exact_binomial_one():
    # k errors in n cases: the risk p at which so few errors have a probability of δ (Clopper and Pearson, 1934).
    assert upper_bound(0, 29, 0.05) == pytest.approx(1 - 0.05 ** (1 / 29))
    assert upper_bound(5, 103, 0.05) <= 0.1 < upper_bound(5, 102, 0.05)
    assert upper_bound(3, 3, 0.05) == upper_bound(0, 0, 0.05) == 1


@pytest.mark.parametrize(
    ("alpha", "delta", "needed"), [(0.1, 0.05, 29), (0.05, 0.05, 59), (0.1, 0.025, 36), (0.05, 0.025, 72)]
)
def test_fewer_cases_can_promise_nothing(alpha, delta, needed):
    assert fewest_cases(alpha, delta) == needed
    right = np.zeros(needed, bool)
    assert find_threshold(np.arange(needed, dtype=float), right, alpha=alpha, delta=delta) is not None
    assert find_threshold(np.arange(needed - 1, dtype=float), right[1:], alpha=alpha, delta=delta) is None


def test_the_promise_is_broken_no_more_often_than_it_says():
    generator = np.random.default_rng(0)
    alpha, delta, runs = 0.1, 0.05, 1000
    broken = found = 0
    for _ in range(runs):
        threshold = find_threshold(*simulated(generator, 1000), alpha=alpha, delta=delta)
        if threshold is not None:
            found += 1
            risk = (1 - threshold.value) / 2  # of a uniform score above the threshold
            broken += risk > alpha
    assert found > runs / 4
    assert broken / runs <= delta + 3 * (delta * (1 - delta) / runs) ** 0.5


def test_without_a_signal_nothing_is_promised():
    generator = np.random.default_rng(1)
    for _ in range(50):
        scores = generator.uniform(0, 1, 500)
        assert find_threshold(scores, generator.uniform(0, 1, 500) < 0.4, alpha=0.1, delta=0.025) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=200), st.sampled_from([0.05, 0.1, 0.2]))
def test_what_is_found_is_what_was_counted(cases, alpha):
    scores, wrong = np.array([case[0] for case in cases]), np.array([case[1] for case in cases], bool)
    found = find_threshold(scores, wrong, alpha=alpha, delta=0.05)
    if found is not None:
        chosen = scores >= found.value
        assert (found.cases, found.errors) == (chosen.sum(), wrong[chosen].sum())
        assert found.errors / found.cases <= found.bound <= alpha


def test_cases_of_one_conversation_count_for_less_than_as_many_of_many():
    generator = np.random.default_rng(2)
    conversations, size, alpha, delta, runs = 40, 40, 0.2, 0.05, 400
    groups = np.repeat(np.arange(conversations), size)
    kept = naive = 0
    for _ in range(runs):
        # The risk differs from one conversation to the next; over all of them it is α.
        risk = np.repeat(generator.beta(2, 8, conversations), size)
        wrong = generator.uniform(0, 1, conversations * size) < risk
        kept += clustered_bound(wrong, groups, delta) >= alpha
        naive += upper_bound(int(wrong.sum()), len(wrong), delta) >= alpha
    assert kept / runs >= 1 - delta - 3 * (delta * (1 - delta) / runs) ** 0.5
    assert naive / runs < 0.85


def test_groups_that_do_not_differ_change_nothing_much():
    wrong = np.tile([True, False, False, False, False], 200)
    exact = upper_bound(200, 1000, 0.05)
    assert clustered_bound(wrong, np.arange(1000), 0.05) == pytest.approx(exact, abs=1e-4)
    assert clustered_bound(wrong, np.zeros(1000, int), 0.05) == exact
    assert exact <= clustered_bound(wrong, np.repeat(np.arange(20), 50), 0.05) < exact + 0.01
    assert clustered_bound(np.zeros(30, bool), np.repeat(np.arange(3), 10), 0.05) == upper_bound(0, 30, 0.05)
