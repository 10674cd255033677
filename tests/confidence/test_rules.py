"""The simple label rules say what their definitions say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from titans_core import Confidence, TitansMemory
from titans_core.confidence import (
    STRATEGIES,
    FixedThreshold,
    GapAndSimilarity,
    RelativeGap,
    Softmax,
    Verdict,
)
from titans_core.errors import InvalidQueryError

RULES = [FixedThreshold, GapAndSimilarity, RelativeGap, Softmax]
HIGH, LOW, NONE = Confidence.HIGH, Confidence.LOW, Confidence.NONE
cosines = st.lists(st.floats(-1, 1), max_size=8)


@pytest.mark.parametrize(
    ("similarities", "label"),
    [
        ([], NONE),
        ([0.66], HIGH),  # a single memory needs only the similarity
        ([0.65], LOW),  # above, not at
        ([0.9, 0.79], HIGH),
        ([0.9, 0.85], LOW),  # two that could be meant
        ([0.75, 0.65], LOW),  # a gap of .1 is not above .1
        ([0.6, 0.1], LOW),
        ([0.7, 0.1, 0.8], LOW),  # the first recall is not the most similar turn
        ([0.7, 0.1, 0.55], HIGH),  # the others come in any order
    ],
)
def test_gap_and_similarity_is_the_tutorials_rule(similarities, label):
    assert GapAndSimilarity().label(similarities) is label


@given(cosines.map(lambda values: sorted(values, reverse=True)))
def test_gap_and_similarity_on_a_ranking_by_cosine(similarities):
    """The rule as the tutorial writes it, for similarities in descending order."""
    if not similarities:
        expected = NONE
    elif len(similarities) == 1:
        expected = HIGH if similarities[0] > 0.65 else LOW
    else:
        gap = similarities[0] - similarities[1]
        expected = HIGH if similarities[0] > 0.65 and gap > 0.1 else LOW
    assert GapAndSimilarity().label(similarities) is expected


def test_its_thresholds_can_be_set():
    assert GapAndSimilarity(min_similarity=0.3, gap_threshold=0).label([0.4, 0.39]) is HIGH
    assert GapAndSimilarity(min_similarity=0.9).label([0.8, 0.1]) is LOW


def test_fixed_threshold_looks_at_the_first_alone():
    assert FixedThreshold().label([0.66, 0.65]) is HIGH
    assert FixedThreshold(min_similarity=0.7).label([0.66]) is LOW


def test_relative_gap_is_a_share_of_the_first():
    assert RelativeGap().label([0.3, 0.2]) is HIGH
    assert RelativeGap().label([0.9, 0.8]) is LOW
    assert RelativeGap(min_ratio=0.1).label([0.9, 0.8]) is HIGH
    assert RelativeGap().label([0.9]) is LOW
    assert RelativeGap().label([-0.1, -0.5]) is LOW


def test_softmax_is_the_share_of_the_first():
    assert Softmax().label([0.7, 0.5, 0.5]) is HIGH
    assert Softmax().label([0.7, 0.68, 0.68]) is LOW
    assert Softmax(temperature=0.001).label([0.7, 0.68, 0.68]) is HIGH
    assert Softmax(min_share=0.99).label([0.7, 0.5, 0.5]) is LOW
    assert Softmax(temperature=1e-9).label([-1.0, 1.0]) is LOW  # and does not overflow


@pytest.mark.parametrize("rule", RULES)
@given(similarities=cosines)
def test_every_rule_is_none_exactly_when_nothing_is_stored(rule, similarities):
    assert (rule().label(similarities) is NONE) == (not similarities)


@pytest.mark.parametrize("strategy", ["fixed_threshold", FixedThreshold()])
def test_the_memorys_strategy_is_set_when_it_is_opened(reader, strategy):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy=strategy) as memory:
        memory.memorize("The secret code is X-8-DELTA-9.")
        memory.memorize("The secret code is K-2-OMEGA-1.")
        assert memory.recall("What is the secret code?").confidence is HIGH
        assert memory.recall("What is the secret code?", strategy="gap_and_similarity").confidence is LOW


def test_a_callers_own_rule_is_taken(memory):
    class Never:
        def judge(self, evidence):
            assert evidence.query == "What is the secret code?"
            assert evidence.top(1)[0].text == "The secret code is X-8-DELTA-9."
            return Verdict(Confidence.NONE)

    memory.memorize("The secret code is X-8-DELTA-9.")
    assert memory.recall("What is the secret code?", strategy=Never()).confidence is NONE


def test_every_strategy_can_be_chosen_by_name(reader):
    for name in STRATEGIES:
        TitansMemory.open(":memory:", tenant="alice", reader=reader, strategy=name).close()


def test_an_unknown_name_lists_the_known_ones(memory):
    with pytest.raises(InvalidQueryError, match="gap_and_similarity"):
        memory.recall("What is the secret code?", strategy="guess")
