"""Measures the cost of a write to the neural memory: in chunk form, token by token, and in titans-pytorch.

    python -m benchmarks.neural_speed [--turns 1000] [--presets titans least_squares] [--rival] [--json figures.json]

Every contender runs in its own process, which reports its time and the growth of its memory at the peak. All contenders
write the same random unit keys, turn by turn: 32 tokens of 384 numbers each. `--rival` also measures titans-pytorch
(`pip install -c constraints.txt titans-pytorch`) with the memory of the preset `titans`: two layers, expansion 4, and
chunks of 16 tokens. Its learned projections stay in, because they take a small part of its time.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.common.environment import write_report
from titans_core.neural import PRESETS, MemoryState, write, write_sequentially

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DIM, TOKENS, CHUNK = 384, 32, 16


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=1000, help="number of turns that each contender writes")
    parser.add_argument(
        "--presets", nargs="*", choices=PRESETS, default=["titans", "least_squares"], help="presets to measure"
    )
    parser.add_argument("--rival", action="store_true", help="also measure titans-pytorch")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.contender:
        print(json.dumps(measure_contender(options.contender, options.turns)))
        return
    contenders = [f"{name} {form}" for name in options.presets for form in ("chunk", "sequential")]
    contenders += ["titans-pytorch"] if options.rival else []
    rows = {name: run_in_process(name, options.turns) for name in track(contenders, description="writing")}
    show(rows, options.turns)
    if options.json:
        write_report(options.json, {"benchmark": "neural_speed", "turns": options.turns, "rows": rows})


def run_in_process(contender: str, turns: int) -> dict[str, Any]:
    """Measure one contender in a new process."""
    command = [sys.executable, "-m", "benchmarks.neural_speed", "--contender", contender, "--turns", str(turns)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - this program itself
    if finished.returncode:
        sys.exit(f"{contender}: {finished.stderr.strip().splitlines()[-1]}")
    figures: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return figures


def measure_contender(contender: str, turns: int) -> dict[str, Any]:
    """Write all turns, and return the time of a turn (ms), the total time (s), and the growth of the process (MB)."""
    generator = torch.Generator().manual_seed(0)
    keys = torch.nn.functional.normalize(torch.randn(turns, TOKENS, DIM, generator=generator), dim=-1)
    write_one = titans_pytorch_writer() if contender == "titans-pytorch" else preset_writer(*contender.split())
    write_one(keys[0])  # warms up
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    milliseconds = []
    for turn in keys:
        start = time.perf_counter()
        write_one(turn)
        milliseconds.append((time.perf_counter() - start) * 1000)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "turn_ms_p50": median(milliseconds),
        "total_s": sum(milliseconds) / 1000,
        "grown_mb": (peak - before) / 1024,
    }


def preset_writer(name: str, form: str) -> Callable[[torch.Tensor], None]:
    """Make a function that writes by a preset, in the form "chunk" or "sequential", with fixed random values."""
    spec = PRESETS[name](DIM, 0 if name == "least_squares" else DIM)
    state = MemoryState.initial(spec)
    values = torch.nn.functional.normalize(torch.randn(TOKENS, DIM, generator=torch.Generator().manual_seed(1)), dim=-1)
    step = write if form == "chunk" else write_sequentially
    dtype = state.key_sum.dtype

    def write_one(keys: torch.Tensor) -> None:
        nonlocal state
        state, _ = step(spec, state, keys.to(dtype), values.to(dtype) if spec.values else None)

    return write_one


def titans_pytorch_writer() -> Callable[[torch.Tensor], None]:
    """Make a function that writes by titans-pytorch, and keeps the state from turn to turn."""
    from titans_pytorch import NeuralMemory

    memory = NeuralMemory(dim=DIM, chunk_size=CHUNK, default_model_kwargs={"depth": 2, "expansion_factor": 4.0})
    state = None

    def write_one(keys: torch.Tensor) -> None:
        nonlocal state
        with torch.no_grad():
            _, state, _ = memory.store_memories(
                keys[None],
                None if state is None else state.weights,
                past_state=None if state is None else state.states,
                seq_index=0 if state is None else state.seq_index,
            )

    return write_one


def show(rows: dict[str, dict[str, Any]], turns: int) -> None:
    """Print the figures as a table."""
    table = Table("contender", title=f"{turns} turns of {TOKENS} tokens, keys of {DIM} numbers")
    for heading in ("ms a turn, p50", "total seconds", "growth in MB"):
        table.add_column(heading, justify="right")
    for name, row in rows.items():
        table.add_row(name, f"{row['turn_ms_p50']:.2f}", f"{row['total_s']:.1f}", f"{row['grown_mb']:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
