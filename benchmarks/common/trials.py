"""What calibrations are made of and tested on: questions with known answers, asked of memories of many sizes.

A conversation gives four kinds of trials: its questions as they are, the answerable ones with the evidence hidden,
questions about other conversations, and the same of young memories, which have heard only a few turns of it. Made-up
facts give a fifth: people tell an assistant facts, one by one, and no conversation has that in it. They help to fit the
probabilities, but no promise is tested on them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from benchmarks.common.conversations import Conversation
from benchmarks.common.memories import memorize, remembered
from benchmarks.common.synthetic import make_facts
from titans_core import MemoryBank, Turn
from titans_core.readers import load_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.progress import Progress

    from benchmarks.common.conversations import Question
    from benchmarks.common.synthetic import Fact
    from titans_core.confidence import Case

FOREIGN = 30
"""Questions about other conversations that each conversation is asked."""

YOUNG = (1, 4, 16, 64)
"""Turns of the young memories."""

WINDOWS = 12
"""Young memories of each size and conversation."""

FOREIGN_WEIGHT = 0.5
"""What a foreign question counts in the fit, against one that was asked as it is."""

YOUNG_WEIGHT = 0.5
"""What the cases of a young memory, or one of made-up facts, count, times that."""


TOLD = {1: 24, 4: 12, 16: 8, 64: 4}
"""Memories of made-up facts: how many hold so many."""

REPLIES = ("Noted.", "Got it, thanks.", "I will remember that.", "Good to know!", "Okay. Anything else?")
"""What an assistant says to a fact."""

RIVALS = 0.1
"""Share of the facts that another contradicts."""

ASKED_OF_FACTS = 12
"""The most facts of one memory that are asked for, and the most that were not told."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A case, and what it is a case of.

    Attributes:
        case: its group is "file/conversation".
        kind: "asked", "hidden", "foreign" or "told".
        turns: of the memory, if it is a young one or of made-up facts; 0 for a whole conversation.
    """

    case: Case
    kind: str
    turns: int

    @property
    def file(self) -> str:
        """The data's name."""
        return self.case.group.split("/")[0]


def gather(path: Path, limit: int | None, cache: Path | None, progress: Progress) -> list[Trial]:
    """The trials of a file."""
    return [
        trial
        for name, conversation, conversations, bank in remembered(path, limit, cache, progress)
        for trial in trials_of(f"{name}/{conversation.id}", conversation, conversations, bank)
    ]


def trials_of(
    group: str, conversation: Conversation, conversations: Sequence[Conversation], bank: MemoryBank
) -> Iterator[Trial]:
    """The trials of a conversation."""
    chance = random.Random(conversation.id)  # noqa: S311 - the same ones in every run
    foreign = [question for each in conversations if each.id != conversation.id for question in each.questions]
    asked = [(question, question.evidence) for question in conversation.questions]
    yield from ask(bank, conversation.id, group, asked, chance.sample(foreign, FOREIGN))
    answerable = [question for question in conversation.questions if question.answerable]
    for turns in YOUNG:
        for number, question in enumerate(chance.sample(answerable, WINDOWS)):
            piece = window(conversation, question, turns, chance)
            known = {turn.id for turn in piece.turns}
            too_early = chance.choice([each for each in conversation.questions if not each.evidence & known])
            tenant = f"{conversation.id}, {turns} turns, {number}"
            memorize(bank, tenant, piece)
            asked = [(question, question.evidence & known), (too_early, frozenset())]
            for trial in ask(bank, tenant, group, asked, [chance.choice(foreign)]):
                yield replace(trial, turns=turns, case=weighed(trial.case, YOUNG_WEIGHT))


def told() -> Iterator[Trial]:
    """The trials of made-up facts."""
    facts, chance = make_facts(1000, seed=3), random.Random(3)  # noqa: S311 - likewise
    with MemoryBank(":memory:", reader=load_reader(), strategy="softmax") as bank:
        for turns, memories in TOLD.items():
            for number in range(memories):
                chosen = chance.sample(facts, turns + ASKED_OF_FACTS)
                stored, others = chosen[:turns], chosen[turns:]
                rivals = [rival(fact, chance.choice(facts)) for fact in stored if chance.random() < RIVALS]
                group = f"told/{turns} facts, {number}"
                with bank.tenant(group) as memory:
                    texts = [fact.text for fact in stored + rivals]
                    chance.shuffle(texts)
                    memory.memorize_many(said(texts, chance if number % 2 else None))
                    asked = [(fact.question, [fact.text]) for fact in stored[:ASKED_OF_FACTS]]
                    asked += [(fact.question, []) for fact in others[:turns]]
                    for case in memory.calibration_cases(asked, group=group):
                        yield Trial(replace(weighed(case, YOUNG_WEIGHT), tested=False), "told", turns)


def said(texts: Sequence[str], chance: random.Random | None) -> Iterator[Turn]:
    """The facts, each with its text as its id, as bare turns; with chance, as a user's, whom an assistant answers."""
    for text in texts:
        yield Turn(text, id=text, speaker="user" if chance else None)
        if chance:
            yield Turn(chance.choice(REPLIES), speaker="assistant")


def rival(fact: Fact, other: Fact) -> Fact:
    """The same fact about the other's subject: asked who it was, nobody can tell which of the two is meant."""
    subject, whose = (each.text.split()[0].rstrip(",") for each in (fact, other))
    return replace(fact, text=whose + fact.text.removeprefix(subject))


def window(conversation: Conversation, question: Question, turns: int, chance: random.Random) -> Conversation:
    """So many turns in a row, of which one at least answers the question."""
    places = {turn.id: place for place, turn in enumerate(conversation.turns)}
    evidence = places[chance.choice(sorted(question.evidence))]
    start = min(max(0, evidence - chance.randrange(turns)), max(0, len(conversation.turns) - turns))
    return Conversation(conversation.id, conversation.turns[start : start + turns], [question])


def ask(
    bank: MemoryBank,
    tenant: str,
    group: str,
    asked: Sequence[tuple[Question, frozenset[str]]],
    foreign: Sequence[Question],
) -> Iterator[Trial]:
    """The trials of a memory: questions with the turns that answer them, and questions that have no business there."""
    with bank.tenant(tenant) as memory:
        for case in memory.calibration_cases([(question.text, evidence) for question, evidence in asked], group=group):
            yield Trial(case, "asked" if case.asked else "hidden", 0)
        for case in memory.calibration_cases([(question.text, ()) for question in foreign], group=group):
            yield Trial(replace(weighed(case, FOREIGN_WEIGHT), asked=False), "foreign", 0)


def weighed(case: Case, share: float) -> Case:
    """The same case, counting less."""
    return replace(case, weight=case.weight * share)
