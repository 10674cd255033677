"""Finds the candidates of a conversation's questions, to which the ranking's models are fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from titans_core.readers import load_reader
from titans_core.retrieval import Question as Query
from titans_core.retrieval import find_candidates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.common.conversations import Conversation, Question
    from titans_core import TitansMemory
    from titans_core.retrieval import Candidates, Knowledge


@dataclass(frozen=True, slots=True)
class Found:
    """The candidates of one question.

    Attributes:
        asked: The question with its evidence.
        query: What the memory reads of it.
        candidates: The c candidates.
        ids: The ids of the c turns.
        known: What the memory knows; valid until the next question.
    """

    asked: Question
    query: Query
    candidates: Candidates
    ids: list[str]
    known: Knowledge


def find_all(memory: TitansMemory, conversation: Conversation, *, unanswerable: bool = False) -> Iterator[Found]:
    """Find the candidates of each answerable question for which the memory finds anything.

    Args:
        memory: The memory of the conversation.
        conversation: The conversation.
        unanswerable: Whether to find them for the other questions as well.
    """
    reader, now = load_reader(), conversation.asked_at
    for asked in conversation.questions:
        if not (asked.answerable or unanswerable):
            continue
        [reading] = reader.read([asked.text])
        with memory.knowledge() as known:
            query = Query.of(asked.text, reading, now=now, first=known.index.first_year(now))
            positions = known.index.turns().positions
            candidates = find_candidates(query, known, allowed=np.ones(len(positions), bool))
            if candidates is not None:
                turns = [known.log.turn_at(int(positions[row])) for row in candidates.rows]
                yield Found(asked, query, candidates, [turn.id or "" for turn in turns], known)
