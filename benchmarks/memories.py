"""Memories of a file of conversations, one tenant for each conversation; kept between runs if a folder is given."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from titans_core import MemoryBank
from titans_core.reading import load_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from conversations import Conversation


@contextmanager
def memories(
    name: str, conversations: Sequence[Conversation], keep: Path | None, progress: Callable[[int], None]
) -> Iterator[MemoryBank]:
    """A bank that has memorized the conversations; reading them takes minutes, finding them in `keep` seconds.

    Args:
        name: of the data, and of its file in `keep`.
        conversations: to memorize.
        keep: folder for the file; None for one that is deleted afterwards.
        progress: is told how many turns were memorized, after each conversation.
    """
    with TemporaryDirectory() as folder:
        bank = MemoryBank((keep or Path(folder)) / f"{name}.db", reader=load_reader())
        for conversation in conversations:
            with bank.tenant(conversation.id) as memory:
                if memory.stats().turns != len(conversation.turns):
                    memory.memorize_many(conversation.turns)
                progress(len(conversation.turns))
        yield bank
        bank.close()
