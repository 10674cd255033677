"""Measures how well near-duplicates are recognised: turns repeated in another form, and turns with one changed word.

    python -m benchmarks.duplicates --data conversations.json [--limit 3] [--json figures.json]

From each conversation, 100 turns are changed and memorized again, once for every kind of change. A turn with a change
of form should be recognised as a duplicate of the original turn. A turn with a change of content should not. Neither
should the turns of the conversation itself.
"""

from __future__ import annotations

import argparse
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.common.conversations import load_conversations
from benchmarks.common.environment import write_report
from titans_core import TitansMemory, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.common.conversations import Conversation
    from titans_core import Memorized

SAMPLE = 100
"""Number of turns of each conversation that are changed."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="file of conversations")
    parser.add_argument("--limit", type=int, default=3, help="only the first N conversations")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args(arguments)
    name, conversations = load_conversations(options.data, options.limit)
    counts: dict[str, list[int]] = {}
    for conversation in track(conversations, description="memorizing"):
        for change, (duplicates, tried) in measure(conversation).items():
            total = counts.setdefault(change, [0, 0])
            total[0], total[1] = total[0] + duplicates, total[1] + tried
    table = Table("change", "called a duplicate", "of", title=f"{name}: near-duplicates")
    for change, (duplicates, tried) in counts.items():
        table.add_row(change, str(duplicates), str(tried))
    Console().print(table)
    if options.json:
        write_report(options.json, {"benchmark": "duplicates", "data": name, "counts": counts})


def measure(conversation: Conversation) -> dict[str, tuple[int, int]]:
    """Count the duplicates that the memory recognises in one conversation.

    Args:
        conversation: A conversation of at least `SAMPLE` turns.

    Returns:
        For each kind of change, the number of turns that were called a duplicate, and the number of turns that were
        changed. After a change of form, only duplicates of the original turn count.
    """
    rng = random.Random(0)  # noqa: S311 - repeatable, not secret
    words = [word for turn in conversation.turns for word in re.findall(r"\b[a-z]{5,}\b", turn.text)]

    def replace_word(text: str) -> str:
        places = [*re.finditer(r"\b[a-z]{5,}\b", text)]
        if not places:
            return text
        place = rng.choice(places)
        replacement: str = rng.choice(words)
        return text[: place.start()] + replacement + text[place.end() :]

    form: dict[str, Callable[[str], str]] = {
        "the same": lambda text: text,
        "lower case": str.lower,
        "no punctuation": lambda text: re.sub(r"[.!?,;]", " ", text),
        "an exclamation mark": lambda text: text + "!",
    }
    content: dict[str, Callable[[str], str]] = {
        "a not": lambda text: re.sub(r"\b(is|was|am|are|have|do)\b", r"\1 not", text, count=1),
        "another number": lambda text: re.sub(r"\d+", lambda number: str(int(number.group()) + 1), text, count=1),
        "another word": replace_word,
        "a word less": lambda text: re.sub(r"\s\w+\b", "", text, count=1),
    }
    counts: dict[str, tuple[int, int]] = {}
    with TitansMemory.open(":memory:", tenant="t") as memory:
        receipts = memory.memorize_many(conversation.turns)
        counts["none (the conversation itself)"] = count_duplicates(receipts), len(receipts)
        chosen = rng.sample(conversation.turns, SAMPLE)
        for change, apply in (form | content).items():
            turns = [(turn, apply(turn.text)) for turn in chosen]
            turns = [(turn, text) for turn, text in turns if (text != turn.text) or change == "the same"]
            receipts = memory.memorize_many(Turn(text, speaker=turn.speaker) for turn, text in turns)
            if change in form:
                pairs = zip(receipts, turns, strict=True)
                duplicates = sum(receipt.duplicate_of == turn.id for receipt, (turn, _) in pairs)
            else:
                duplicates = count_duplicates(receipts)
            counts[change] = duplicates, len(turns)
    return counts


def count_duplicates(receipts: Sequence[Memorized]) -> int:
    """Count the turns that the memory called a duplicate of any turn."""
    return sum(receipt.duplicate_of is not None for receipt in receipts)


if __name__ == "__main__":
    main()
