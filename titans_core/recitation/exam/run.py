"""The tutorials' test: teach facts, clear the context, ask. Who can still answer?"""

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
"""Questions that are answered side by side."""

OTHERS = 200
"""Questions of each kind that nothing answers."""

ANSWER = 24
"""Tokens of an answer."""


@dataclass(frozen=True)
class Outcome:
    """What one contestant could still tell. Shares lie in [0, 1]; None where there is no such thing.

    Attributes:
        name: "recitation", "soft prompt", or "LLM alone".
        facts: that were taught.
        continued: share of exact beginnings that were continued with the value.
        answered: share of questions, in other words than the fact, to which the LLM's answer holds the value.
        seconds: per fact, to learn: the median for the recitation, the mean for the soft prompt.
        nbytes: of what was learned.
        addressed: share of questions that found their fact.
        recited: share of facts that were recited word for word, from their place in memory.
        spoken: share of questions that found their fact, had it recited word for word, and opened the gate.
        separated: AUROC of the familiarity between known questions and those about the same names ("near"), about
            strangers ("unknown"), and about something else ("unrelated").
        opened: how often the gate opened for each of these, a share.
        losses: of each step of the soft prompt's training, in nats per token.
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
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Outcome]:
    """Teach facts to a new memory, clear the context, and ask for them, in the exact and in other words.

    Args:
        llm: the frozen language model.
        encoder: reads questions and facts as sentence vectors.
        facts: how many to teach, from 1 to 1,024.
        seed: of the facts.
        questions: about so many of the facts each contestant is asked, the first ones.
        baseline_steps: of training for the soft prompt; 0 leaves it out. The tutorials take 600 a fact.
        tell: called with a sentence before each step that takes long.

    Yields:
        The outcome of the recitation, of the LLM alone, and of the soft prompt.
    """
    exam = make_exam(facts, seed=seed, negatives=OTHERS)
    yield _recitation(llm, encoder, exam, questions, tell)
    asked = exam.facts[:questions]
    tell(f"asking the model alone, {len(asked)} questions")
    yield Outcome(
        "LLM alone",
        facts,
        continued=_share(_begins, _generated(llm, [fact.beginning for fact in asked]), asked),
        answered=_share(_holds, _generated(llm, [_asking(llm, fact.question) for fact in asked]), asked),
    )
    if baseline_steps:
        yield _soft_prompt(llm, exam, questions, baseline_steps, seed, tell)


def _recitation(llm: CausalReader, encoder: Reader, exam: Exam, questions: int, tell: Callable[[str], None]) -> Outcome:
    facts = exam.facts
    recitation = Recitation(llm, encoder)
    tell(f"learning {len(facts)} facts, one forward pass each")
    seconds = []
    for count in range(1, len(facts) + 1):
        start = time.perf_counter()
        recitation.learn([fact.text for fact in facts[:count]])
        seconds.append(time.perf_counter() - start)
    slots, _ = recitation.address([fact.question for fact in facts])
    asked = facts[:questions]
    tell(f"reciting {len(asked)} facts")
    by_place = [text for batch in _batches(range(len(asked))) for text in recitation.recite(batch)]
    continued = [
        one.text for batch in _batches(asked) for one in recitation.complete_many([f.beginning for f in batch])
    ]
    known = [one for batch in _batches(asked) for one in recitation.ask_many([fact.question for fact in batch])]
    tell(f"answering {len(asked)} questions")
    answers = _answered(llm, asked, [one.text for one in known])
    separated, opened = {}, {}
    for kind, others in (("near", exam.near), ("unknown", exam.unknown), ("unrelated", exam.unrelated)):
        tell(f"asking {len(others)} {kind} questions that nothing answers")
        heard = [one for batch in _batches(others) for one in recitation.ask_many(batch)]
        right = [1] * len(known) + [0] * len(heard)
        separated[kind] = float(roc_auc_score(right, [one.familiarity for one in (*known, *heard)]))
        opened[kind] = sum(one.text is not None for one in heard) / len(heard)
    return Outcome(
        "recitation",
        len(facts),
        continued=_share(_begins, continued, asked),
        answered=_share(_holds, answers, asked),
        seconds=statistics.median(seconds),
        nbytes=recitation.nbytes,
        addressed=sum(place == slot for place, slot in enumerate(slots.tolist())) / len(facts),
        recited=sum(text == fact.text for text, fact in zip(by_place, asked, strict=True)) / len(asked),
        spoken=sum(one.text == fact.text for one, fact in zip(known, asked, strict=True)) / len(asked),
        separated=separated,
        opened=opened,
    )


def _soft_prompt(
    llm: CausalReader, exam: Exam, questions: int, steps: int, seed: int, tell: Callable[[str], None]
) -> Outcome:
    memory = SoftPromptMemory(llm, seed=seed)
    tell(f"training a soft prompt, {steps} steps for {len(exam.facts)} facts")
    training = memory.train([fact.text for fact in exam.facts], steps=steps, progress=True)
    asked = exam.facts[:questions]
    tell(f"asking it {len(asked)} questions")
    return Outcome(
        "soft prompt",
        len(exam.facts),
        continued=_share(_begins, [memory.generate(fact.beginning, max_new_tokens=8) for fact in asked], asked),
        answered=_share(
            _holds, [memory.generate(_asking(llm, fact.question), max_new_tokens=ANSWER) for fact in asked], asked
        ),
        seconds=training.seconds / len(exam.facts),
        nbytes=memory.nbytes,
        losses=training.losses,
    )


def _answered(llm: CausalReader, facts: Sequence[Fact], recited: Sequence[str | None]) -> list[str]:
    """As `HybridEngine` answers in a context that is empty but for what was recited."""
    prompts = [
        reminder_prompt(llm, [{"role": "user", "content": fact.question}], 0, text or "")
        for fact, text in zip(facts, recited, strict=True)
    ]
    relying = [(prompt, plain) for prompt, plain in prompts if plain]
    written = [
        answer
        for batch in _batches(relying)
        for answer in llm.generate(
            [prompt for prompt, _ in batch], unconditional_prompts=[plain for _, plain in batch], max_new_tokens=ANSWER
        )
    ]
    relied, silent = iter(written), iter(_generated(llm, [prompt for prompt, plain in prompts if not plain]))
    return [next(relied if plain else silent) for _, plain in prompts]


def _asking(llm: CausalReader, question: str) -> str:
    """A question in an empty context."""
    return llm.chat_prompt([{"role": "user", "content": question}])


def _generated(llm: CausalReader, prompts: Sequence[str]) -> list[str]:
    return [text for batch in _batches(prompts) for text in llm.generate(batch, max_new_tokens=ANSWER)]


def _begins(text: str | None, fact: Fact) -> bool:
    return text is not None and text.strip().startswith(f"{fact.value}.")


def _holds(text: str | None, fact: Fact) -> bool:
    return text is not None and fact.value.lower() in text.lower()


def _share(right: Callable[[str | None, Fact], bool], texts: Sequence[str | None], facts: Sequence[Fact]) -> float:
    return sum(right(text, fact) for text, fact in zip(texts, facts, strict=True)) / len(facts)


def _batches(items: Sequence[Item]) -> Iterator[list[Item]]:
    return (list(items[start : start + EXAM_BATCH]) for start in range(0, len(items), EXAM_BATCH))
