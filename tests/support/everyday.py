"""Everyday turns and questions that tests of several packages share."""

from titans_core import Turn

DAILY = (
    "I need to buy stamps.",
    "The train was late again.",
    "Lunch was a lentil soup.",
    "My back hurts a bit.",
    "We watched a film about whales.",
)
"""Turns that answer no question of a test."""

OTHERS = [Turn(text, speaker="user", session="old") for text in DAILY]

TELL = "My dog is called Biscuit."
ASK = "What is my dog called?"
DOOR = "The door code of the office is 5513."
