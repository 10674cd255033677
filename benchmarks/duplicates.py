"""Measures how well near-duplicates are recognised: turns said again in another form, and turns changed in one word.

    python -m benchmarks.duplicates --data conversations.json [--limit 3] [--json figures.json]

Of each conversation 100 turns are memorized once more after every change. A change of form should be recognised as a
duplicate of the turn it was made from, a change of content should not, and neither should the conversation's own turns.
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

SAMPLE = 100


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
        for change, (found, asked) in measure(conversation).items():
            total = counts.setdefault(change, [0, 0])
            total[0], total[1] = total[0] + found, total[1] + asked
    table = Table("change", "called a duplicate", "of", title=f"{name}: near-duplicates")
    for change, (found, asked) in counts.items():
        table.add_row(change, str(found), str(asked))
    Console().print(table)
    if options.json:
        write_report(options.json, {"benchmark": "duplicates", "data": name, "counts": counts})


def measure(conversation: Conversation) -> dict[str, tuple[int, int]]:
    """For each change how many turns were called a duplicate (of the right turn, for changes of form), of how many."""
    rng = random.Random(0)  # noqa: S311 - repeatable, not secret
    words = [word for turn in conversation.turns for word in re.findall(r"\b[a-z]{5,}\b", turn.text)]

    def another_word(text: str) -> str:
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
        "another number": lambda text: re.sub(r"\d+", lambda found: str(int(found.group()) + 1), text, count=1),
        "another word": another_word,
        "a word less": lambda text: re.sub(r"\s\w+\b", "", text, count=1),
    }
    counts: dict[str, tuple[int, int]] = {}
    with TitansMemory.open(":memory:", tenant="t") as memory:
        receipts = memory.memorize_many(conversation.turns)
        counts["none (the conversation itself)"] = sum(one.duplicate_of is not None for one in receipts), len(receipts)
        chosen = rng.sample(conversation.turns, SAMPLE)
        for change, changed in (form | content).items():
            turns = [(turn, changed(turn.text)) for turn in chosen]
            turns = [(turn, text) for turn, text in turns if (text != turn.text) or change == "the same"]
            again = memory.memorize_many(Turn(text, speaker=turn.speaker) for turn, text in turns)
            if change in form:
                found = sum(one.duplicate_of == turn.id for one, (turn, _) in zip(again, turns, strict=True))
            else:
                found = sum(one.duplicate_of is not None for one in again)
            counts[change] = found, len(turns)
    return counts


if __name__ == "__main__":
    main()
