"""All pictures of one memory, in a folder: what `titans figures` does. It needs the extra `figures`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from titans_core.errors import InvalidTenantError, StorageError
from titans_core.figures import (
    dashboard,
    effect_of_forgetting,
    momentum_against_surprise,
    save,
    surprise_over_time,
    update_heat_map,
)
from titans_core.figures.history import replay
from titans_core.retrieval import words_of
from titans_core.storage import Filters, stored_tenants

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titans_core._utils.progress import Progress
    from titans_core.figures.history import History
    from titans_core.memory.memory import TitansMemory
    from titans_core.types import Recollection, Turn

_FIRST_WORDS = 12


def draw(
    memory: TitansMemory,
    directory: str | Path,
    *,
    query: str | None = None,
    last: int = 500,
    progress: Progress = False,
) -> list[Path]:
    """Replay a memory, and write every picture of it as PNG and SVG.

    Args:
        memory: the memory; recalling one query is all that happens to it.
        directory: where to; it is created.
        query: what to recall in the dashboard. None for the latest turn that is a question, asked of the other turns,
            or else the first words of the turn that was most surprising against what was usual.
        last: how many turns to show, at least 1.
        progress: True for a progress bar, or a function that is called with (done, total) after each turn.

    Returns:
        The files.

    Raises:
        InvalidTenantError: the memory has no turns.
        InvalidQueryError: the query is empty, or `last` is out of range.
        UnwritableError: the files cannot be written.
    """
    with memory.knowledge() as known:
        turns = known.log.select(Filters())
        records = list(known.log.records(after=0, keys=True))
    if not turns:
        raise InvalidTenantError(f"{memory.tenant!r} has no turns in {memory.url!r} yet: memorize some, then draw.")
    positions = [record.position for record in records]
    repeats = {positions[row] for row in _repetitions(turns)}
    history = replay(records, known.spec, last=last, repeats=repeats, progress=progress)
    figures = {
        "dashboard": dashboard(history, _recalled(memory, query, turns, history)),
        "surprise": surprise_over_time(history),
        "updates": update_heat_map(history),
        "momentum": momentum_against_surprise(history),
        "forgetting": effect_of_forgetting(history),
    }
    return [path for name, figure in figures.items() for path in save(figure, directory, name)]


def check_memory(url: str | Path, tenant: str) -> None:
    """See that a file holds a tenant's memory, before `TitansMemory.open` would begin one there.

    Raises:
        StorageError: there is no such file, or it is none of ours.
        InvalidTenantError: the file has no such tenant, or none at all.
    """
    if not Path(url).is_file() or not Path(url).stat().st_size:
        raise StorageError(f"There is no memory at {str(url)!r}; give the path that it was opened with.")
    names = stored_tenants(url)
    if not names:
        raise InvalidTenantError(f"{str(url)!r} holds no turns yet: memorize some first.")
    if tenant not in names:
        known = ", ".join(map(repr, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        raise InvalidTenantError(f"{str(url)!r} has no tenant {tenant!r}; choose one of those it has: {known}.")


def _repetitions(turns: Sequence[Turn]) -> list[int]:
    """Rows of the turns that say an earlier one's words again, by the same speaker: the memory does not learn them."""
    said = [(turn.speaker, frozenset(words_of(turn.text).items())) for turn in turns]
    first = {words: row for row, words in reversed(list(enumerate(said)))}
    return [row for row, words in enumerate(said) if first[words] != row]


def _recalled(memory: TitansMemory, query: str | None, turns: Sequence[Turn], history: History) -> Recollection:
    """What the memory answers to the query, or to one of its own."""
    if query is not None:
        return memory.recall(query)
    for turn in reversed(turns):
        if turn.text.rstrip().endswith(("?", "？")):
            return memory.recall(turn.text, except_texts=[turn.text])
    # Not by surprise itself: that is always highest for the first turn.
    relative = np.nan_to_num(history.relative)
    turn = turns[int(history.numbers[relative.argmax()]) - 1]
    return memory.recall(" ".join(turn.text.split()[:_FIRST_WORDS]))
