"""Measures how long memorizing and recalling take, with synthetic turns.

    python -m benchmarks.speed [--turns 10000] [--json figures.json]

The program measures, each with its median and 95th percentile:

* `memorize` of a single turn of 20 words into a file,
* `memorize_many` and the bare reader on the same turns; every round measures both, so that a busy machine slows both,
* `recall` in the memory that these rounds have filled, including the reading of the query.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.common.environment import write_report
from benchmarks.common.metrics import percentiles
from benchmarks.common.synthetic import make_facts
from titans_core import MemoryBank
from titans_core.readers import load_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.common.synthetic import Fact
    from titans_core import TitansMemory
    from titans_core.readers import EncoderReader

SINGLE_TURNS = 200
"""Number of turns that are memorized one by one."""

QUERIES = 200
"""The largest number of queries."""

ROUND = 500
"""Number of turns that are read and memorized in one round."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=10_000, help="number of turns in the memory that recalls")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args(arguments)
    report = {"benchmark": "speed", "turns": options.turns, **measure(options.turns)}
    show(report, Console())
    if options.json:
        write_report(options.json, report)


def measure(turns: int) -> dict[str, Any]:
    """Measure all figures with a memory of so many turns; the durations exclude loading the model."""
    reader = load_reader()
    reader.read(["The first reading warms the model up."])
    facts = make_facts(turns, seed=2)
    with TemporaryDirectory() as folder, MemoryBank(Path(folder) / "memory.db", reader=reader) as bank:
        with bank.tenant("single") as memory:
            single = measure_single(memory)
        with bank.tenant("many") as memory:
            return {
                "memorize_ms": single,
                **measure_batches(memory, reader, facts),
                "recall_ms": measure_recall(memory, facts),
            }


def measure_single(memory: TitansMemory) -> dict[str, float]:
    """Measure the milliseconds for memorizing one turn of 20 words, each in its own transaction."""
    facts = make_facts(SINGLE_TURNS, seed=1, words=range(20, 21))
    each = track(facts, description="memorize, one turn at a time")
    return percentiles([1000 * seconds(memory.memorize, fact.text) for fact in each])


def measure_batches(memory: TitansMemory, reader: EncoderReader, facts: Sequence[Fact]) -> dict[str, Any]:
    """Measure the turns per second of the memory and of the bare reader, and their ratio in each round."""
    memory_rates, reader_rates, ratios = [], [], []
    rounds = [facts[start : start + ROUND] for start in range(0, len(facts), ROUND)]
    for number, batch in enumerate(track(rounds, description="memorize_many and the bare reader")):
        texts = [fact.text for fact in batch]
        # The two calls take turns in going first, because the second call profits from warm caches.
        pair: list[tuple[str, Callable[[Any], object]]] = [("memory", memory.memorize_many), ("reader", reader.read)]
        calls = pair[:: 1 if number % 2 else -1]
        durations = {name: seconds(call, texts) for name, call in calls}
        memory_rates.append(len(batch) / durations["memory"])
        reader_rates.append(len(batch) / durations["reader"])
        ratios.append(durations["reader"] / durations["memory"])
    return {
        "memorize_many_turns_per_second": percentiles(memory_rates),
        "reader_turns_per_second": percentiles(reader_rates),
        "memorize_many_to_reader": percentiles(ratios),
    }


def measure_recall(memory: TitansMemory, facts: Sequence[Fact]) -> dict[str, float]:
    """Measure the milliseconds for one recall of five turns, with questions spread evenly over the memory."""
    chosen = facts[:: max(1, len(facts) // QUERIES)][:QUERIES]
    return percentiles([1000 * seconds(memory.recall, fact.question) for fact in track(chosen, description="recall")])


def seconds(call: Callable[[Any], object], argument: Any) -> float:
    """Return the wall-clock time of one call."""
    start = time.perf_counter()
    call(argument)
    return time.perf_counter() - start


def show(report: dict[str, Any], console: Console) -> None:
    """Print the figures as a table."""
    table = Table("what", "unit", title=f"speed, {report['turns']} turns")
    for heading in ("p50", "p95", "measurements"):
        table.add_column(heading, justify="right")
    rows = {
        "memorize, one turn of 20 words": ("ms", "memorize_ms"),
        f"memorize_many, {ROUND} turns": ("turns/s", "memorize_many_turns_per_second"),
        "the bare reader, same turns": ("turns/s", "reader_turns_per_second"),
        "memorize_many : bare reader": ("ratio", "memorize_many_to_reader"),
        f"recall in {report['turns']} turns": ("ms", "recall_ms"),
    }
    for what, (unit, key) in rows.items():
        figures = report[key]
        values = (f"{figures['p50']:.2f}", f"{figures['p95']:.2f}", str(figures["count"]))
        table.add_row(what, unit, *values)
    console.print(table)


if __name__ == "__main__":
    main()
