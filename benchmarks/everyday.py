"""Measures recall and labels in everyday conversations, with questions as people ask them of their assistants.

    python -m benchmarks.everyday [FILES] [--asked-before] [--bare] [--verify] [--show] [--k 10] [--json figures.json]

`benchmarks/data/everyday/README.md` describes the shipped conversations, their format and the kinds of questions. Each
conversation is memorized in a memory of its own, through the public interface. Every question is asked with the default
settings at the time that the file says, but at the earliest a day after the last turn.

With `--asked-before`, each question has been asked once before, in a session of its own, and the assistant has refused
it. These turns look most like the question and answer nothing. With `--bare`, turns are memorized as texts only,
without times, speakers and sessions.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.common.conversations import EVERYDAY
from benchmarks.common.environment import write_report
from benchmarks.common.metrics import hit_at, recall_at, reciprocal_rank
from titans_core import TitansMemory, Turn
from titans_core.readers import load_reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DAY = timedelta(days=1)

REFUSALS = (
    "I'm sorry, I don't know that yet.",
    "I don't have any information about that.",
    "Hmm, you haven't told me that so far.",
    "Sorry, I can't find anything on that in our conversations.",
    "I'm afraid I don't know. Could you tell me?",
    "No idea, I have nothing saved about it.",
    "That hasn't come up between us before, as far as I can see.",
    "I wish I could help, but I have no record of it.",
    "You never mentioned it to me, so I can't say.",
    "Unfortunately I'm not able to answer that question.",
)
"""What an assistant says when it does not know."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a conversation.

    Attributes:
        text: The text of the question.
        asked: When it is asked, in UTC.
        kind: The kind of the question, such as "update".
        answerable: Whether the conversation contains the answer.
        evidence: The ids of all turns from which one can answer; empty for an unanswerable question.
        needs_all: Whether the answer takes all of the evidence; otherwise each turn of it suffices.
        stale: The ids of the turns that say what is no longer true.
    """

    text: str
    asked: datetime
    kind: str
    answerable: bool
    evidence: frozenset[str]
    needs_all: bool
    stale: frozenset[str]


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation, and its questions.

    Attributes:
        id: The id of the conversation in its file.
        turns: The turns, in order, with their times in UTC.
        questions: The questions.
    """

    id: str
    turns: list[Turn]
    questions: list[Question]


@dataclass(frozen=True, slots=True)
class Answer:
    """The memory's answer to a question, and how good it is.

    Attributes:
        conversation: The id of the conversation.
        question: The question.
        label: The confidence label.
        probability: The probability that the first recall is relevant, in [0, 1]; None if the memory gives none.
        ranking: The ids of the recalled turns, best first.
        first: The text of the first recall; empty if nothing was recalled.
        repeats: Whether the first recall is an earlier question or refusal (see `--asked-before`).
    """

    conversation: str
    question: Question
    label: str
    probability: float | None
    ranking: list[str]
    first: str
    repeats: bool

    @property
    def hit1(self) -> float:
        """1 if the first recall is evidence, else 0."""
        return hit_at(self.ranking, self.question.evidence, 1)

    @property
    def any5(self) -> float:
        """1 if evidence is among the first five, else 0; the share of it, in [0, 1], if all of it is needed."""
        if self.question.answerable and self.question.needs_all:
            return recall_at(self.ranking, self.question.evidence, 5)
        return hit_at(self.ranking, self.question.evidence, 5)

    @property
    def mrr(self) -> float:
        """1 / rank of the first evidence; 0 without any."""
        return reciprocal_rank(self.ranking, self.question.evidence)

    @property
    def fresh(self) -> bool | None:
        """Whether evidence ranks above all that is no longer true; None for a question about nothing that changed."""
        if self.question.kind not in ("update", "correction") or not self.question.stale:
            return None
        return self.mrr > reciprocal_rank(self.ranking, self.question.stale)

    @property
    def is_wrong(self) -> bool:
        """Whether to look at it: a wrong first recall, an answerable question hidden, an unanswerable one trusted."""
        if self.question.answerable:
            return not self.hit1 or self.label == "none"
        return self.label == "high"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "files", nargs="*", type=Path, default=EVERYDAY, help="files of conversations; default: shipped"
    )
    parser.add_argument("--asked-before", action="store_true", help="each question was asked, and refused, before")
    parser.add_argument("--bare", action="store_true", help="memorize texts without times, speakers and sessions")
    parser.add_argument("--verify", action="store_true", help="let the verifier read the best recalls")
    parser.add_argument("--show", action="store_true", help="print the questions with a wrong recall or label")
    parser.add_argument("--k", type=int, default=10, help="number of recalls for each question, at least 5")
    parser.add_argument("--json", type=Path, help="write every figure and every answer to this file")
    options = parser.parse_args(arguments)
    conversations = [conversation for path in options.files for conversation in load_conversations(path)]
    console = Console()
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        answers = ask_memories(
            conversations,
            progress,
            asked_before=options.asked_before,
            bare=options.bare,
            verify=options.verify,
            k=options.k,
        )
    report = {
        "benchmark": "everyday",
        "data": [path.name for path in options.files],
        "asked_before": options.asked_before,
        "bare": options.bare,
        "verify": options.verify,
        "k": options.k,
        "conversations": len(conversations),
        "turns": sum(len(conversation.turns) for conversation in conversations),
        **measure(answers),
    }
    if options.show:
        show_wrong(answers, console)
    show(report, console)
    if options.json:
        write_report(options.json, {**report, "answers": [as_row(answer) for answer in answers]})


def load_conversations(path: Path) -> list[Conversation]:
    """Read a file of conversations in the format of `benchmarks/data/everyday/README.md`."""
    return [
        Conversation(
            item["id"],
            [
                Turn(
                    turn["text"],
                    speaker=turn["speaker"],
                    at=_parse_time(turn["date"]),
                    session=turn["session"],
                    id=turn["id"],
                )
                for turn in item["turns"]
            ],
            [
                Question(
                    text=question["question"],
                    asked=_parse_time(question["asked"]),
                    kind=question["kind"],
                    answerable=question["answerable"],
                    evidence=frozenset(question["evidence"]),
                    needs_all=question["needs"] == "all",
                    stale=frozenset(question["stale"]),
                )
                for question in item["questions"]
            ],
        )
        for item in json.loads(path.read_text(encoding="utf-8"))["conversations"]
    ]


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ask_memories(
    conversations: Sequence[Conversation], progress: Progress, *, asked_before: bool, bare: bool, verify: bool, k: int
) -> list[Answer]:
    """Memorize each conversation in a memory of its own, and ask its questions.

    Args:
        conversations: The conversations.
        progress: The display of the progress.
        asked_before: Whether each question has been asked, and refused, before.
        bare: Whether to memorize texts without times, speakers and sessions.
        verify: Whether the verifier reads the best recalls.
        k: The number of recalls for each question.

    Returns:
        The answers, in the order of the questions.
    """
    answers: list[Answer] = []
    task = progress.add_task("recall (questions)", total=sum(len(each.questions) for each in conversations))
    for conversation in conversations:
        earlier = ask_and_refuse(conversation) if asked_before else []
        turns = [*conversation.turns, *earlier]
        last = max(turn.at for turn in conversation.turns if turn.at)
        if bare:
            # Such turns are said when they are memorized: now.
            turns, last = [Turn(turn.text, id=turn.id) for turn in turns], datetime.now(UTC)
        earlier_ids = {turn.id for turn in earlier}
        with TitansMemory.open(":memory:", tenant="everyday", reader=load_reader(), verify=verify) as memory:
            memory.memorize_many(turns)
            for question in conversation.questions:
                found = memory.recall(question.text, k=k, now=max(question.asked, last + DAY))
                ranking = [recall.id for recall in found]
                answers.append(
                    Answer(
                        conversation.id,
                        question,
                        label=found.confidence.value,
                        probability=found.probability,
                        ranking=ranking,
                        first=found.best.turn.text if found.best else "",
                        repeats=bool(ranking) and ranking[0] in earlier_ids,
                    )
                )
                progress.advance(task)
    return answers


def ask_and_refuse(conversation: Conversation) -> list[Turn]:
    """Make turns in which the user asks each question, a minute after the other, and the assistant does not know."""
    rng = random.Random(conversation.id)  # noqa: S311 - repeatable, not secret
    last = max(turn.at for turn in conversation.turns if turn.at)
    turns: list[Turn] = []
    for number, question in enumerate(conversation.questions):
        session, at = f"asked before {number}", last + timedelta(minutes=number + 1)
        turns += [
            Turn(question.text, speaker="user", at=at, session=session, id=f"{session}: question"),
            Turn(
                rng.choice(REFUSALS),
                speaker="assistant",
                at=at + timedelta(seconds=5),
                session=session,
                id=f"{session}: refusal",
            ),
        ]
    return turns


def measure(answers: Sequence[Answer]) -> dict[str, Any]:
    """Compute all figures.

    Returns:
        "figures": over all questions, see `overall`. "medians": the median over the conversations of the means of
        hit1 and any5. "kinds": for each kind of question, its number and means. A mean over nothing is None.
    """
    by_kind: defaultdict[str, list[Answer]] = defaultdict(list)
    by_conversation: defaultdict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_kind[answer.question.kind].append(answer)
        if answer.question.answerable:
            by_conversation[answer.conversation].append(answer)
    return {
        "questions": len(answers),
        "figures": overall(answers),
        "medians": {
            name: median(fmean(getattr(answer, name) for answer in group) for group in by_conversation.values())
            for name in ("hit1", "any5")
            if by_conversation
        },
        "kinds": {kind: averages(group) for kind, group in sorted(by_kind.items())},
    }


def averages(answers: Sequence[Answer]) -> dict[str, float | None]:
    """Return the number of questions, and the means of the ranking metrics and of the labels `high` and `none`."""
    answerable = [answer for answer in answers if answer.question.answerable]
    return {
        "questions": len(answers),
        "hit1": mean(answer.hit1 for answer in answerable),
        "any5": mean(answer.any5 for answer in answerable),
        "mrr": mean(answer.mrr for answer in answerable),
        "high": mean(answer.label == "high" for answer in answers),
        "none": mean(answer.label == "none" for answer in answers),
    }


def overall(answers: Sequence[Answer]) -> dict[str, float | None]:
    """Measure the ranking of answerable questions, and how far all labels can be trusted.

    Returns:
        "hit1", "any5", "mrr": means over the answerable questions.
        "fresh": of the questions about what changed or was corrected, the share whose evidence ranks above all that is
        no longer true.
        "high": the number of answers with this label.
        "high_right": of these, the share whose first recall is evidence.
        "high_coverage": of the answerable questions, the share with `high`.
        "high_on_unanswerable": of all others, small talk too, the share with `high`.
        "none_on_answerable": of the answerable questions, the share with `none`.
        "none_hides": the share with `none` although evidence is among the first five.
        "none_on_unanswerable", "none_on_smalltalk": of these questions, the share with `none`.
        "old_question_first": of all questions, the share whose first recall is an earlier question or refusal.
    """
    answerable = [answer for answer in answers if answer.question.answerable]
    others = [answer for answer in answers if not answer.question.answerable]
    high = [answer for answer in answers if answer.label == "high"]
    return {
        "hit1": mean(answer.hit1 for answer in answerable),
        "any5": mean(answer.any5 for answer in answerable),
        "mrr": mean(answer.mrr for answer in answerable),
        "fresh": mean(answer.fresh for answer in answers if answer.fresh is not None),
        "high": len(high),
        "high_right": mean(answer.hit1 for answer in high),
        "high_coverage": mean(answer.label == "high" for answer in answerable),
        "high_on_unanswerable": mean(answer.label == "high" for answer in others),
        "none_on_answerable": mean(answer.label == "none" for answer in answerable),
        "none_hides": mean(answer.label == "none" and answer.any5 > 0 for answer in answerable),
        "none_on_unanswerable": mean(
            answer.label == "none" for answer in others if answer.question.kind != "smalltalk"
        ),
        "none_on_smalltalk": mean(answer.label == "none" for answer in others if answer.question.kind == "smalltalk"),
        "old_question_first": mean(answer.repeats for answer in answers),
    }


def mean(values: Iterable[float]) -> float | None:
    """Return the mean of the values; None if there are none."""
    values = list(values)
    return fmean(values) if values else None


def as_row(answer: Answer) -> dict[str, Any]:
    """Return an answer as JSON values."""
    question = answer.question
    return {
        "conversation": answer.conversation,
        "question": question.text,
        "kind": question.kind,
        "answerable": question.answerable,
        "label": answer.label,
        "probability": answer.probability,
        "hit1": answer.hit1,
        "any5": answer.any5,
        "mrr": answer.mrr,
        "fresh": answer.fresh,
        "repeats": answer.repeats,
        "ranking": answer.ranking,
        "first": answer.first,
    }


def show_wrong(answers: Sequence[Answer], console: Console) -> None:
    """Print the questions with a wrong recall or label: the rank of evidence, and what came first."""
    for answer in answers:
        if answer.is_wrong:
            rank = f"evidence at {1 / answer.mrr:.0f}" if answer.mrr else "no evidence"
            question = answer.question
            console.print(
                f"{question.kind} · {answer.label} · {rank} · {question.text} ← {answer.first[:90]}",
                markup=False,
                highlight=False,
            )


def show(report: dict[str, Any], console: Console) -> None:
    """Print the figures in two tables, which fit a terminal of 80 columns."""
    console.print(kind_table(report))
    console.print(overall_table(report))


def kind_table(report: dict[str, Any]) -> Table:
    """Make a table with a row for each kind of question."""
    title = f"everyday: {report['conversations']} conversations, {report['turns']} turns"
    table = Table("kind", title=title, box=SIMPLE_HEAD)
    for heading in ("questions", "hit1", "any5", "mrr", "high", "none"):
        table.add_column(heading, justify="right")
    for kind, row in report["kinds"].items():
        count, *means = row.values()
        table.add_row(kind, str(count), *map(format_mean, means))
    return table


def overall_table(report: dict[str, Any]) -> Table:
    """Make a table with a row for each figure over all questions."""
    figures, medians = report["figures"], report["medians"]
    table = Table("over all questions", title=f"{report['questions']} questions", box=SIMPLE_HEAD)
    table.add_column("mean", justify="right")
    table.add_column("median conversation", justify="right")
    for name, figure in figures.items():
        if name != "high" and (name != "old_question_first" or report["asked_before"]):
            table.add_row(name.replace("_", " "), format_mean(figure), format_mean(medians.get(name), missing=""))
    table.caption = f"{figures['high']} answers are labelled high"
    return table


def format_mean(value: float | None, missing: str = "-") -> str:
    """Return a mean with three digits, or what stands for a missing one."""
    return missing if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
