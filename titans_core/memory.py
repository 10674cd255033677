"""One tenant's memory."""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, Unpack

from transformers.utils import logging as transformers_logging

from titans_core import transfer
from titans_core.cache import SNAPSHOT_EVERY, Cache
from titans_core.calibrating import AMONG, cases_of
from titans_core.confidence import Calibrated, Calibration, make_strategy
from titans_core.episodes import EpisodeLog, Filters, checked_query, checked_tenant, checked_text, checked_turn
from titans_core.errors import (
    ClosedMemoryError,
    InvalidQueryError,
    InvalidSpecError,
    StorageError,
    UnknownTurnError,
)
from titans_core.neural import Decay, Keep, MemorySpec
from titans_core.reading import make_reader
from titans_core.recalling import packed, ranking_fingerprint, recollect
from titans_core.twins import off_loop
from titans_core.types import LINE, Memorized, Recollection, Stats, Turn
from titans_core.writing import append_turns, read_passages

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from titans_core.confidence import Case, Strategy
    from titans_core.episodes import FilterArguments
    from titans_core.reading import Reader

BATCH = 512
"""Turns that `memorize_many` reads and commits together."""

FOLDS = 5
"""Parts of the questions that a new calibration is fitted on all but one of, in turn."""

GATE = 0.9
"""A turn whose tokens are less surprising than this share of what is usual moves no weights."""


class TitansMemory:
    """Learns each turn of a conversation, and recalls turns under a label that says how far to trust them.

    Every method is safe to call from several threads, and has an async twin with an `a` before its name.

    Example:
        with TitansMemory.open("memory.db", tenant="alice") as memory:
            memory.memorize("The secret code is X-8-DELTA-9.", speaker="user")
            memory.recall("What is the secret code?").best.text
    """

    def __init__(self, log: EpisodeLog, reader: Reader, strategy: Strategy | str | None, spec: MemorySpec) -> None:
        """Use `open`."""
        self._log = log
        self._reader = reader
        self._strategy = self._made(strategy)
        self._lock = threading.RLock()
        self._closed = False
        self._cache = Cache(log, spec)

    @classmethod
    def open(
        cls,
        url: str | Path,
        *,
        tenant: str,
        reader: Reader | str | None = None,
        strategy: Strategy | str | None = None,
        keep: float = 1.0,
    ) -> Self:
        """Open a tenant's memory, or begin one.

        Args:
            url: the path of a file, or ":memory:".
            tenant: whose memory; compared exactly. Nothing is shared between tenants but the reader.
            reader: a reader, or a model's name or path; None for all-MiniLM-L6-v2 in 4 bit.
            strategy: what labels recalls, an object or a name of `titans_core.confidence.STRATEGIES`; None for
                "calibrated", the one with a promise. For a reader that no calibration is known for None says
                `UncalibratedWarning` once, and `high` never; `calibrate` makes one.
            keep: retention, in (0, 1]: the share of what they know that the weights keep for each passage they
                learn. Below 1 they forget the old slowly; the log never does. Opened with another value, the
                weights are relearned.

        Raises:
            InvalidTenantError: the tenant is missing.
            InvalidSpecError: `keep` is out of range.
            InvalidQueryError: no strategy has this name.
            CalibrationError: the strategy was calibrated with another reader.
            ReaderError: the model cannot be had, or the file was written with another.
            StorageError: the file cannot be used; the subclass says why.
        """
        tenant = checked_tenant(tenant)
        reader = make_reader(reader)
        spec = _spec(reader.dim, keep)
        log = EpisodeLog(url, tenant, reader=reader.fingerprint, dim=reader.dim)
        try:
            return cls(log, reader, strategy, spec)
        except BaseException:
            log.close()
            raise

    @property
    def tenant(self) -> str:
        """Whose memory this is."""
        return self._log.tenant

    @property
    def url(self) -> str:
        """Where it is stored."""
        return self._log.url

    @property
    def reader(self) -> str:
        """Fingerprint of the model that reads its turns, quantization first."""
        return self._reader.fingerprint

    @property
    def version(self) -> tuple[int, int]:
        """Changes with every turn that is memorized, forgotten or given another text, as far as it is known here."""
        return self._cache.version

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def memorize(
        self,
        turn: str | Turn,
        *,
        speaker: str | None = None,
        at: datetime | None = None,
        session: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,  # noqa: A002 - the word that callers use
    ) -> Memorized:
        """Store one turn and learn it. When this returns, it is on disk.

        An id that is stored already with this text writes nothing, so that a call may be repeated.

        Args:
            turn: the text, or a `Turn`, whose fields the other arguments override.
            speaker: who said it.
            at: when; now by default.
            session: the conversation that it belongs to.
            metadata: JSON values to keep with it.
            id: its id; a new one by default.

        Raises:
            TurnError: it cannot be stored; the subclass says why.
            StorageError: it could not be written; nothing was.
        """
        whole = turn if isinstance(turn, Turn) else Turn(turn)
        given: dict[str, Any] = {"speaker": speaker, "at": at, "session": session, "metadata": metadata, "id": id}
        whole = replace(whole, **{name: value for name, value in given.items() if value is not None})
        return self._memorize([checked_turn(whole)])[0]

    def memorize_many(self, turns: Iterable[str | Turn], *, progress: bool = False) -> list[Memorized]:
        """Store and learn many turns, several times faster than one by one.

        They are committed in batches, in order: if the process dies, what comes back is a beginning of them.

        Args:
            turns: texts or turns.
            progress: whether to show a progress bar.

        Raises:
            TurnError: one of them cannot be stored; then none was.
            StorageError: a batch could not be written; those before it are stored.
        """
        checked = [checked_turn(turn if isinstance(turn, Turn) else Turn(turn)) for turn in turns]
        receipts: list[Memorized] = []
        with transformers_logging.tqdm(total=len(checked), unit="turn", desc="memorizing", disable=not progress) as bar:
            for start in range(0, len(checked), BATCH):
                batch = self._memorize(checked[start : start + BATCH])
                receipts += batch
                bar.update(len(batch))
        return receipts

    def recall(
        self,
        query: str,
        *,
        k: int = 5,
        strategy: Strategy | str | None = None,
        max_tokens: int | None = None,
        template: str = LINE,
        **filters: Unpack[FilterArguments],
    ) -> Recollection:
        """Recall the turns that answer a query, under one label.

        Args:
            query: a question or any text.
            k: the most recalls to return; at least 1.
            strategy: labels this recall instead of the memory's own.
            max_tokens: the most that `as_text(template)` of the answer may have, in tokens of the reader; recalls are
                taken by score as long as they fit whole. None for no limit.
            template: for one recall in a prompt, see `Recollection.as_text`.
            filters: only turns that pass: `speaker`, `since`, `until`, `session`, `where`, `ids`,
                `except_texts` (see `Filters`).

        Raises:
            InvalidQueryError: the query is empty or no valid Unicode, or an argument out of range.
        """
        query = checked_query(query)
        if not isinstance(k, int) or k < 1:
            raise InvalidQueryError(f"`k` must be a whole number of at least 1, not {k!r}.")
        chosen = self._strategy if strategy is None else self._made(strategy)
        found = self._recollect(query, chosen, k=k, filters=Filters(**filters))
        if found.best:
            with self._open():
                position = self._log.position_of(found.best.id)
                if position is not None:  # else it was forgotten in the meantime
                    self._cache.count_recall(position)
        return found if max_tokens is None else packed(found, max_tokens, self._reader.count_tokens, template)

    def cases(self, pairs: Iterable[tuple[str, Collection[str]]], *, group: str = "") -> list[Case]:
        """Ask questions whose answers are known: what a calibration is made of.

        Args:
            pairs: queries, and the ids of the turns that answer them; no ids where nothing stored does.
            group: of the cases, when those of several memories are put together.

        Raises:
            InvalidQueryError: a query is empty or no valid Unicode.
            UnknownTurnError: no turn has one of the ids.
        """

        def recollect_without(query: str, strategy: Strategy, hidden: Collection[str]) -> Recollection:
            unsaid = [self._position(turn) for turn in hidden]
            return self._recollect(query, strategy, k=AMONG, filters=Filters(), hidden=unsaid)

        checked = [(checked_query(query), answers) for query, answers in pairs]
        return list(cases_of(recollect_without, checked, group or self.tenant))

    def calibrate(self, pairs: Iterable[tuple[str, Collection[str]]], *, promise: float = 0.8) -> Calibration:
        """Test on your own questions what the labels can promise, and label by that from now on.

        The probabilities stay as they are, if there are any for this reader; the thresholds are tested anew. A label
        whose promise these questions do not bear out is not given any more; the calibration says which.

        Args:
            pairs: queries, and the ids of the turns that answer them; no ids where nothing stored does. Some hundreds,
                in the proportion in which they are asked.
            promise: of `high`: 0.95, 0.9 or 0.8.

        Returns:
            The calibration, with the thresholds and their bounds; `save` it and open the memory next time with
            `strategy=Calibrated(Calibration.load(path))`.

        Raises:
            CalibrationError: there are too few questions, or no such promise.
            UnknownTurnError: no turn has one of the ids.
        """
        from titans_core.confidence.fitting import fit_calibration, recalibrate

        known = self._strategy.calibration if isinstance(self._strategy, Calibrated) else Calibration.shipped()
        Calibrated(known, promise=promise)  # there is such a promise, or the questions need not be asked
        cases = self.cases(pairs)
        fingerprints = {"reader": self._reader.fingerprint, "ranking": ranking_fingerprint()}
        if known.fits(**fingerprints):
            made = recalibrate(known, cases)
        else:
            folds = [replace(case, group=str(row % FOLDS)) for row, case in enumerate(cases)]
            made = fit_calibration(folds, **fingerprints)
        self._strategy = Calibrated(made, promise=promise)
        return made

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
            with self._log.transaction():
                positions = self._log.positions(wanted) if id is None else [self._position(id)]
                if positions:
                    self._log.delete(positions)
            self._log.checkpoint()
            self._cache.catch_up()
        return len(positions)

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
            self._log.checkpoint()
            self._cache.catch_up()
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
        return len(chosen)

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

    def export(self, path: str | Path) -> int:
        """Write all turns to a file of JSON lines.

        Returns:
            How many.

        Raises:
            UnwritableError: the file cannot be written.
        """
        turns = self.turns()
        transfer.write_turns(turns, path)
        return len(turns)

    def import_(self, path: str | Path, *, progress: bool = False) -> int:
        """Memorize the turns of an exported file; those that are stored already are left as they are.

        Returns:
            How many turns were new.

        Raises:
            ForeignFileError: the file is no export; nothing was memorized.
            TurnError: as `memorize_many`.
        """
        receipts = self.memorize_many(transfer.read_turns(path), progress=progress)
        return sum(receipt.duplicate_of != receipt.id for receipt in receipts)

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

    def close(self) -> None:
        """Save the weights and close the file; closing twice is no error."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            # The weights can be learned again from the log: not saving them is no reason to fail.
            with suppress(StorageError):
                self._cache.save_snapshot()
            self._log.close()

    amemorize = off_loop(memorize)
    amemorize_many = off_loop(memorize_many)
    arecall = off_loop(recall)
    acases = off_loop(cases)
    acalibrate = off_loop(calibrate)
    aforget = off_loop(forget)
    aupdate = off_loop(update)
    aconsolidate = off_loop(consolidate)
    aget = off_loop(get)
    aturns = off_loop(turns)
    aexport = off_loop(export)
    aimport_ = off_loop(import_)
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
        """The lock, if the memory is open."""
        with self._lock:
            if self._closed:
                raise ClosedMemoryError("This memory was closed; open it again with TitansMemory.open.")
            yield

    def _made(self, strategy: Strategy | str | None) -> Any:
        return make_strategy(strategy, reader=self._reader.fingerprint, ranking=ranking_fingerprint())

    def _recollect(
        self, query: str, strategy: Strategy, *, k: int, filters: Filters, hidden: Collection[int] = ()
    ) -> Recollection:
        [reading] = self._reader.read([query])
        with self._open():
            self._cache.catch_up()
            return recollect(
                query,
                reading,
                k=k,
                filters=filters,
                strategy=strategy,
                hidden=hidden,
                log=self._log,
                index=self._cache.index,
                spec=self._cache.spec,
                state=self._cache.state,
            )

    def _memorize(self, turns: list[Turn]) -> list[Memorized]:
        """Store and learn checked turns, all or none."""
        with self._open():  # asked before the reading, which takes longest
            pass
        passages = read_passages(self._reader, turns)
        with self._open():
            receipts = append_turns(self._log, self._cache, turns, passages)
            self._cache.save_snapshot(at_least=SNAPSHOT_EVERY)
        return receipts

    def _position(self, id: str) -> int:  # noqa: A002 - the word that callers use
        position = self._log.position_of(id)
        if position is None:
            raise UnknownTurnError(f"No turn of {self.tenant!r} has the id {id!r}; `turns()` lists them.")
        return position


def _spec(dim: int, keep: float) -> MemorySpec:
    """The neural memory that all tenants use: the preset `least_squares`, with its gate and the caller's retention."""
    if not 0 < keep <= 1:
        raise InvalidSpecError(f"keep lies in (0, 1]: 1 never fades, 0.999 fades slowly. Got {keep}.")
    return MemorySpec(dim, retention=Keep() if keep == 1 else Decay(1 - keep), gate=GATE)
