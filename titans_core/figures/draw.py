"""Draw all pictures of one memory into a folder, for `titans figures`. This needs the extra `figures`."""

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
        memory: The memory. Its only use here is the recall of one query; its turns and weights stay unchanged.
        directory: Folder for the files; it is created if it does not exist.
        query: Query that the dashboard recalls. None for the latest turn that is a question; that turn itself is then
            left out of the recall. If no turn is a question, None stands for the first words of the turn with the
            highest relative surprise.
        last: Number of turns to show, at least 1.
        progress: True for a progress bar, or a function that is called with (done, total) after each turn.

    Returns:
        The paths of the files.

    Raises:
        InvalidTenantError: The memory has no turns.
        InvalidQueryError: The query is empty, or `last` is out of range.
        UnwritableError: The files cannot be written.
    """
    with memory.knowledge() as knowledge:
        turns = knowledge.log.select(Filters())
        records = list(knowledge.log.records(after=0, keys=True))
    if not turns:
        raise InvalidTenantError(f"{memory.tenant!r} has no turns in {memory.url!r} yet; memorize some turns first.")
    positions = [record.position for record in records]
    repeats = {positions[row] for row in _repeated_rows(turns)}
    history = replay(records, knowledge.spec, last=last, repeats=repeats, progress=progress)
    figures = {
        "dashboard": dashboard(history, _recall_for_dashboard(memory, query, turns, history)),
        "surprise": surprise_over_time(history),
        "updates": update_heat_map(history),
        "momentum": momentum_against_surprise(history),
        "forgetting": effect_of_forgetting(history),
    }
    return [path for name, figure in figures.items() for path in save(figure, directory, name)]


def check_memory(url: str | Path, tenant: str) -> None:
    """Check that a file holds a tenant's memory, because `TitansMemory.open` would create a missing one.

    Args:
        url: Path of the file.
        tenant: Name of the tenant.

    Raises:
        StorageError: There is no such file, or it is not a memory.
        InvalidTenantError: The file has no such tenant, or no tenant at all.
    """
    if not Path(url).is_file() or not Path(url).stat().st_size:
        raise StorageError(f"There is no memory at {str(url)!r}; give the path of an existing memory.")
    names = stored_tenants(url)
    if not names:
        raise InvalidTenantError(f"{str(url)!r} holds no turns yet; memorize some turns first.")
    if tenant not in names:
        listed = ", ".join(map(repr, names[:10])) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        raise InvalidTenantError(f"{str(url)!r} has no tenant {tenant!r}; choose one of its tenants: {listed}.")


def _repeated_rows(turns: Sequence[Turn]) -> list[int]:
    """Return the rows of turns that the memory does not learn: the same speaker said the same words before."""
    contents = [(turn.speaker, frozenset(words_of(turn.text).items())) for turn in turns]
    first_row = {content: row for row, content in reversed(list(enumerate(contents)))}
    return [row for row, content in enumerate(contents) if first_row[content] != row]


def _recall_for_dashboard(
    memory: TitansMemory, query: str | None, turns: Sequence[Turn], history: History
) -> Recollection:
    """Recall the query, or a query that is chosen from the memory's own turns."""
    if query is not None:
        return memory.recall(query)
    for turn in reversed(turns):
        if turn.text.rstrip().endswith(("?", "？")):
            return memory.recall(turn.text, except_texts=[turn.text])
    # Surprise itself would always choose the first turn, for which it is highest.
    relative = np.nan_to_num(history.relative)
    turn = turns[int(history.numbers[relative.argmax()]) - 1]
    return memory.recall(" ".join(turn.text.split()[:_FIRST_WORDS]))
