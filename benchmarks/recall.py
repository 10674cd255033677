"""Measures how well the memory finds the evidence of questions, compared with cosine similarity and BM25.

    python -m benchmarks.recall --data conversations.json [--limit 2] [--strategy NAME] [--verify] [--ablate]
        [--json figures.json]

The format of the file is described in `benchmarks/common/conversations.py`. Each conversation is memorized as a tenant
of one temporary memory, through the public interface. Then every question is asked with the default settings. With
`--ablate`, the same candidates are also ranked without each part of the score.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.common.baselines import bm25_scores, cosine_scores, rank
from benchmarks.common.conversations import load_conversations
from benchmarks.common.environment import write_report
from benchmarks.common.metrics import (
    DEPTH,
    EVERYTHING,
    LABELS,
    average_by_category,
    judge_labels,
    percentiles,
    score_ranking,
)
from titans_core import MemoryBank
from titans_core.readers import load_reader
from titans_core.retrieval import Weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.common.conversations import Conversation, Question
    from titans_core import Recollection


@dataclass(slots=True)
class Answers:
    """The memory's answers to all questions, and their costs.

    Attributes:
        rankings: The ids of the recalled turns, best first, for each question.
        labels: The confidence label of each answer.
        ablated: For each part of the score, the rankings without the part.
        recall_seconds: The duration of each recall.
        memorize_seconds: The duration of memorizing all conversations.
        bytes_on_disk: The size of the file.
    """

    rankings: list[list[str]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    ablated: dict[str, list[list[str]]] = field(default_factory=dict)
    recall_seconds: list[float] = field(default_factory=list)
    memorize_seconds: float = 0.0
    bytes_on_disk: int = 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="file of conversations and questions")
    parser.add_argument("--limit", type=int, help="only the first N conversations")
    parser.add_argument("--verify", action="store_true", help="let the verifier read the best recalls")
    parser.add_argument(
        "--strategy",
        help="name of the strategy that labels the recalls; the default may have been calibrated on the data",
    )
    parser.add_argument("--ablate", action="store_true", help="also rank without each part of the score")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args(arguments)
    name, conversations = load_conversations(options.data, options.limit)
    console = Console()
    columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        figures = measure(
            conversations, progress, ablate=options.ablate, strategy=options.strategy, verify=options.verify
        )
        report = {"benchmark": "recall", "data": name, **figures}
    show(report, console)
    if options.json:
        write_report(options.json, report)


def measure(
    conversations: Sequence[Conversation],
    progress: Progress,
    *,
    ablate: bool = False,
    strategy: str | None = None,
    verify: bool = False,
) -> dict[str, Any]:
    """Compute all figures of the memory and of both baselines.

    Args:
        conversations: The conversations.
        progress: The display of the progress.
        ablate: Whether to rank without each part of the score, too.
        strategy: The name of the strategy that labels the recalls; None for the default.
        verify: Whether the verifier reads the best recalls.

    Returns:
        The figures of the report.
    """
    answers = ask_memory(conversations, progress, ablate=ablate, strategy=strategy, verify=verify)
    questions = [question for conversation in conversations for question in conversation.questions]
    turns = sum(len(conversation.turns) for conversation in conversations)
    rankings = {"titans": answers.rankings, **answers.ablated, **ask_baselines(conversations, progress)}
    return {
        "conversations": len(conversations),
        "turns": turns,
        "questions": len(questions),
        "rankings": {method: score_rankings(questions, ranked) for method, ranked in rankings.items()},
        "labels": judge_answers(questions, answers),
        "memorize_turns_per_second": turns / answers.memorize_seconds,
        "recall_ms": percentiles([seconds * 1000 for seconds in answers.recall_seconds]),
        "bytes_per_turn": answers.bytes_on_disk / turns,
    }


def ask_memory(
    conversations: Sequence[Conversation], progress: Progress, *, ablate: bool, strategy: str | None, verify: bool
) -> Answers:
    """Memorize every conversation and ask its questions; the durations exclude loading the model."""
    answers = Answers()
    reader = load_reader()
    reader.read(["The first reading warms the model up."])
    turns_task = progress.add_task("memorize (turns)", total=sum(len(each.turns) for each in conversations))
    questions_task = progress.add_task("recall (questions)", total=sum(len(each.questions) for each in conversations))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "memory.db"
        bank = MemoryBank(path, reader=reader, strategy=strategy, verify=verify)
        for conversation in conversations:
            with bank.tenant(conversation.id) as memory:
                start = time.perf_counter()
                memory.memorize_many(conversation.turns)
                answers.memorize_seconds += time.perf_counter() - start
                progress.advance(turns_task, len(conversation.turns))
                for question in conversation.questions:
                    start = time.perf_counter()
                    found = memory.recall(question.text, k=EVERYTHING if ablate else DEPTH)
                    answers.recall_seconds.append(time.perf_counter() - start)
                    answers.rankings.append([recall.id for recall in found][:DEPTH])
                    if ablate:
                        rank_without_parts(found, answers.ablated)
                    answers.labels.append(found.confidence.value)
                    progress.advance(questions_task)
        bank.close()
        # The size is measured after closing and opening, because closing writes everything back into the file.
        with MemoryBank(path, reader=reader) as bank, bank.tenant(conversations[0].id) as memory:
            answers.bytes_on_disk = memory.stats().log_bytes
    return answers


def rank_without_parts(found: Recollection, ablated: dict[str, list[list[str]]]) -> None:
    """Rank the recalls without each part of the score, and add the rankings to `ablated`."""
    for part in Weights.fitted().parts:
        ranking = sorted(found, key=lambda recall: recall.why[part] - recall.score)
        ablated.setdefault(f"-{part}", []).append([recall.id for recall in ranking[:DEPTH]])


def ask_baselines(conversations: Sequence[Conversation], progress: Progress) -> dict[str, list[list[str]]]:
    """Rank by cosine similarity (the reader's model in float32) and by BM25, without and with speakers."""
    model = load_reader(quantization=None).model
    task = progress.add_task("baselines (questions)", total=sum(len(each.questions) for each in conversations))
    rankings: dict[str, list[list[str]]] = {"cosine": [], "cosine+s": [], "bm25": [], "bm25+s": []}
    for conversation in conversations:
        ids = [turn.id or "" for turn in conversation.turns]
        bare = [turn.text for turn in conversation.turns]
        spoken = [f"{turn.speaker}: {turn.text}" for turn in conversation.turns]
        queries = [question.text for question in conversation.questions]
        if queries:
            for suffix, texts in (("", bare), ("+s", spoken)):
                rankings["cosine" + suffix] += rank(cosine_scores(model, texts, queries), ids, DEPTH)
                rankings["bm25" + suffix] += rank(bm25_scores(texts, queries), ids, DEPTH)
        progress.advance(task, len(queries))
    return rankings


def score_rankings(questions: Sequence[Question], rankings: Sequence[list[str]]) -> dict[str, dict[str, float]]:
    """Average the metrics by category, over the questions that have evidence."""
    return average_by_category(
        (question.category, score_ranking(ranking, question.evidence))
        for question, ranking in zip(questions, rankings, strict=True)
        if question.answerable
    )


def judge_answers(questions: Sequence[Question], answers: Answers) -> dict[str, Any]:
    """Measure how far the labels can be trusted; see `judge_labels`."""
    labelled = list(zip(questions, answers.labels, answers.rankings, strict=True))
    return judge_labels(
        [(label, first_is_evidence(ranking, question)) for question, label, ranking in labelled if question.answerable],
        [label for question, label, _ in labelled if not question.answerable],
    )


def first_is_evidence(ranking: Sequence[str], question: Question) -> bool:
    """Return whether the first turn of the ranking is evidence."""
    return bool(ranking) and ranking[0] in question.evidence


def show(report: dict[str, Any], console: Console) -> None:
    """Print the figures: two tables, and a line about speed and size."""
    console.print(ranking_table(report))
    console.print(label_table(report["labels"]))
    recall = report["recall_ms"]
    console.print(
        f"{report['turns']} turns memorized at {report['memorize_turns_per_second']:.0f} a second · "
        f"recall p50 {recall['p50']:.1f} ms, p95 {recall['p95']:.1f} ms · "
        f"{report['bytes_per_turn'] / 1024:.1f} KiB a turn on disk"
    )


def ranking_table(report: dict[str, Any]) -> Table:
    """Make a table with a block for each category, and a row for each method. It fits a terminal of 80 columns."""
    rankings: dict[str, dict[str, dict[str, float]]] = report["rankings"]
    title = f"{report['data']}: {report['conversations']} conversations, {report['turns']} turns"
    table = Table("category", "method", title=title, box=SIMPLE_HEAD, padding=0)
    table.caption = '+s: each turn as "speaker: text"; otherwise its bare text'
    categories = rankings["titans"]
    metrics = [name for name in next(iter(categories.values()), {}) if name != "questions"]
    for metric in metrics:
        table.add_column(metric, justify="right", no_wrap=True)
    for category, averages in categories.items():
        table.add_section()
        # Spaces allow rich to break a long name into lines.
        labels = chain([category.replace("_", " "), f"({averages['questions']})"], repeat(""))
        for label, (method, by_category) in zip(labels, rankings.items(), strict=False):
            figures = (f"{by_category[category][metric]:.3f}".removeprefix("0") for metric in metrics)
            table.add_row(label, method, *figures)
    return table


def label_table(labels: dict[str, Any]) -> Table:
    """Make a table with a row for each label."""
    table = Table("label", title="labels of the memory")
    for heading in ("answerable", "first recall is evidence", "unanswerable"):
        table.add_column(heading, justify="right")
    for label in LABELS:
        counts = labels["answerable"][label]
        precision = "-" if counts["precision"] is None else f"{counts['precision']:.1%}"
        table.add_row(label, str(counts["count"]), precision, str(labels["unanswerable"][label]))
    false_high = labels["false_high"]
    table.caption = "no unanswerable question" if false_high is None else f"false high: {false_high:.1%}"
    return table


if __name__ == "__main__":
    main()
