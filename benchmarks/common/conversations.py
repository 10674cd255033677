"""Reads the file of conversations and questions that the recall benchmark measures on.

{"name", "conversations": [{"id",
   "turns":     [{"id", "session", "date", "speaker", "text"}],
   "questions": [{"question", "evidence": [turn ids], "category", "answerable"}]}]}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from titans_core import Turn

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a conversation.

    Attributes:
        text: the question.
        category: the data set's name for its kind.
        answerable: whether the conversation holds the answer.
        evidence: the ids of turns that hold it; empty for an unanswerable question.
    """

    text: str
    category: str
    answerable: bool
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation, and the questions that can be measured on it."""

    id: str
    turns: list[Turn]
    questions: list[Question]


def load_conversations(path: Path, limit: int | None = None) -> tuple[str, list[Conversation]]:
    """The name of the data set and its first `limit` conversations (None: all).

    Turns without text cannot be memorized and are left out. Evidence that is no turn of the conversation is
    left out too, and so is an answerable question that then has none: nothing could be measured on it.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    return data["name"], [_conversation(found) for found in data["conversations"][:limit]]


def _conversation(found: dict[str, Any]) -> Conversation:
    turns = [_turn(turn) for turn in found["turns"] if turn["text"].strip()]
    known = {turn.id for turn in turns}
    questions = [
        Question(
            text=question["question"],
            category=question["category"],
            answerable=question["answerable"],
            evidence=frozenset(question["evidence"]) & known if question["answerable"] else frozenset(),
        )
        for question in found["questions"]
    ]
    measurable = [question for question in questions if question.evidence or not question.answerable]
    return Conversation(found["id"], turns, measurable)


def _turn(found: dict[str, Any]) -> Turn:
    return Turn(
        found["text"],
        speaker=found["speaker"],
        at=datetime.fromisoformat(found["date"]) if found["date"] else None,
        session=found["session"],
        id=found["id"],
    )
