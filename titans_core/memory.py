"""One tenant's memory."""

from __future__ import annotations

from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, Unpack

from titans_core import transfer
from titans_core.cache import SNAPSHOT_EVERY
from titans_core.calibrating import AMONG, cases_of
from titans_core.confidence import Calibrated, Calibration, make_strategy
from titans_core.episodes import Filters, checked_query, checked_tenant, checked_turn, open_log
from titans_core.errors import InvalidQueryError, InvalidSpecError, StorageError
from titans_core.neural import Decay, Keep, MemorySpec
from titans_core.progress import progress_bar
from titans_core.reading import make_reader
from titans_core.readings import Readings
from titans_core.recalling import packed, ranking_fingerprint, recollect
from titans_core.twins import off_loop
from titans_core.types import LINE, Memorized, Recollection, Turn
from titans_core.upkeep import Upkeep
from titans_core.workers import in_batches, read_batches
from titans_core.writing import append_turns

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from titans_core.confidence import Case, Strategy
    from titans_core.episodes import EpisodeLog, FilterArguments
    from titans_core.reading import Reader
    from titans_core.workers import Batch

BATCH = 512
"""Turns that `memorize_many` reads and commits together."""

FOLDS = 5
"""Parts of the questions that a new calibration is fitted on all but one of, in turn."""

GATE = 0.9
"""A turn whose tokens are less surprising than this share of what is usual moves no weights."""


class TitansMemory(Upkeep):
    """Learns each turn of a conversation, and recalls turns under a label that says how far to trust them.

    Every method is safe to call from several threads, and has an async twin with an `a` before its name.

    Example:
        with TitansMemory.open("memory.db", tenant="alice") as memory:
            memory.memorize("The secret code is X-8-DELTA-9.", speaker="user")
            memory.recall("What is the secret code?").best.text
    """

    def __init__(
        self,
        log: EpisodeLog,
        reader: Reader,
        strategy: Strategy | str | None,
        spec: MemorySpec,
        *,
        per_source: int | None = None,
        max_age: timedelta | None = None,
    ) -> None:
        """Use `open`."""
        self._strategy = make_strategy(strategy, reader=reader.fingerprint, ranking=ranking_fingerprint())
        self._per_source = per_source
        super().__init__(log, reader, spec, max_age)

    @classmethod
    def open(
        cls,
        url: str | Path,
        *,
        tenant: str,
        reader: Reader | str | None = None,
        strategy: Strategy | str | None = None,
        keep: float = 1.0,
        per_source: int | None = 1000,
        max_age: timedelta | None = None,
    ) -> Self:
        """Open a tenant's memory, or begin one.

        Args:
            url: the path of a file, ":memory:", or "postgresql://…".
            tenant: whose memory; compared exactly. Nothing is shared between tenants but the reader.
            reader: a reader, or a model's name or path; None for all-MiniLM-L6-v2 in 4 bit.
            strategy: what labels recalls, an object or a name of `titans_core.confidence.STRATEGIES`; None for
                "calibrated", the one with a promise. For a reader that no calibration is known for None says
                `UncalibratedWarning` once, and `high` never; `calibrate` makes one.
            keep: retention, in (0, 1]: the share of what they know that the weights keep for each passage they
                learn. Below 1 they forget the old slowly; the log never does. Opened with another value, the
                weights are relearned.
            per_source: the most turns that one source (see `Turn.source`) may write within an hour, so that none
                floods the memory; None for any number. Turns without a source are not counted.
            max_age: forget turns that were said longer ago: when the memory is opened, and every hour while it is in
                use. By this machine's clock. None keeps them.

        Raises:
            InvalidTenantError: the tenant is missing.
            InvalidSpecError: `keep`, `per_source` or `max_age` is out of range.
            InvalidQueryError: no strategy has this name.
            CalibrationError: the strategy was calibrated with another reader.
            ReaderError: the model cannot be had, or the file was written with another.
            StorageError: the file cannot be used; the subclass says why.
        """
        tenant = checked_tenant(tenant)
        reader = make_reader(reader)
        spec = _spec(reader.dim, keep)
        _check_limits(per_source, max_age)
        log = open_log(url, tenant, reader=reader.fingerprint, dim=reader.dim)
        try:
            return cls(log, reader, strategy, spec, per_source=per_source, max_age=max_age)
        except BaseException:
            log.close()
            raise

    @property
    def version(self) -> tuple[int, int]:
        """Changes with every turn that is memorized, forgotten or given another text, as far as it is known here."""
        return self._cache.version

    def memorize(
        self,
        turn: str | Turn,
        *,
        speaker: str | None = None,
        at: datetime | None = None,
        session: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        id: str | None = None,  # noqa: A002 - the word that callers use
        source: str | None = None,
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
            source: where it comes from, if not from the conversation itself (see `Turn`).

        Raises:
            TurnError: it cannot be stored; the subclass says why.
            StorageError: it could not be written; nothing was.
        """
        whole = turn if isinstance(turn, Turn) else Turn(turn)
        given = {"speaker": speaker, "at": at, "session": session, "metadata": metadata, "id": id, "source": source}
        whole = replace(whole, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
        return self._memorize([checked_turn(whole)])[0]

    def memorize_many(
        self, turns: Iterable[str | Turn], *, workers: int = 0, progress: bool = False
    ) -> list[Memorized]:
        """Store and learn many turns, several times faster than one by one.

        They are committed in batches, in order: if the process dies, what comes back is a beginning of them. Turns
        whose ids are stored are not read again, so that a call that was cut short may be repeated.

        Args:
            turns: texts or turns.
            workers: how many processes read, each with the model loaded anew (some seconds, some 800 MB); 0 to read
                in this one. Only for many thousands of turns, with cores to spare: on two busy cores they gained
                nothing. A script needs its `if __name__ == "__main__":`, or each of them would run it.
            progress: whether to show a progress bar.

        Raises:
            TurnError: one of them cannot be stored; then none was.
            StorageError: a batch could not be written; those before it are stored.
            ReaderError: a worker died, or cannot be given this reader; what was committed is stored.
            InvalidQueryError: `workers` is below 0.
        """
        checked = [checked_turn(turn if isinstance(turn, Turn) else Turn(turn)) for turn in turns]
        batches = in_batches(checked, BATCH)
        return list(self._memorize_batches(batches, self._per_source, len(checked), workers, progress=progress))

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
            filters: only turns that pass: `speaker`, `since`, `until`, `session`, `source`, `where`, `ids`,
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

    def import_(self, path: str | Path, *, workers: int = 0, progress: bool = False) -> int:
        """Memorize the turns of an exported file; those that are stored already are left as they are.

        What was read of them is taken from the file beside it (see `export`), if that is whole and of this reader;
        else the turns are read, with the same result but for rounding. Whoever writes both files decides what the
        memory makes of the texts: take readings only from whom you would take the memory itself. The file may be
        larger than memory; all of it is checked before any turn is memorized. `per_source` does not apply.

        Args:
            path: of the file of turns.
            workers: how many processes read, as in `memorize_many`; none are started if nothing is to be read.
            progress: whether to show a progress bar.

        Returns:
            How many turns were new.

        Raises:
            ForeignFileError: the file is no export, or holds what cannot be stored; nothing was memorized.
            DuplicateTurnError: an id is taken by another text; the batches before it are stored.
            StorageError: as `memorize_many`.
            ReaderError: likewise.
            InvalidQueryError: likewise.
        """
        total, sha256 = transfer.check_turns(path)
        readings = Readings.open(
            transfer.readings_beside(path),
            reader=self._reader.fingerprint,
            dim=self._reader.dim,
            turns=total,
            turns_sha256=sha256,
        )
        batches = in_batches(transfer.read_turns(path), BATCH, readings)
        # The few turns whose readings are damaged are not worth a worker.
        workers = workers if readings is None else min(workers, 0)
        receipts = self._memorize_batches(batches, None, total, workers, progress=progress)
        return sum(receipt.duplicate_of != receipt.id for receipt in receipts)

    amemorize = off_loop(memorize)
    amemorize_many = off_loop(memorize_many)
    arecall = off_loop(recall)
    acases = off_loop(cases)
    acalibrate = off_loop(calibrate)
    aimport_ = off_loop(import_)

    def _made(self, strategy: Strategy | str | None) -> Any:
        return make_strategy(strategy, reader=self._reader.fingerprint, ranking=ranking_fingerprint())

    def _recollect(
        self, query: str, strategy: Strategy, *, k: int, filters: Filters, hidden: Collection[int] = ()
    ) -> Recollection:
        [reading] = self._reader.read([query])
        # One view of the log: what another process forgets meanwhile is still whole in it.
        with self._open(), self._log.reading():
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
        return list(self._memorize_batches(in_batches(turns, len(turns)), self._per_source, len(turns)))

    def _memorize_batches(
        self, batches: Iterable[Batch], per_source: int | None, total: int, workers: int = 0, *, progress: bool = False
    ) -> Iterator[Memorized]:
        """Store and learn batches of checked turns, each of them whole or not at all."""
        read = read_batches(self._reader, map(self._without_stored, batches), workers=workers)
        # A bar that is not shown would still start its thread, for each single turn.
        shown = progress_bar(total=total, unit="turn", desc="memorizing") if progress else nullcontext()
        with shown as bar, closing(read):
            for batch in read:
                with self._open():
                    receipts = append_turns(self._log, self._cache, batch.turns, batch.passages, per_source=per_source)
                    # The turns are stored; weights that are not can be learned again.
                    with suppress(StorageError):
                        self._cache.save_snapshot(at_least=SNAPSHOT_EVERY)
                if bar is not None:
                    bar.update(len(receipts))
                yield from receipts

    def _without_stored(self, batch: Batch) -> Batch:
        """The batch with less to read, which takes longest: asked first what is stored."""
        with self._open():
            stored = {turn.id for turn in self._log.select(Filters(ids=[turn.id or "" for turn in batch.turns]))}
        return batch._replace(unread=[turn for turn in batch.unread if turn.id not in stored])


def _spec(dim: int, keep: float) -> MemorySpec:
    """The neural memory that all tenants use: the preset `least_squares`, with its gate and the caller's retention."""
    if not 0 < keep <= 1:
        raise InvalidSpecError(f"keep lies in (0, 1]: 1 never fades, 0.999 fades slowly. Got {keep}.")
    return MemorySpec(dim, retention=Keep() if keep == 1 else Decay(1 - keep), gate=GATE)


def _check_limits(per_source: int | None, max_age: timedelta | None) -> None:
    if per_source is not None and per_source < 1:
        raise InvalidSpecError(f"`per_source` is 1 at least, or None for no limit. Got {per_source}.")
    if max_age is not None and max_age <= timedelta(0):
        raise InvalidSpecError(f"`max_age` is above 0, or None to keep everything. Got {max_age}.")
