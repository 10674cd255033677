"""Runs an exam: teach facts, clear the context, ask. Who can still answer?"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sklearn.metrics import roc_auc_score

from titans_core.recitation.baselines.soft_prompt import SoftPromptMemory
from titans_core.recitation.exam.facts import make_exam
from titans_core.recitation.prompts import reminder_prompt
from titans_core.recitation.recitation import Recitation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from titans_core.readers import CausalReader
    from titans_core.readers.protocol import Reader
    from titans_core.recitation.exam.facts import Exam, Fact

Item = TypeVar("Item")

EXAM_BATCH = 48
"""Number of questions that are answered in one batch."""

NEGATIVES_PER_KIND = 200
"""Number of questions of each kind that no fact answers."""

ANSWER_TOKENS = 24
"""Most tokens of an answer."""


@dataclass(frozen=True)
class Outcome:
    """The result of one contestant. Shares are in [0, 1]. A figure that a contestant does not have is None.

    Attributes:
        name: "recitation", "soft prompt", or "LLM alone".
        facts: Number of facts that were taught.
        continued: Share of exact beginnings that were continued with the value.
        answered: Share of questions, in other words than the fact, to which the LLM's answer contains the value.
        seconds: Seconds to learn one fact: the median for the recitation, the mean for the soft prompt.
        nbytes: Size of what was learned, in bytes.
        addressed: Share of questions that found their fact.
        recited: Share of facts that were recited word for word from their slot.
        spoken: Share of questions that found their fact, had it recited word for word, and opened the gate.
        separated: AUROC of the familiarity, for known questions against each other kind of question: about other people
            with the same names ("near"), about strangers ("unknown"), and about other subjects ("unrelated").
        opened: Share of the questions of each of these kinds that opened the gate.
        losses: Loss of each step of the soft prompt's training, in nats per token.
    """

    name: str
    facts: int
    continued: float
    answered: float
    seconds: float | None = None
    nbytes: int | None = None
    addressed: float | None = None
    recited: float | None = None
    spoken: float | None = None
    separated: dict[str, float] = field(default_factory=dict)
    opened: dict[str, float] = field(default_factory=dict)
    losses: tuple[float, ...] = ()


def total_recall(
    llm: CausalReader,
    encoder: Reader,
    *,
    facts: int = 4,
    seed: int = 0,
    questions: int = 48,
    baseline_steps: int = 0,
    report: Callable[[str], None] = lambda _: None,
) -> Iterator[Outcome]:
    """Teach facts to a new memory, clear the context, and ask for them in the same and in other words.

    Args:
        llm: The frozen language model.
        encoder: The encoder of facts and questions.
        facts: Number of facts to teach, from 1 to 1,024.
        seed: Seed of the facts.
        questions: Number of facts that each contestant is asked about, at least 1. They are the first ones.
        baseline_steps: Number of training steps for the soft prompt; 0 leaves it out. Tutorials use 600 a fact.
        report: Called with a sentence before each step that takes long.

    Yields:
        The outcome of the recitation, of the LLM alone, and of the soft prompt.
    """
    exam = make_exam(facts, seed=seed, negatives=NEGATIVES_PER_KIND)
    yield _examine_recitation(llm, encoder, exam, questions, report)
    examined = exam.facts[:questions]
    report(f"asking the model alone, {len(examined)} questions")
    yield Outcome(
        "LLM alone",
        facts,
        continued=_share(_begins_with_value, _generate(llm, [fact.beginning for fact in examined]), examined),
        answered=_share(
            _contains_value, _generate(llm, [_question_prompt(llm, fact.question) for fact in examined]), examined
        ),
    )
    if baseline_steps:
        yield _examine_soft_prompt(llm, exam, questions, baseline_steps, seed, report)


def _examine_recitation(
    llm: CausalReader, encoder: Reader, exam: Exam, questions: int, report: Callable[[str], None]
) -> Outcome:
    facts = exam.facts
    recitation = Recitation(llm, encoder)
    report(f"learning {len(facts)} facts, one forward pass each")
    seconds = []
    for count in range(1, len(facts) + 1):
        start = time.perf_counter()
        recitation.learn([fact.text for fact in facts[:count]])
        seconds.append(time.perf_counter() - start)
    slots, _ = recitation.address([fact.question for fact in facts])
    examined = facts[:questions]
    report(f"reciting {len(examined)} facts")
    by_slot = [text for batch in _batches(range(len(examined))) for text in recitation.recite(batch)]
    continuations = [
        recited.text
        for batch in _batches(examined)
        for recited in recitation.complete_many([fact.beginning for fact in batch])
    ]
    known = [
        recited for batch in _batches(examined) for recited in recitation.ask_many([fact.question for fact in batch])
    ]
    report(f"answering {len(examined)} questions")
    answers = _answer(llm, examined, [recited.text for recited in known])
    separated, opened = {}, {}
    for kind, negatives in (("near", exam.near), ("unknown", exam.unknown), ("unrelated", exam.unrelated)):
        report(f"asking {len(negatives)} {kind} questions that nothing answers")
        others = [recited for batch in _batches(negatives) for recited in recitation.ask_many(batch)]
        labels = [1] * len(known) + [0] * len(others)
        separated[kind] = float(roc_auc_score(labels, [recited.familiarity for recited in (*known, *others)]))
        opened[kind] = sum(recited.text is not None for recited in others) / len(others)
    return Outcome(
        "recitation",
        len(facts),
        continued=_share(_begins_with_value, continuations, examined),
        answered=_share(_contains_value, answers, examined),
        seconds=statistics.median(seconds),
        nbytes=recitation.nbytes,
        addressed=sum(place == slot for place, slot in enumerate(slots.tolist())) / len(facts),
        recited=sum(text == fact.text for text, fact in zip(by_slot, examined, strict=True)) / len(examined),
        spoken=sum(recited.text == fact.text for recited, fact in zip(known, examined, strict=True)) / len(examined),
        separated=separated,
        opened=opened,
    )


def _examine_soft_prompt(
    llm: CausalReader, exam: Exam, questions: int, steps: int, seed: int, report: Callable[[str], None]
) -> Outcome:
    memory = SoftPromptMemory(llm, seed=seed)
    report(f"training a soft prompt, {steps} steps for {len(exam.facts)} facts")
    training = memory.train([fact.text for fact in exam.facts], steps=steps, progress=True)
    examined = exam.facts[:questions]
    report(f"asking it {len(examined)} questions")
    continuations = [memory.generate(fact.beginning, max_new_tokens=8) for fact in examined]
    answers = [memory.generate(_question_prompt(llm, fact.question), max_new_tokens=ANSWER_TOKENS) for fact in examined]
    return Outcome(
        "soft prompt",
        len(exam.facts),
        continued=_share(_begins_with_value, continuations, examined),
        answered=_share(_contains_value, answers, examined),
        seconds=training.seconds / len(exam.facts),
        nbytes=memory.nbytes,
        losses=training.losses,
    )


def _answer(llm: CausalReader, facts: Sequence[Fact], recited: Sequence[str | None]) -> list[str]:
    """Answer the facts' questions as `HybridEngine` does, in a context that holds only what was recited."""
    prompts = [
        reminder_prompt(llm, [{"role": "user", "content": fact.question}], 0, text or "")
        for fact, text in zip(facts, recited, strict=True)
    ]
    reminded = [(prompt, plain) for prompt, plain in prompts if plain]
    reminded_answers = [
        answer
        for batch in _batches(reminded)
        for answer in llm.generate(
            [prompt for prompt, _ in batch],
            unconditional_prompts=[plain for _, plain in batch],
            max_new_tokens=ANSWER_TOKENS,
        )
    ]
    plain_answers = _generate(llm, [prompt for prompt, plain in prompts if not plain])
    next_reminded, next_plain = iter(reminded_answers), iter(plain_answers)
    return [next(next_reminded if plain else next_plain) for _, plain in prompts]


def _question_prompt(llm: CausalReader, question: str) -> str:
    """The prompt of a question in an empty context."""
    return llm.chat_prompt([{"role": "user", "content": question}])


def _generate(llm: CausalReader, prompts: Sequence[str]) -> list[str]:
    return [text for batch in _batches(prompts) for text in llm.generate(batch, max_new_tokens=ANSWER_TOKENS)]


def _begins_with_value(text: str | None, fact: Fact) -> bool:
    return text is not None and text.strip().startswith(f"{fact.value}.")


def _contains_value(text: str | None, fact: Fact) -> bool:
    return text is not None and fact.value.lower() in text.lower()


def _share(is_right: Callable[[str | None, Fact], bool], texts: Sequence[str | None], facts: Sequence[Fact]) -> float:
    return sum(is_right(text, fact) for text, fact in zip(texts, facts, strict=True)) / len(facts)


def _batches(items: Sequence[Item]) -> Iterator[list[Item]]:
    return (list(items[start : start + EXAM_BATCH]) for start in range(0, len(items), EXAM_BATCH))
