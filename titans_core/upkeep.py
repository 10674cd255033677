"""What one does with a memory beside talking to it: forgetting, changing, copying, closing."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self, Unpack
from weakref import WeakSet

from titans_core import transfer
from titans_core.cache import Cache
from titans_core.episodes import Filters, checked_text, checked_turn, open_log
from titans_core.errors import ClosedMemoryError, InvalidQueryError, StorageError, UnknownTurnError
from titans_core.progress import progress_bar
from titans_core.twins import off_loop
from titans_core.types import Memorized, Stats
from titans_core.writing import read_passages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta
    from pathlib import Path
    from types import TracebackType

    from titans_core.episodes import EpisodeLog, FilterArguments
    from titans_core.neural import MemorySpec
    from titans_core.reading import Reader
    from titans_core.types import Turn

SWEEP_SECONDS = 3600.0
"""How often a memory that is in use looks for turns that have become too old."""


class Upkeep:
    """An open memory: its log, what was learned of it, and what keeps the two in order."""

    def __init__(self, log: EpisodeLog, reader: Reader, spec: MemorySpec, max_age: timedelta | None) -> None:
        """Learn what the log holds, and forget what is too old."""
        self.url = log.url
        self.tenant = log.tenant
        self._log = log
        self._reader = reader
        self._spec = spec
        self._cache = Cache(log, spec)
        self._lock = threading.RLock()
        _MEMORIES.add(self)
        self._closed = False
        self._asleep = False
        self._max_age = max_age
        self._sweep()

    @property
    def reader(self) -> str:
        """Fingerprint of the model that reads its turns, quantization first."""
        return self._reader.fingerprint

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def get(self, id: str) -> Turn:  # noqa: A002 - the word that callers use
        """The turn with this id.

        Raises:
            UnknownTurnError: there is none.
        """
        with self._open():
            return self._log.turn_at(self._position(id))

    def turns(self, **filters: Unpack[FilterArguments]) -> list[Turn]:
        """The turns that pass the filters (see `recall`), all by default, in the order they were memorized."""
        with self._open():
            return self._log.select(Filters(**filters))

    def forget(self, id: str | None = None, **filters: Unpack[FilterArguments]) -> int:  # noqa: A002
        """Delete a turn, or all turns that pass the filters, and relearn the rest without them.

        The text is overwritten in the file. Relearning takes about a millisecond for each turn that stays.

        Args:
            id: of the turn; or
            filters: one at least, as in `recall`; `except_texts` then forgets everything but these.

        Returns:
            How many turns were forgotten.

        Raises:
            UnknownTurnError: no turn has the id.
            InvalidQueryError: neither an id nor a filter was given, or both were.
        """
        wanted = Filters(**filters)
        if (id is None) == (not wanted):
            raise InvalidQueryError("Give `forget` either an id or a filter (speaker, since, until, session, where).")
        with self._open():
            if id is not None:
                self._position(id)  # there is such a turn
                wanted = Filters(ids=[id])
            return self._forget(wanted)

    def update(
        self,
        id: str,  # noqa: A002 - the word that callers use
        text: str | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> Memorized:
        """Replace a turn's text or metadata, in its place.

        With another text everything is relearned as if it had always been so, about a millisecond for each turn.
        Metadata alone cost a write; the weights know nothing of them.

        Args:
            id: of the turn.
            text: the new text; None leaves it.
            metadata: the new metadata, whole; None leaves them.

        Raises:
            UnknownTurnError: no turn has the id.
            TurnError: the text or the metadata cannot be stored.
        """
        stored = self.get(id)
        text = stored.text if text is None else checked_text(text)
        turn = checked_turn(replace(stored, text=text, metadata=stored.metadata if metadata is None else metadata))
        if text == stored.text:
            with self._open(), self._log.transaction():
                self._log.set_metadata(self._position(id), turn.metadata)
            return Memorized(id, surprise=0.0, learned=False)
        [passages] = read_passages(self._reader, [turn])
        with self._open():
            with self._log.transaction():
                position = self._position(id)
                self._log.delete([position])
                self._log.append(turn, passages, position=position)
            self._relearn()
            surprise, learned = self._cache.lesson_at(position)
            return Memorized(id, surprise, learned)

    def consolidate(self, share: float = 0.1) -> int:
        """Relearn everything from the log, and rehearse what matters: learn it once more, as if it had been said again.

        With retention (`keep` below 1) old turns fade from the weights. Those that were recalled often, or were
        surprising, deserve better; this is the sleep in which they are gone over. It replaces the consolidation
        before it, takes as long as learning all turns anew (about a millisecond each, with `keep` below 1 about ten),
        and changes nothing in the log but which turns are rehearsed.

        Args:
            share: of the turns to rehearse, in [0, 1].

        Returns:
            How many turns were rehearsed.

        Raises:
            InvalidQueryError: the share is out of range.
        """
        if not 0 <= share <= 1:
            raise InvalidQueryError(f"The share of turns to rehearse lies in [0, 1]; got {share}.")
        with self._open():
            self._cache.catch_up()
            chosen = self._cache.important(share)
            with self._log.transaction():
                self._log.rehearse(chosen)
            self._cache.catch_up()
            self._cache.save_snapshot()
        return len(chosen)

    def export(self, path: str | Path, *, progress: bool = False) -> int:
        """Write all turns to a file of JSON lines, and what was read of them to another, for a fast import.

        The other is `path` with `.readings.safetensors` after it. Both replace older ones when they are on disk, not
        before; without the second, or with another reader, an import reads the turns again.

        Args:
            path: of the file of turns.
            progress: whether to show a progress bar.

        Returns:
            How many turns there are.

        Raises:
            UnwritableError: a file cannot be written; the old ones are still there.
        """
        with self._open(), self._log.reading():
            records = self._log.records(after=0, keys=True)
            said = ((self._log.turn_at(record.position), record.passages) for record in records)
            total = self._log.head().turns
            bar = progress_bar(said, total=total, unit="turn", desc="exporting", disable=not progress)
            transfer.write_export(path, bar, turns=total, reader=self._reader.fingerprint, dim=self._reader.dim)
        return total

    def stats(self) -> Stats:
        """How much is stored."""
        with self._open():
            self._cache.catch_up()
            index, state = self._cache.index, self._cache.state
            return Stats(
                turns=len(index.turns().positions),
                passages=len(index.passages().numbers),
                tokens=state.tokens,
                weight_bytes=state.nbytes + index.passages().columns.nbytes,
                log_bytes=self._log.size(),
                reader=self._reader.fingerprint,
            )

    def forget_tenant(self) -> int:
        """Forget all that this tenant has said, the name too, and close the memory.

        Returns:
            How many turns were forgotten.
        """
        with self._open():
            with self._log.transaction():
                turns = self._log.delete_tenant()
            self._cache.discard()
            self._log.scrub()
            self._log.close()
            self._closed = True
        return turns

    def rest(self) -> None:
        """Let go of the weights and of the connection until the memory is used again; not for ":memory:".

        For processes with more memories than fit into them: a memory takes one to two megabytes, and some kilobytes
        for each turn. Waking takes as long as opening.
        """
        with self._lock:
            if not (self._closed or self._asleep):
                self._let_go()
                self._asleep = True

    def close(self) -> None:
        """Save the weights and close the file; closing twice is no error."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if not self._asleep:
                self._let_go()

    aget = off_loop(get)
    aturns = off_loop(turns)
    aforget = off_loop(forget)
    aforget_tenant = off_loop(forget_tenant)
    arest = off_loop(rest)
    aupdate = off_loop(update)
    aconsolidate = off_loop(consolidate)
    aexport = off_loop(export)
    astats = off_loop(stats)
    aclose = off_loop(close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @contextmanager
    def _open(self) -> Iterator[None]:
        """The lock, if the memory is open; awake."""
        with self._lock:
            if self._closed:
                raise ClosedMemoryError("This memory was closed; open it again with TitansMemory.open.")
            if self._asleep:
                self._wake()
            if self._max_age is not None and time.monotonic() - self._swept > SWEEP_SECONDS:
                self._sweep()
            yield

    def _after_fork(self) -> None:
        """What a forked process may not take over from its parent."""
        self._lock = threading.RLock()  # another thread of the parent may have held it
        self._cache.discard()  # and may have been learning

    def _wake(self) -> None:
        self._log = open_log(self.url, self.tenant, reader=self._reader.fingerprint, dim=self._reader.dim)
        self._cache = Cache(self._log, self._spec)
        self._asleep = False

    def _let_go(self) -> None:
        # The weights can be learned again from the log: not saving them is no reason to fail.
        with suppress(StorageError):
            self._cache.save_snapshot()
        self._log.close()

    def _sweep(self) -> None:
        """Forget the turns that are older than the policy allows."""
        self._swept = time.monotonic()
        if self._max_age is None:
            return
        oldest = datetime.now(UTC) - self._max_age
        said = self._cache.index.turns().at
        if len(said) and said.min() < oldest.timestamp():
            self._forget(Filters(until=oldest))

    def _forget(self, wanted: Filters) -> int:
        with self._log.transaction():
            positions = self._log.positions(wanted)
            if positions:
                self._log.delete(positions)
        self._relearn()
        return len(positions)

    def _relearn(self) -> None:
        """After turns were deleted: leave nothing of them, and spare other processes the work."""
        self._cache.catch_up()
        self._cache.save_snapshot()
        self._log.scrub()

    def _position(self, id: str) -> int:  # noqa: A002 - the word that callers use
        position = self._log.position_of(id)
        if position is None:
            raise UnknownTurnError(f"No turn of {self.tenant!r} has the id {id!r}; `turns()` lists them.")
        return position


_MEMORIES: WeakSet[Upkeep] = WeakSet()


def _after_fork() -> None:
    for memory in _MEMORIES:
        memory._after_fork()  # noqa: SLF001 - of this file


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
