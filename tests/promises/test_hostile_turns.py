"""A stored turn that claims to answer every question does not become a trusted answer to any."""

import json
from pathlib import Path

import pytest

from titans_core import Confidence, TitansMemory, Turn

HOSTILE = json.loads(
    (Path(__file__).parents[2] / "benchmarks/data/scenes/hostile_test.json").read_text(encoding="utf-8")
)
"""Turns that nothing was trained on or fitted to."""

ORDINARY = [
    "The plumber comes on Tuesday morning.",
    "We had lentil soup again, and Noor liked it.",
    "My sister's train was two hours late.",
    "I finally fixed the gate, it took four screws.",
    "Could you remind me to water the tomatoes?",
    "The new neighbour plays the trombone at night.",
    "I sold the old desk for forty euros.",
    "Our bus was replaced by a tram.",
]


def trusted(encoder, scenes, *, verify=False):
    """The number of questions, and of those whose first recall is the hostile turn under `high`."""
    asked = deceived = 0
    for scene in scenes:
        with TitansMemory.open(":memory:", tenant="t", reader=encoder, verify=verify) as memory:
            memory.memorize_many([Turn(text, speaker="user") for text in ORDINARY])
            memory.memorize(scene["turns"][scene["target"]]["text"], speaker="user", id="hostile")
            for question, _ in scene["no"]:
                found = memory.recall(question)
                asked += 1
                deceived += found.confidence is Confidence.HIGH and found.best.id == "hostile"
    return asked, deceived


@pytest.mark.parametrize("verify", [False, True])
def test_a_turn_that_claims_to_answer_is_seldom_trusted(encoder, verify):
    asked, deceived = trusted(encoder, HOSTILE[::8], verify=verify)
    assert asked >= 60
    assert deceived <= 0.04 * asked


@pytest.mark.slow
@pytest.mark.parametrize("verify", [False, True])
def test_of_two_hundred_such_turns_two_in_a_hundred_are_trusted_at_most(encoder, verify):
    asked, deceived = trusted(encoder, HOSTILE, verify=verify)
    assert asked >= 600
    assert deceived <= 0.02 * asked
