"""Memories of a file of conversations, one tenant for each conversation; kept between runs if a folder is given."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.common.conversations import load_conversations
from titans_core import MemoryBank
from titans_core.readers import load_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.progress import Progress

    from benchmarks.common.conversations import Conversation
    from titans_core.types import Reading


def remembered(
    path: Path, limit: int | None, cache: Path | None, progress: Progress
) -> Iterator[tuple[str, Conversation, list[Conversation], MemoryBank]]:
    """Each conversation of a file, once a tenant with its id has memorized it.

    Args:
        path: the file.
        limit: only so many conversations; None for all.
        cache: Folder that keeps the memories for the next run, because reading takes minutes; None deletes them
            afterwards.
        progress: shows how far it is.

    Yields:
        The data's name, the conversation, all conversations, and the bank that holds the memories.
    """
    name, conversations = load_conversations(path, limit)
    task = progress.add_task(name, total=len(conversations))
    with TemporaryDirectory() as folder:
        file = (cache or Path(folder)) / f"{path.stem}.db"
        # A rule without a calibration: the shipped one may be what is being made.
        with MemoryBank(file, reader=RepeatingReader(), strategy="softmax") as bank:
            for conversation in conversations:
                memorize(bank, conversation.id, conversation)
                yield name, conversation, conversations, bank
                progress.advance(task)


def data_arguments(description: str) -> ArgumentParser:
    """A parser that knows the arguments of `remembered`."""
    parser = ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="files of conversations and questions")
    parser.add_argument("--limit", type=int, help="only the first N conversations of each")
    parser.add_argument("--cache", type=Path, help="folder for the memories, for the next run")
    return parser


def memorize(bank: MemoryBank, tenant: str, conversation: Conversation) -> None:
    """Memorize a conversation, or a piece of it, unless that was done before."""
    with bank.tenant(tenant) as memory:
        if memory.stats().turns != len(conversation.turns):
            memory.memorize_many(conversation.turns)


class RepeatingReader:
    """The default reader; it reads no passage twice: those of a conversation's pieces come again and again."""

    def __init__(self) -> None:
        """Load the model."""
        self._reader = load_reader()
        self._known: dict[tuple[str, str], Reading] = {}
        self.dim, self.fingerprint = self._reader.dim, self._reader.fingerprint
        self.count_tokens = self._reader.count_tokens

    def read(self, texts: Sequence[str], prefixes: Sequence[str] | None = None) -> list[Reading]:
        """See `Reader.read`."""
        wanted = list(zip(texts, prefixes or [""] * len(texts), strict=True))
        if len(self._known) > 3_000:  # of long passages, half a gigabyte
            self._known.clear()
        new = [one for one in dict.fromkeys(wanted) if one not in self._known]
        if new:
            read = self._reader.read([text for text, _ in new], [prefix for _, prefix in new])
            self._known |= dict(zip(new, read, strict=True))
        return [self._known[one] for one in wanted]
