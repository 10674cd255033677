"""Memorize a conversation, close the memory, open it in a new process, and ask questions.

    python examples/quickstart.py                 use a memory in a temporary folder
    python examples/quickstart.py nora.db         use a memory that is kept; a second run stores no turn twice
    python examples/quickstart.py ask nora.db     only ask the questions

It needs no LLM, no API key and no network: a small frozen model reads and the memory learns, on this machine.
"""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from rich.console import Console
from rich.panel import Panel
from rich.progress import track
from rich.table import Table
from rich.text import Text

from titans_core import Recollection, TitansMemory, Turn

FACTS = [
    "The secret code is X-8-DELTA-9.",
    "Alice's favorite color is turquoise.",
    "The meeting is scheduled for 3pm on Friday.",
]
QUESTIONS = {
    "What is the secret code?": "told",
    "What is Alice's favorite color?": "told",
    "When is the meeting?": "told",
    "What is the address of the meeting?": "never told, but close to what was told",
    "Who has my spare key?": "told in passing, among other things",
    "Can you remind me how to get the boiler going again?": "told by the assistant in a long answer",
    "Who is Pepper's vet?": "told twice, and changed in between",
    "What is my dentist's name?": "never told",
}
LABELS = {"high": "green", "low": "yellow", "none": "red"}

console = Console()


def turns() -> list[Turn]:
    """Load the facts and the conversation. Each turn has an id, so that a second run does not store it again."""
    lines = (Path(__file__).parent / "conversation.jsonl").read_text(encoding="utf-8").splitlines()
    fields = [{"text": fact, "speaker": "user"} for fact in FACTS]
    fields += [turn | {"at": datetime.fromisoformat(turn["at"])} for turn in map(json.loads, lines)]
    return [Turn(**turn, id=f"quickstart-{number}") for number, turn in enumerate(fields)]


def memorize(path: Path) -> None:
    """Memorize everything in the memory at `path`, turn by turn, as an assistant would."""
    console.rule("[bold]1. Memorize", align="left")
    with console.status("Loading the model that reads"):
        memory = TitansMemory.open(path, tenant="nora")
    with memory:
        start = perf_counter()
        for turn in track(turns(), "Memorizing", console=console):
            memory.memorize(turn)  # when this returns, the turn is on disk and learned
        seconds = perf_counter() - start
        size = memory.stats()
    console.print(f"{size.turns} turns ({size.tokens:,} tokens) memorized in {seconds:.1f} s\n")


def ask(path: Path) -> None:
    """Ask the memory at `path` all questions, then one through LangChain and one through LlamaIndex."""
    import langchain_chain
    import llamaindex_chat

    console.rule("[bold]2. Ask, in a new process", align="left")
    console.print("[green]high[/]: trust it   [yellow]low[/]: show it, do not assert it   [red]none[/]: nothing known")
    console.print("[dim]Each recall: score, cosine, date, speaker and text. The best recall is shown in full.")
    with console.status("Opening the memory"):
        memory = TitansMemory.open(path, tenant="nora")
        memory.recall("Hello?")  # the first forward pass is slow
    with memory:
        for question, note in QUESTIONS.items():
            start = perf_counter()
            found = memory.recall(question, k=3)
            show(found, note, perf_counter() - start)
        console.print()
        console.rule("[bold]3. The same memory in LangChain and LlamaIndex", align="left")
        langchain_chain.demo(memory)
        llamaindex_chat.demo(memory)


def show(found: Recollection, note: str, seconds: float) -> None:
    """Print a question with its label and recalls: the best recall in full, each other recall in one line."""
    table = Table.grid(padding=(0, 2), expand=True)
    for ratio in (None, None, None, 1):
        table.add_column(ratio=ratio, no_wrap=not ratio)
    for recall in found:
        best = recall is found.best
        table.add_row(
            f"{recall.score:.2f}",
            f"{recall.similarity:.2f}",
            f"{recall.turn.at:%d %b} {recall.turn.speaker:<9}",
            Text(recall.passage, no_wrap=not best, overflow="ellipsis"),
            style="" if best else "dim",
        )
    panel = Panel(
        table,
        title=f"[bold]{found.query}[/]  [dim]{note}",
        title_align="left",
        subtitle=f"[bold]{found.confidence}[/]  [dim]{1000 * seconds:.0f} ms",
        subtitle_align="right",
        border_style=LABELS[found.confidence],
    )
    console.print(panel)


def run(path: Path) -> int:
    """Memorize in this process, then ask in a new process that knows only the file."""
    memorize(path)
    return subprocess.run([sys.executable, __file__, "ask", path], check=False).returncode  # noqa: S603 - runs this script


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            with TemporaryDirectory() as folder:
                sys.exit(run(Path(folder) / "nora.db"))
        case [path]:
            sys.exit(run(Path(path)))
        case ["ask", path]:
            ask(Path(path))
        case _:
            sys.exit(__doc__)
