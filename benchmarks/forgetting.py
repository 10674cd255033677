"""Measures what retention forgets and consolidation keeps: recall of old turns against their age.

    python -m benchmarks.forgetting [--turns 20000] [--retention 0.9998] [--figure ages.png] [--json figures.json]

Made-up facts are memorized, one turn each. Questions about facts of every age are asked of the neural memory alone (the
weights), then of the whole memory, which has the log. The file is opened three times: with a memory that keeps
everything, with a memory that fades, and with the fading memory after `consolidate()`. Half of the facts matter: they
are recalled three times before the consolidation.
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

AGES, EACH, DEPTH = 10, 40, 10
"""Bins of age, facts asked for in each, and how many recalls count as found."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20_000, help="facts to memorize")
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
    """Recall by age, for every way to keep or forget."""
    facts = make_facts(turns, seed=0)
    rng = random.Random(1)  # noqa: S311 - repeatable, not secret
    width = turns // AGES
    asked = [sorted(rng.sample(range(start, start + width), EACH)) for start in range(0, width * AGES, width)]
    matters = {row for rows in asked for row in rows[::2]}
    curves: dict[str, dict[str, list[float]]] = {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "memory.db"
        with TitansMemory.open(path, tenant="t") as memory:
            memory.memorize_many((fact.text for fact in facts), progress=True)
            curves["keeps everything"] = ask(memory, facts, asked, matters, 1.0)
        with TitansMemory.open(path, tenant="t", retention=retention) as memory:
            curves["fades"] = ask(memory, facts, asked, matters, retention)
            for row in track(sorted(matters), description="recalling"):
                for _ in range(3):
                    memory.recall(facts[row].question)
            start = time.perf_counter()
            rehearsed = memory.consolidate(share=len(matters) / turns)
            took = time.perf_counter() - start
            curves["fades, consolidated"] = ask(memory, facts, asked, matters, retention)
    ages = [turns - (index + 0.5) * width for index in range(AGES)]
    return {
        "turns": turns,
        "retention": retention,
        "ages": ages,
        "rehearsed": rehearsed,
        "seconds": took,
        "R@10": curves,
    }


def ask(
    memory: TitansMemory, facts: Sequence[Fact], asked: Sequence[Sequence[int]], matters: set[int], retention: float
) -> dict[str, list[float]]:
    """R@10 by age, oldest first: of the weights alone for what matters and what does not, and of the whole memory."""
    found: dict[str, list[float]] = {"weights, matters": [], "weights, other": [], "whole memory": []}
    for rows in track(asked, description="asking"):
        alone = {row: by_weights(memory, facts[row].question, row, retention) for row in rows}
        found["weights, matters"].append(fmean(alone[row] for row in rows if row in matters))
        found["weights, other"].append(fmean(alone[row] for row in rows if row not in matters))
        texts = ([recall.text for recall in memory.recall(facts[row].question, k=DEPTH)] for row in islice(rows, 10))
        hits = [facts[row].text in recalled for row, recalled in zip(rows, texts, strict=False)]
        found["whole memory"].append(fmean(hits))
    return found


def by_weights(memory: TitansMemory, question: str, row: int, retention: float) -> bool:
    """Whether the weights alone have the fact of this row among their first answers."""
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
        "memory", "asked", title=f"R@{DEPTH} by age in turns, {report['turns']} turns, retention {report['retention']}"
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
    """Recall against age: what matters on the left, the rest on the right."""
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
