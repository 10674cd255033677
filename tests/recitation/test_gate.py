"""The gate uses the fitted thresholds, and a question about a stranger surprises the model more than a known one."""

import math

import pytest

from titans_core.recitation import gate
from titans_core.recitation.exam.facts import STRANGERS
from titans_core.recitation.gate import address_threshold, familiarity_threshold
from titans_core.recitation.recitation import surprisal_given

FITTED = [(address_threshold, gate._ADDRESS_THRESHOLDS), (familiarity_threshold, gate._FAMILIARITY_THRESHOLDS)]
FACT = "Ben Rossi works as a welder."


@pytest.mark.parametrize(("threshold", "fitted"), FITTED)
def test_there_is_a_threshold_for_every_number_of_facts(threshold, fitted):
    thresholds = [threshold(facts) for facts in range(5001)]
    assert all(math.isfinite(one) and one > 0 for one in thresholds)
    assert min(fitted) <= min(thresholds) <= max(thresholds) <= max(fitted)


@pytest.mark.parametrize(("threshold", "fitted"), FITTED)
def test_the_fitted_thresholds_are_met_where_they_were_fitted(threshold, fitted):
    assert [threshold(facts) for facts in gate._FACT_COUNTS] == pytest.approx(fitted, rel=1e-12)


@pytest.mark.parametrize(("threshold", "fitted"), FITTED)
def test_thresholds_stay_the_same_outside_of_what_was_fitted(threshold, fitted):
    assert {threshold(facts) for facts in range(gate._FACT_COUNTS[0])} == {fitted[0]}
    assert {threshold(gate._FACT_COUNTS[-1] * more) for more in (1, 2, 50)} == {fitted[-1]}


@pytest.mark.parametrize(("threshold", "fitted"), FITTED)
def test_between_two_fitted_numbers_lies_what_is_between_their_thresholds(threshold, fitted):
    for place, (fewer, more) in enumerate(zip(gate._FACT_COUNTS, gate._FACT_COUNTS[1:], strict=False)):
        halfway = threshold(round(math.sqrt(fewer * more)))
        assert halfway == pytest.approx((fitted[place] + fitted[place + 1]) / 2, rel=0.05)


def test_a_name_that_is_not_in_the_fact_makes_a_question_surprising(llm):
    own, *others = (
        surprisal_given(llm, FACT, f"What does {name} do for a living?") for name in ("Ben Rossi", *STRANGERS[:3])
    )
    assert 1 <= own < min(others)


def test_the_least_surprisal_is_one_and_one_word_has_one(llm):
    assert surprisal_given(llm, FACT, FACT) >= 1
    assert surprisal_given(llm, FACT, "Ben") >= 1
