"""Trials that calibrations are fitted to and tested on: questions with known answers, for memories of many sizes.

A conversation gives four kinds of trials:

* its questions as they are,
* its answerable questions with the evidence hidden,
* questions about other conversations,
* all these questions for young memories, which contain only a few turns of the conversation.

Facts give a fifth kind, because people tell an assistant facts one by one, and no conversation contains that: synthetic
facts, whose questions repeat their words, and plain facts, whose questions mostly do not. These trials help to fit the
probabilities, but no promise is tested on them.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common.conversations import Conversation
from benchmarks.common.memories import memorize_file, memorize_once
from benchmarks.common.synthetic import make_facts
from titans_core import MemoryBank, Turn
from titans_core.readers import load_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from rich.progress import Progress

    from benchmarks.common.conversations import Question
    from benchmarks.common.synthetic import Fact
    from titans_core.confidence import Case
    from titans_core.verification import Verifier

FOREIGN_QUESTIONS = 30
"""Number of questions about other conversations, for each conversation."""

YOUNG_SIZES = (1, 4, 16, 64)
"""Numbers of turns in young memories."""

YOUNG_MEMORIES = 6
"""Number of young memories of each size, for each conversation."""

FOREIGN_WEIGHT = 0.5
"""Weight of a foreign question in the fit. A question that is asked as it is has weight 1."""

YOUNG_WEIGHT = 0.5
"""Factor on the weights of the cases of a young memory, and of a memory of synthetic facts."""

PLAIN_WEIGHT = 0.1
"""Factor on the weights of the cases of plain facts. They are easy: at a larger weight the probabilities elsewhere move
apart, and the threshold of `high` rises."""

SYNTHETIC_MEMORIES = {1: 24, 4: 12, 16: 8, 64: 4}
"""Memories of synthetic facts: number of facts to number of memories of this size."""

PLAIN_FACTS = Path(__file__).parents[1] / "data" / "plain_facts.json"
"""Facts as people tell them in a few words, each with questions in other words; ours, like the conversations."""

PLAIN_MEMORIES = {1: 24, 4: 16, 8: 12, 16: 12, 32: 6}
"""Memories of plain facts: number of facts to number of memories of this size."""

UNRELATED_QUESTIONS = 8
"""Questions of general knowledge to each memory of plain facts; no memory of a person answers them."""

REPLIES = ("Noted.", "Got it, thanks.", "I will remember that.", "Good to know!", "Okay. Anything else?")
"""Replies of an assistant to a fact."""

CONTRADICTED_SHARE = 0.1
"""Share of the synthetic facts that another stored fact contradicts."""

PLAIN_CONTRADICTED_SHARE = 0.4
"""Share of the plain facts with a contradiction in the file that are contradicted."""

SYNTHETIC_QUESTIONS = 12
"""The largest number of questions about stored facts in one memory, and also of questions about other facts."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A case, and where it comes from.

    Attributes:
        case: The case. Its group is "file/conversation".
        kind: "asked", "hidden", "foreign" or "synthetic".
        turns: The number of turns in a young memory, or of facts in a memory of facts; 0 for the memory of a
            whole conversation.
    """

    case: Case
    kind: str
    turns: int

    @property
    def file(self) -> str:
        """The name of the data."""
        return self.case.group.split("/")[0]


def collect_trials(
    path: Path, limit: int | None, cache: Path | None, progress: Progress, verifier: Verifier | None = None
) -> list[Trial]:
    """Make the trials of a file; for the arguments see `memorize_file`."""
    return [
        trial
        for name, conversation, conversations, bank in memorize_file(path, limit, cache, progress, verifier)
        for trial in conversation_trials(f"{name}/{conversation.id}", conversation, conversations, bank)
    ]


def conversation_trials(
    group: str, conversation: Conversation, conversations: Sequence[Conversation], bank: MemoryBank
) -> Iterator[Trial]:
    """Make the trials of a conversation.

    Args:
        group: The group of the cases.
        conversation: The conversation.
        conversations: All conversations of the file; the other ones give the foreign questions.
        bank: The memories. The tenant with the conversation's id has memorized the conversation.

    Yields:
        The trials.
    """
    rng = random.Random(conversation.id)  # noqa: S311 - repeatable, not secret
    foreign = [question for each in conversations if each.id != conversation.id for question in each.questions]
    asked = [(question, question.evidence) for question in conversation.questions]
    now = conversation.asked_at
    yield from ask_memory(bank, conversation.id, group, asked, rng.sample(foreign, FOREIGN_QUESTIONS), now)
    answerable = [question for question in conversation.questions if question.answerable]
    for turns in YOUNG_SIZES:
        for number, question in enumerate(rng.sample(answerable, min(YOUNG_MEMORIES, len(answerable)))):
            part = cut_window(conversation, question, turns, rng)
            stored = {turn.id for turn in part.turns}
            not_yet_answered = rng.choice([each for each in conversation.questions if not each.evidence & stored])
            tenant = f"{conversation.id}, {turns} turns, {number}"
            memorize_once(bank, tenant, part)
            asked = [(question, question.evidence & stored), (not_yet_answered, frozenset())]
            for trial in ask_memory(bank, tenant, group, asked, [rng.choice(foreign)], part.asked_at):
                yield replace(trial, turns=turns, case=scale_weight(trial.case, YOUNG_WEIGHT))


def synthetic_trials(verifier: Verifier | None = None) -> Iterator[Trial]:
    """Make the trials of synthetic facts, with or without a verifier."""
    facts, rng = make_facts(1000, seed=3), random.Random(3)  # noqa: S311 - repeatable, not secret
    with MemoryBank(":memory:", reader=load_reader(), strategy="softmax", verify=verifier or False) as bank:
        for turns, memories in SYNTHETIC_MEMORIES.items():
            for number in range(memories):
                chosen = rng.sample(facts, turns + SYNTHETIC_QUESTIONS)
                stored, others = chosen[:turns], chosen[turns:]
                contradictions = [
                    contradict(fact, rng.choice(facts)) for fact in stored if rng.random() < CONTRADICTED_SHARE
                ]
                group = f"synthetic/{turns} facts, {number}"
                with bank.tenant(group) as memory:
                    texts = [fact.text for fact in stored + contradictions]
                    rng.shuffle(texts)
                    memory.memorize_many(as_turns(texts, rng if number % 2 else None))
                    asked = [(fact.question, [fact.text]) for fact in stored[:SYNTHETIC_QUESTIONS]]
                    asked += [(fact.question, []) for fact in others[:turns]]
                    for case in memory.calibration_cases(asked, group=group):
                        yield Trial(replace(scale_weight(case, YOUNG_WEIGHT), tested=False), "synthetic", turns)


def plain_trials(verifier: Verifier | None = None) -> Iterator[Trial]:
    """Make the trials of plain facts about a person, such as "I'm a carpenter.".

    A memory holds at most one fact of each topic, so that a question has one answer; some facts stand beside one that
    contradicts them, so that it has two.
    """
    known = json.loads(PLAIN_FACTS.read_text(encoding="utf-8"))
    topics: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for fact in known["facts"]:
        topics[fact["topic"]].append(fact)
    rng = random.Random(5)  # noqa: S311 - repeatable, not secret
    with MemoryBank(":memory:", reader=load_reader(), strategy="softmax", verify=verifier or False) as bank:
        for turns, memories in PLAIN_MEMORIES.items():
            for number in range(memories):
                chosen = [rng.choice(topics[topic]) for topic in rng.sample(sorted(topics), len(topics))]
                stored, others = chosen[:turns], chosen[turns:]
                texts = [fact["text"] for fact in stored]
                texts += [
                    fact["other"] for fact in stored if "other" in fact and rng.random() < PLAIN_CONTRADICTED_SHARE
                ]
                rng.shuffle(texts)
                group = f"plain/{turns} facts, {number}"
                with bank.tenant(group) as memory:
                    memory.memorize_many(as_turns(texts, rng if number % 2 else None))
                    asked = [(question, [fact["text"]]) for fact in stored for question in fact["questions"]]
                    asked += [(rng.choice(fact["questions"]), []) for fact in others[:turns]]
                    asked += [(question, []) for question in rng.sample(known["unrelated"], UNRELATED_QUESTIONS)]
                    for case in memory.calibration_cases(asked, group=group):
                        yield Trial(replace(scale_weight(case, PLAIN_WEIGHT), tested=False), "synthetic", turns)


def as_turns(texts: Sequence[str], rng: random.Random | None) -> Iterator[Turn]:
    """Make turns of facts.

    Args:
        texts: The facts. Each text is also the id of its turn.
        rng: The source of the assistant's replies; None makes turns without speakers and replies.

    Yields:
        The turns. With `rng`, a user says each fact, and an assistant replies.
    """
    for text in texts:
        yield Turn(text, id=text, speaker="user" if rng else None)
        if rng:
            yield Turn(rng.choice(REPLIES), speaker="assistant")


def contradict(fact: Fact, other: Fact) -> Fact:
    """Make the same fact about the subject of the other fact. Then the question who it was has two answers."""
    subject, other_subject = (each.text.split()[0].rstrip(",") for each in (fact, other))
    return replace(fact, text=other_subject + fact.text.removeprefix(subject))


def cut_window(conversation: Conversation, question: Question, turns: int, rng: random.Random) -> Conversation:
    """Cut out a number of consecutive turns, at least one of which answers the question."""
    places = {turn.id: place for place, turn in enumerate(conversation.turns)}
    evidence = places[rng.choice(sorted(question.evidence))]
    start = min(max(0, evidence - rng.randrange(turns)), max(0, len(conversation.turns) - turns))
    return Conversation(conversation.id, conversation.turns[start : start + turns], [question])


def ask_memory(
    bank: MemoryBank,
    tenant: str,
    group: str,
    asked: Sequence[tuple[Question, frozenset[str]]],
    foreign: Sequence[Question],
    now: datetime,
) -> Iterator[Trial]:
    """Make the trials of one memory.

    Args:
        bank: The memories.
        tenant: The tenant of the memory.
        group: The group of the cases.
        asked: Questions, each with the ids of the stored turns that answer it.
        foreign: Questions about other conversations.
        now: When all questions are asked.

    Yields:
        The trials.
    """
    with bank.tenant(tenant) as memory:
        pairs = [(question.text, evidence) for question, evidence in asked]
        for case in memory.calibration_cases(pairs, group=group, now=now):
            yield Trial(case, "asked" if case.asked else "hidden", 0)
        for case in memory.calibration_cases([(question.text, ()) for question in foreign], group=group, now=now):
            yield Trial(replace(scale_weight(case, FOREIGN_WEIGHT), asked=False), "foreign", 0)


def scale_weight(case: Case, factor: float) -> Case:
    """Return the case with its weight in the fit multiplied by a factor."""
    return replace(case, weight=case.weight * factor)
