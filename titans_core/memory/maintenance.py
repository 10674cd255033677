"""Maintenance of a whole file of memories: verify, repair, back up."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from titans_core._utils.atomic import atomic_write
from titans_core._utils.progress import progress_bar
from titans_core.errors import CorruptMemoryError, UnsupportedUrlError, UnwritableError
from titans_core.memory.ingest import read_passages
from titans_core.readers import make_reader
from titans_core.storage import IN_MEMORY, open_log
from titans_core.storage.sqlite.salvage import SalvagedLog, copy_file, page_faults, salvaged_tenants

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from titans_core._utils.progress import Progress
    from titans_core.readers import Reader
    from titans_core.storage import TurnLog
    from titans_core.storage.inspection import InspectedTurn

_LOST = "turns are lost"


@dataclass(frozen=True, slots=True)
class Damage:
    """One kind of damage.

    Attributes:
        tenant: Whose turns are damaged; None for the whole file.
        what: The damage in words.
        count: How many turns or pages have it.
    """

    tenant: str | None
    what: str
    count: int


@dataclass(frozen=True, slots=True)
class Report:
    """The state of a file.

    Attributes:
        turns: The number of turns.
        damage: Every kind of damage; empty if the file is intact.
    """

    turns: int
    damage: tuple[Damage, ...]


def verify(url: str | Path, *, progress: Progress = False) -> Report:
    """Check every row, checksum, sum, index and page of a file; nothing is changed.

    Weights are not checked: damaged ones are learned again from the log.

    Args:
        url: Path of the file.
        progress: True for a progress bar, or a function that is called with (done, total) after each turn.

    Raises:
        StorageError: There is no file, or so little is left of it that nothing can be read.
    """
    _check_file(url)
    found: Counter[tuple[str | None, str]] = Counter({(None, fault): 1 for fault in page_faults(url)})
    turns = 0
    for log in _salvaged_logs(url):
        checksums = []
        for inspected in _with_progress(log, progress):
            turns += 1
            if inspected.turn is None:
                found[log.tenant, "turns are damaged"] += 1
            elif inspected.record is None:
                found[log.tenant, "turns have lost what was read of them, their texts are whole"] += 1
            if inspected.record is not None:
                checksums.append(inspected.record.checksum)
        found.update((log.tenant, what) for what in _tenant_faults(log, checksums))
    return _report(turns, found)


def repair(
    url: str | Path, into: str | Path, *, reader: Reader | str | None = None, progress: Progress = False
) -> Report:
    """Copy all that is intact into a new file; the old file is left as it is.

    A turn whose text is intact but whose reading is not is read again; if the file was written with another reader, so
    are all turns. Turns keep their order and everything that was stored with them. The weights are learned again when
    the new file is opened, without the rehearsals of the last consolidation.

    Args:
        url: Path of the damaged file.
        into: Path of the new file; must not exist.
        reader: The reader that the file was written with, as for `TitansMemory.open`.
        progress: True for a progress bar, or a function that is called with (done, total) after each turn.

    Returns:
        The number of turns in the new file, and what was lost or read again.

    Raises:
        StorageError: So little is left that nothing can be read, or the new file exists or cannot be written.
    """
    _check_file(url)
    _check_absent(into)
    reader = make_reader(reader)
    found: Counter[tuple[str | None, str]] = Counter()
    turns = 0
    with atomic_write(into) as [part]:
        for log in _salvaged_logs(url):
            same = log.reader() == reader.fingerprint
            with closing(open_log(part, log.tenant, reader=reader.fingerprint, dim=reader.dim)) as new:
                for inspected in _with_progress(log, progress):
                    what = _copy(inspected, new, reader, same_reader=same)
                    turns += what != _LOST
                    found.update([(log.tenant, what)] if what else [])
    return _report(turns, found)


def backup(url: str | Path, path: str | Path, *, progress: Progress = False) -> None:
    """Copy a file as it is at one moment, while others may write to it. The copy appears when it is complete.

    Args:
        url: Path of the file.
        path: Path of the copy; must not exist.
        progress: True for a progress bar, or a function that is called with (done, total) in pages.

    Raises:
        StorageError: The file cannot be read, or the copy exists or cannot be written.
    """
    _check_file(url)
    _check_absent(path)
    with atomic_write(path) as [part], progress_bar(progress, unit="page", description="copying") as advance:
        copy_file(url, part, advance)


def _report(turns: int, found: Counter[tuple[str | None, str]]) -> Report:
    return Report(turns, tuple(Damage(tenant, what, count) for (tenant, what), count in found.items()))


def _copy(inspected: InspectedTurn, new: TurnLog, reader: Reader, *, same_reader: bool) -> str:
    """Append a turn to another log.

    Returns:
        What was lost or read again, in words; empty if the turn was intact.
    """
    if inspected.turn is None:
        return _LOST
    intact = same_reader and inspected.record is not None
    if intact and inspected.record is not None:
        passages = inspected.record.passages
    else:
        [read] = read_passages(reader, [inspected.turn])
        passages = tuple(read)
    with new.transaction():
        new.append(inspected.turn, passages)
    return "" if intact else "turns were read again"


def _salvaged_logs(url: str | Path) -> Iterator[SalvagedLog]:
    for number, name in salvaged_tenants(url).items():
        with SalvagedLog(url, name, number) as log:
            yield log


def _with_progress(log: SalvagedLog, progress: Progress) -> Iterator[InspectedTurn]:
    total = len(log.positions())
    with progress_bar(progress, unit="turn", description=log.tenant) as advance:
        for done, inspected in enumerate(log.turns(), 1):
            yield inspected
            advance(done, total)


def _tenant_faults(log: SalvagedLog, checksums: Iterable[int]) -> Iterator[str]:
    """What is wrong with a tenant beside its turns."""
    found = list(checksums)
    try:
        head = log.head()
        if (head.turns, head.checksum) != (len(found), sum(found)):
            yield "turns have been lost, or others added"
    except CorruptMemoryError:
        yield "its entry or its list of rehearsed turns is damaged"
    if not log.lookups_are_intact():
        yield "an index is damaged"


def _check_file(url: str | Path) -> None:
    if str(url) == IN_MEMORY or "://" in str(url):
        raise UnsupportedUrlError(f"This is for files, not for {url!r}; for a server there are pg_dump and pg_amcheck.")
    if not Path(url).is_file():
        raise UnwritableError(f"There is no file {str(url)!r}; look at the spelling.")


def _check_absent(path: str | Path) -> None:
    if Path(path).exists():
        raise UnwritableError(f"{str(path)!r} exists already; nothing was written. Choose another path.")
