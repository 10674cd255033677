"""Measures what retention forgets and what consolidation preserves: recall of facts against their age.

    python -m benchmarks.forgetting [--turns 20000] [--retention 0.9998] [--figure ages.png] [--json figures.json]

Synthetic facts are memorized, one fact for each turn. The questions are about facts of every age. They are asked of
the neural memory alone (the weights), and of the whole memory, which also has the log. There are three measurements of
the same file: with a memory that keeps everything, with a memory that fades, and with the fading memory after
`consolidate()`. Half of the facts with a question are important: they are recalled three times before the
consolidation.
"""

from __future__ import annotations

import argparse
import random
import time
from itertools import islice
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.common.environment import write_report
from benchmarks.common.synthetic import make_facts
from titans_core import TitansMemory
from titans_core.readers import load_reader
from titans_core.retrieval.associative import associative_scores, token_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.common.synthetic import Fact

AGE_BINS = 10
"""Number of bins of age."""

FACTS_PER_BIN = 40
"""Number of facts in each bin that have a question."""

DEPTH = 10
"""A fact counts as found if it is among this number of best recalls."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20_000, help="number of facts to memorize")
    parser.add_argument("--retention", type=float, default=0.9998, help="retention of the memory that fades")
    parser.add_argument("--figure", type=Path, help="draw recall against age to this file")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args(arguments)
    report = {"benchmark": "forgetting", **measure(options.turns, options.retention)}
    show(report)
    if options.figure:
        draw(report, options.figure)
    if options.json:
        write_report(options.json, report)


def measure(turns: int, retention: float) -> dict[str, Any]:
    """Measure recall by age, for every way to keep or forget.

    Args:
        turns: The number of facts to memorize, at least 400.
        retention: The retention of the memory that fades, in (0, 1).

    Returns:
        The figures of the report.
    """
    facts = make_facts(turns, seed=0)
    rng = random.Random(1)  # noqa: S311 - repeatable, not secret
    width = turns // AGE_BINS
    starts = range(0, width * AGE_BINS, width)
    bins = [sorted(rng.sample(range(start, start + width), FACTS_PER_BIN)) for start in starts]
    important = {row for rows in bins for row in rows[::2]}
    curves: dict[str, dict[str, list[float]]] = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "memory.db"
        with TitansMemory.open(path, tenant="t") as memory:
            memory.memorize_many((fact.text for fact in facts), progress=True)
            curves["keeps everything"] = measure_recall(memory, facts, bins, important, 1.0)
        with TitansMemory.open(path, tenant="t", retention=retention) as memory:
            curves["fades"] = measure_recall(memory, facts, bins, important, retention)
            for row in track(sorted(important), description="recalling"):
                for _ in range(3):
                    memory.recall(facts[row].question)
            start = time.perf_counter()
            rehearsed = memory.consolidate(share=len(important) / turns)
            seconds = time.perf_counter() - start
            curves["fades, consolidated"] = measure_recall(memory, facts, bins, important, retention)
    ages = [turns - (index + 0.5) * width for index in range(AGE_BINS)]
    return {
        "turns": turns,
        "retention": retention,
        "ages": ages,
        "rehearsed": rehearsed,
        "seconds": seconds,
        "R@10": curves,
    }


def measure_recall(
    memory: TitansMemory, facts: Sequence[Fact], bins: Sequence[Sequence[int]], important: set[int], retention: float
) -> dict[str, list[float]]:
    """Measure R@10 by age.

    Args:
        memory: The memory of the facts.
        facts: All facts, oldest first.
        bins: For each bin of age, oldest first, the rows of the facts that have a question.
        important: The rows of the important facts.
        retention: The retention of the memory.

    Returns:
        R@10 for each bin: of the weights alone, for important facts and for other facts; and of the whole memory, for
        the first ten facts of the bin.
    """
    curves: dict[str, list[float]] = {"weights, matters": [], "weights, other": [], "whole memory": []}
    for rows in track(bins, description="asking"):
        by_weights = {row: found_by_weights(memory, facts[row].question, row, retention) for row in rows}
        curves["weights, matters"].append(fmean(by_weights[row] for row in rows if row in important))
        curves["weights, other"].append(fmean(by_weights[row] for row in rows if row not in important))
        texts = ([recall.text for recall in memory.recall(facts[row].question, k=DEPTH)] for row in islice(rows, 10))
        hits = [facts[row].text in recalled for row, recalled in zip(rows, texts, strict=False)]
        curves["whole memory"].append(fmean(hits))
    return curves


def found_by_weights(memory: TitansMemory, question: str, row: int, retention: float) -> bool:
    """Return whether the weights alone rank the fact of this row among the first ten."""
    [reading] = load_reader().read([question])
    with memory.knowledge() as known:
        passages = known.index.passages()
        scores = associative_scores(
            known.state,
            passages.columns,
            reading.keys,
            token_weights(known.spec, known.state, reading.keys),
            lengths=passages.lengths,
            retention_factors=known.index.retention_factors(known.state.updates, retention),
            passages=np.ones(len(passages.columns), np.int32),
        )
    return int((scores > scores[row]).sum()) < DEPTH


def show(report: dict[str, Any]) -> None:
    """Print recall by age as a table."""
    table = Table(
        "memory",
        "answered by",
        title=f"R@{DEPTH} by age in turns, {report['turns']} turns, retention {report['retention']}",
    )
    for age in report["ages"]:
        table.add_column(f"{age:.0f}", justify="right")
    for memory, curves in report["R@10"].items():
        table.add_section()
        for label, values in curves.items():
            table.add_row(memory, label, *(f"{value:.2f}".removeprefix("0") for value in values))
    table.caption = f"{report['rehearsed']} turns rehearsed; consolidation took {report['seconds']:.0f} s"
    Console(width=140).print(table)


def draw(report: dict[str, Any], path: Path) -> None:
    """Draw recall against age: important facts on the left, other facts on the right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    colours = {"keeps everything": "#0072B2", "fades": "#D55E00", "fades, consolidated": "#009E73"}
    styles = {"keeps everything": "-", "fades": "--", "fades, consolidated": "-."}
    left, right = figure.subplots(1, 2, sharey=True)
    titles = {"weights, matters": "recalled three times before", "weights, other": "never recalled before"}
    for axes, (curve, title) in zip((left, right), titles.items(), strict=True):
        for memory, curves in report["R@10"].items():
            axes.plot(report["ages"], curves[curve], styles[memory], marker="o", color=colours[memory], label=memory)
        whole = report["R@10"]["fades"]["whole memory"]
        axes.plot(report["ages"], whole, ":", color="black", label="fades, whole memory with its log")
        axes.set(xlabel="age of the fact (turns)", title=f"Facts {title}", ylim=(0, 1.03))
        axes.grid(alpha=0.3)
    left.set_ylabel(f"R@{DEPTH}, weights alone")
    right.legend(loc="lower left", fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
