"""Reads a file of conversations and questions, on which benchmarks measure recall.

The file is JSON:

{"name", "conversations": [{"id",
   "turns":     [{"id", "session", "date", "speaker", "text"}],
   "questions": [{"question", "evidence": [turn ids], "category" or "kind", "answerable"}]}]}

Dates are in ISO 8601; without a zone they are UTC, so that a result does not depend on the machine's zone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from titans_core import Turn

EVERYDAY = tuple(sorted((Path(__file__).parents[1] / "data" / "everyday").glob("*.json")))
"""The conversations that ship with the benchmarks; ours, so that models may be fitted to them."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a conversation.

    Attributes:
        text: The text of the question.
        category: The data set's name for this kind of question.
        answerable: Whether the conversation contains the answer.
        evidence: The ids of the turns that contain the answer; empty for an unanswerable question.
        stale: The ids of the turns that state a value that is no longer true.
        near: The ids of the turns that look relevant and do not answer.
    """

    text: str
    category: str
    answerable: bool
    evidence: frozenset[str]
    stale: frozenset[str] = frozenset()
    near: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation, and its questions.

    Attributes:
        id: The id of the conversation in the data set.
        turns: The turns that have text, in order.
        questions: The questions that can be measured.
    """

    id: str
    turns: list[Turn]
    questions: list[Question]

    @property
    def asked_at(self) -> datetime:
        """When its questions are asked: a day after its last turn."""
        return max((turn.at for turn in self.turns if turn.at), default=datetime.now(UTC)) + timedelta(days=1)


def load_conversations(path: Path, limit: int | None = None) -> tuple[str, list[Conversation]]:
    """Read a file of conversations.

    Turns without text are left out, because they cannot be memorized. Evidence that is not a turn of the conversation
    is left out too. An answerable question that then has no evidence is also left out, because nothing can be measured
    on it.

    Args:
        path: The file.
        limit: The number of conversations to read, from the start of the file; None for all.

    Returns:
        The name of the data set, and the conversations.
    """
    data = json.loads(path.read_text(encoding="utf-8"))
    return data["name"], [_parse_conversation(item) for item in data["conversations"][:limit]]


def _parse_conversation(item: dict[str, Any]) -> Conversation:
    turns = [_parse_turn(turn) for turn in item["turns"] if turn["text"].strip()]
    turn_ids = {turn.id for turn in turns}
    questions = [
        Question(
            text=question["question"],
            category=question.get("category") or question["kind"],
            answerable=question["answerable"],
            evidence=frozenset(question["evidence"]) & turn_ids if question["answerable"] else frozenset(),
            stale=frozenset(question.get("stale", ())),
            near=frozenset(question.get("near", ())),
        )
        for question in item["questions"]
    ]
    measurable = [question for question in questions if question.evidence or not question.answerable]
    return Conversation(item["id"], turns, measurable)


def _parse_turn(item: dict[str, Any]) -> Turn:
    at = datetime.fromisoformat(item["date"]) if item["date"] else None
    return Turn(
        item["text"],
        speaker=item["speaker"],
        at=at.replace(tzinfo=at.tzinfo or UTC) if at else None,
        session=item["session"],
        id=item["id"],
    )
