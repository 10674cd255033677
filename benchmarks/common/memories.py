"""Memorizes a file of conversations: one tenant for each conversation, in a temporary folder or in a cache."""

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
    from titans_core.verification import Verifier


def memorize_file(
    path: Path, limit: int | None, cache: Path | None, progress: Progress, verifier: Verifier | None = None
) -> Iterator[tuple[str, Conversation, list[Conversation], MemoryBank]]:
    """Memorize each conversation of a file in the tenant that has the conversation's id.

    Args:
        path: The file.
        limit: The number of conversations, from the start of the file; None for all.
        cache: A folder that keeps the memories for the next run, because reading takes minutes; None deletes them
            afterwards.
        progress: The display of the progress.
        verifier: Reads the best recalls together with the query; None for none.

    Yields:
        After each conversation: the name of the data, the conversation, all conversations, and the bank of memories.
    """
    name, conversations = load_conversations(path, limit)
    task = progress.add_task(name, total=len(conversations))
    with TemporaryDirectory() as folder:
        file = (cache or Path(folder)) / f"{path.stem}.db"
        # The strategy needs no calibration, because the shipped calibration may be what the caller fits.
        with MemoryBank(file, reader=RepeatingReader(), strategy="softmax", verify=verifier or False) as bank:
            for conversation in conversations:
                memorize_once(bank, conversation.id, conversation)
                yield name, conversation, conversations, bank
                progress.advance(task)


def make_parser(description: str, data: Sequence[Path] | None = None) -> ArgumentParser:
    """Make a parser of the command-line options that `memorize_file` needs.

    Args:
        description: What the program does.
        data: The files that it reads if no others are given; None if they must be given.
    """
    parser = ArgumentParser(description=description)
    parser.add_argument(
        "--data", type=Path, nargs="+", required=data is None, default=data, help="files of conversations and questions"
    )
    parser.add_argument("--limit", type=int, help="only the first N conversations of each file")
    parser.add_argument("--cache", type=Path, help="folder that keeps the memories for the next run")
    return parser


def memorize_once(bank: MemoryBank, tenant: str, conversation: Conversation) -> None:
    """Memorize a conversation, or a part of it, unless an earlier run did so."""
    with bank.tenant(tenant) as memory:
        if memory.stats().turns != len(conversation.turns):
            memory.memorize_many(conversation.turns)


class RepeatingReader:
    """The default reader with a cache, because the parts of a conversation repeat its passages many times."""

    def __init__(self) -> None:
        """Load the model."""
        self._reader = load_reader()
        self._cache: dict[tuple[str, str], Reading] = {}
        self.dim, self.fingerprint = self._reader.dim, self._reader.fingerprint
        self.count_tokens = self._reader.count_tokens

    def read(self, texts: Sequence[str], prefixes: Sequence[str] | None = None) -> list[Reading]:
        """See `Reader.read`."""
        passages = list(zip(texts, prefixes or [""] * len(texts), strict=True))
        if len(self._cache) > 3_000:  # half a gigabyte of long passages
            self._cache.clear()
        new = [passage for passage in dict.fromkeys(passages) if passage not in self._cache]
        if new:
            readings = self._reader.read([text for text, _ in new], [prefix for _, prefix in new])
            self._cache |= dict(zip(new, readings, strict=True))
        return [self._cache[passage] for passage in passages]
