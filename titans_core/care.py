"""What one does with a whole file of memories: verify, repair, copy."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from titans_core.episodes import IN_MEMORY, Filters, open_log
from titans_core.episodes.examining import examined
from titans_core.episodes.sqlite.salvage import SalvagedLog, copy_file, faults_of_pages, salvaged_tenants
from titans_core.errors import CorruptMemoryError, UnsupportedUrlError, UnwritableError
from titans_core.reading import make_reader
from titans_core.replacing import replaced
from titans_core.writing import read_passages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from titans_core.episodes import EpisodeLog
    from titans_core.episodes.examining import Examined
    from titans_core.reading import Reader

    Progress = Callable[[int, int], None]
    """Is told how much is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is damaged.

    Attributes:
        tenant: whose it is; None for the whole file.
        what: in words.
        count: how many of these.
    """

    tenant: str | None
    what: str
    count: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in a file.

    Attributes:
        turns: how many there are.
        findings: the damage; none if all is whole.
    """

    turns: int
    findings: tuple[Finding, ...]


def verify(url: str | Path, *, progress: Progress | None = None) -> Report:
    """Look at every row, checksum, sum, index and page of a storage; nothing is changed.

    Weights are not looked at: those that are damaged are learned again from the log.

    Args:
        url: of the storage.
        progress: is told after each turn.

    Raises:
        StorageError: there is none, or so little is left that nothing can be read.
    """
    _check_file(url)
    findings: Counter[tuple[str | None, str]] = Counter({(None, fault): 1 for fault in faults_of_pages(url)})
    turns = 0
    for log in _salvaged(url):
        for one in _told(log, progress):
            turns += 1
            if one.turn is None:
                findings[log.tenant, "turns are damaged"] += 1
            elif one.record is None:
                findings[log.tenant, "turns have lost what was read of them, their texts are whole"] += 1
        findings.update((log.tenant, what) for what in _faults(log))
    return Report(turns, tuple(Finding(tenant, what, count) for (tenant, what), count in findings.items()))


def repair(
    url: str | Path, into: str | Path, *, reader: Reader | str | None = None, progress: Progress | None = None
) -> Report:
    """Copy all that is whole into a new file; the old one is left as it is.

    Turns whose text is whole but not what was read of it are read again; if the file was written with another reader,
    so are all. Turns keep their order and everything that was said with them. Weights are learned again when the new
    file is opened, without the rehearsals of the last consolidation.

    Args:
        url: of the damaged file.
        into: of the new one.
        reader: as for `TitansMemory.open`: the one that the file was written with.
        progress: is told after each turn.

    Returns:
        How many turns the new file has, and what was lost or read again.

    Raises:
        StorageError: so little is left that nothing can be read, or the new file exists or cannot be written.
    """
    _check_file(url)
    _check_free(into)
    reader = make_reader(reader)
    findings: Counter[tuple[str | None, str]] = Counter()
    turns = 0
    with replaced(into) as [part]:
        for log in _salvaged(url):
            with closing(open_log(part, log.tenant, reader=reader.fingerprint, dim=reader.dim)) as new:
                for one in _told(log, progress):
                    what = _copy(one, new, reader, same=log.reader() == reader.fingerprint)
                    turns += what != _LOST
                    findings.update([(log.tenant, what)] if what else [])
    return Report(turns, tuple(Finding(tenant, what, count) for (tenant, what), count in findings.items()))


def backup(url: str | Path, path: str | Path, *, progress: Progress | None = None) -> None:
    """Copy a file as it is at one moment, while others write to it; the copy is there when it is whole and on disk.

    Args:
        url: of the file.
        path: of the copy.
        progress: is told how many pages are copied.

    Raises:
        StorageError: the file cannot be read, or the copy exists or cannot be written.
    """
    _check_file(url)
    _check_free(path)
    with replaced(path) as [part]:
        copy_file(url, part, progress or _quietly)


_LOST = "turns are lost"


def _copy(one: Examined, new: EpisodeLog, reader: Reader, *, same: bool) -> str:
    """Append a turn to another log.

    Returns:
        What is to be said about it; nothing if it was whole.
    """
    if one.turn is None:
        return _LOST
    if same and one.record is not None:
        passages = one.record.passages
    else:
        [read] = read_passages(reader, [one.turn])
        passages = tuple(read)
    with new.transaction():
        new.append(one.turn, passages)
    return "" if same and one.record is not None else "turns were read again"


def _salvaged(url: str | Path) -> Iterator[SalvagedLog]:
    for number, name in salvaged_tenants(url).items():
        with closing(SalvagedLog(url, name, number)) as log:
            yield log


def _told(log: SalvagedLog, progress: Progress | None) -> Iterator[Examined]:
    total = len(log.positions(Filters()))
    for done, one in enumerate(examined(log), 1):
        yield one
        (progress or _quietly)(done, total)


def _faults(log: SalvagedLog) -> Iterator[str]:
    """What is wrong with a tenant beside its turns."""
    try:
        log.rehearsals()
        head = log.head()
        records = [one.record.checksum for one in examined(log) if one.record is not None]
        if (head.turns, head.checksum) != (len(records), sum(records)):
            yield "turns have been lost, or others added"
    except CorruptMemoryError:
        yield "its entry or its list of rehearsed turns is damaged"
    if not log.lookups_are_whole():
        yield "an index is damaged"


def _check_file(url: str | Path) -> None:
    if str(url) == IN_MEMORY or "://" in str(url):
        raise UnsupportedUrlError(f"This is for files, not for {url!r}; for a server there are pg_dump and pg_amcheck.")
    if not Path(url).is_file():
        raise UnwritableError(f"There is no file {str(url)!r}; look at the spelling.")


def _check_free(path: str | Path) -> None:
    if Path(path).exists():
        raise UnwritableError(f"{str(path)!r} exists already; nothing was written. Choose another path.")


def _quietly(done: int, total: int) -> None:
    pass
