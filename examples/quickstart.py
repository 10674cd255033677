"""Memorize a conversation, close the memory, open it in a new process and ask.

    python examples/quickstart.py                 a memory in a temporary folder
    python examples/quickstart.py nora.db         a memory to keep; a second run finds every turn stored already
    python examples/quickstart.py ask nora.db     only the questions

No LLM, no API key, no network: a small frozen model reads, the memory learns, on this machine.
"""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import langchain_chain
import llamaindex_chat
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from titans_core import Recollection, TitansMemory, Turn

FACTS = [
    "The secret code is X-8-DELTA-9.",
    "Alice's favorite color is turquoise.",
    "The meeting is scheduled for 3pm on Friday.",
]
QUESTIONS = {
    "What is the secret code?": "told in one sentence",
    "What is Alice's favorite color?": "told in one sentence",
    "When is the meeting?": "told in one sentence",
    "What is the address of the meeting?": "never told, though close to what was told",
    "Who has my spare key?": "told in passing, in a turn about other things",
    "How many bar should the boiler have?": "told by the assistant, in the middle of 190 words",
    "Where will Ida get married?": "told twice: the place has changed since",
    "What is my dentist's name?": "never told",
}
COLOURS = {"high": "green", "low": "yellow", "none": "red"}

console = Console()


def turns() -> list[Turn]:
    """The facts and the conversation, with ids of their own: memorizing an id twice writes it once."""
    lines = (Path(__file__).parent / "conversation.jsonl").read_text(encoding="utf-8").splitlines()
    facts = [{"text": text, "speaker": "user"} for text in FACTS]
    told = [line | {"at": datetime.fromisoformat(line["at"])} for line in map(json.loads, lines)]
    return [Turn(id=f"quickstart-{number}", **turn) for number, turn in enumerate(facts + told)]


def memorize(path: Path) -> None:
    """Write every turn into the memory at `path`."""
    console.rule("[bold]Memorize", align="left")
    with console.status("Loading the reader"):
        memory = TitansMemory.open(path, tenant="nora")
    with memory:
        start = perf_counter()
        receipts = memory.memorize_many(turns(), progress=True)
        seconds = perf_counter() - start
        stats = memory.stats()
    console.print(f"{len(receipts)} turns in {seconds:.1f} s, {stats.tokens:,} token keys learned")


def ask(path: Path) -> None:
    """Open the memory at `path` and put all questions to it: directly, in LangChain and in LlamaIndex."""
    console.rule("[bold]Ask, in a new process", align="left")
    with console.status("Opening the memory"):
        memory = TitansMemory.open(path, tenant="nora")
    with memory:
        memory.recall("warm up")
        for question, note in QUESTIONS.items():
            start = perf_counter()
            found = memory.recall(question, k=3)
            console.print(panel(found, note, milliseconds=1000 * (perf_counter() - start)))
        langchain_chain.demo(memory)
        llamaindex_chat.demo(memory)


def panel(found: Recollection, note: str, milliseconds: float) -> Panel:
    """One question with its label, its recalls and their scores."""
    colour = COLOURS[found.confidence]
    table = Table(box=None, padding=(0, 1), expand=True, header_style="dim")
    for name in ("score", "cosine"):
        table.add_column(name, justify="right")
    table.add_column("said by")
    table.add_column("said on")
    table.add_column("what was said", ratio=1, no_wrap=True)
    for rank, recall in enumerate(found):
        table.add_row(
            f"{recall.score:.2f}",
            f"{recall.similarity:.2f}",
            recall.turn.speaker,
            f"{recall.turn.at:%d %b}",
            recall.passage,
            style="dim" if rank else "",
        )
    return Panel(
        table,
        title=f"[bold]{found.query}[/]  [dim]{note}",
        title_align="left",
        subtitle=f"[bold]{found.confidence}[/]  [dim]{milliseconds:.0f} ms",
        subtitle_align="right",
        border_style=colour,
    )


def main() -> None:
    """Run what the command line asks for."""
    match sys.argv[1:]:
        case ["ask", path]:
            ask(Path(path))
        case [path]:
            memorize(Path(path))
            # A new process: it knows nothing but what the file holds.
            subprocess.run([sys.executable, __file__, "ask", path], check=True)  # noqa: S603
        case _:
            with TemporaryDirectory() as folder:
                ...


if __name__ == "__main__":
    main()
