"""One tenant's memory."""

from __future__ import annotations

from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, Unpack

from titans_core._utils.async_twin import async_twin
from titans_core._utils.closeable import Closeable
from titans_core._utils.progress import progress_bar
from titans_core.confidence import Calibrated, Calibration, make_strategy
from titans_core.confidence.calibration import check_promise
from titans_core.confidence.cases import TOP_RECALLS, collect_cases
from titans_core.errors import InvalidQueryError, InvalidSpecError, StorageError
from titans_core.memory.ingest import append_turns, read_passages
from titans_core.memory.learned_log import LearnedLog
from titans_core.memory.learner import SNAPSHOT_EVERY
from titans_core.memory.workers import in_batches, read_batches
from titans_core.neural import Decay, Keep, MemorySpec
from titans_core.readers import make_reader
from titans_core.retrieval import (
    MAX_QUERY_TOKENS,
    Question,
    asking_part,
    fit_to_budget,
    profile,
    ranking_fingerprint,
    recollect,
)
from titans_core.storage import Filters, open_log
from titans_core.storage.export import Readings, inspect_export, read_turns, readings_path, write_export
from titans_core.types import RECALL_TEMPLATE, Memorized, Recollection, Stats, Turn
from titans_core.validation import (
    validate_count,
    validate_now,
    validate_query,
    validate_tenant,
    validate_text,
    validate_turn,
)
from titans_core.verification import make_verifier

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, tzinfo
    from pathlib import Path

    from titans_core._utils.progress import Progress
    from titans_core.confidence import Case, Strategy
    from titans_core.memory.workers import Batch
    from titans_core.readers import Reader
    from titans_core.retrieval import Knowledge
    from titans_core.retrieval.pipeline import Context
    from titans_core.storage import FilterArguments, PassageRecord
    from titans_core.verification import Verifier

COMMIT_TURNS = 512
"""Turns that `memorize_many` reads and commits together."""

SURPRISE_GATE = 0.9
"""A turn whose tokens are less surprising than this share of the usual surprise does not move the weights."""


class TitansMemory(Closeable):
    """Learns each turn of a conversation, and recalls turns under a label that says how far to trust them.

    Every method is safe to call from several threads. Each method that waits has an async twin, whose name begins with
    an `a`: `arecall` for `recall`.

    Example:
        ```python
        with TitansMemory.open("memory.db", tenant="alice") as memory:
            memory.memorize("The secret code is X-8-DELTA-9.", speaker="user")
            memory.recall("What is the secret code?").best.text
        ```
    """

    def __init__(
        self,
        learned: LearnedLog,
        reader: Reader,
        strategy: Strategy,
        *,
        verifier: Verifier | None,
        max_per_source: int | None = None,
    ) -> None:
        """Use `open`."""
        self._learned = learned
        self._reader = reader
        self._verifier = verifier
        self._strategy = strategy
        self._max_per_source = max_per_source

    @classmethod
    def open(
        cls,
        url: str | Path,
        *,
        tenant: str,
        reader: Reader | str | None = None,
        strategy: Strategy | str | None = None,
        verify: Verifier | bool = False,
        retention: float = 1.0,
        max_per_source: int | None = 1000,
        max_age: timedelta | None = None,
    ) -> Self:
        """Open a tenant's memory, or create it.

        Args:
            url: The path of a file, ":memory:", or "postgresql://…".
            tenant: Whose memory it is; compared exactly. Tenants share nothing but the reader.
            reader: A reader, or a model's name or path; None for all-MiniLM-L6-v2 in 4 bit.
            strategy: The strategy that labels recalls, as an object or as a name in
                `titans_core.confidence.STRATEGIES`. None for "calibrated", whose labels are promises. If no
                calibration is known for the reader, None gives an `UncalibratedWarning`, and no recall is labelled
                `high`; `calibrate` makes a calibration.
            verify: Whether a verifier reads the best recalls together with the query (see docs/confidence.md for what
                it is worth, and how long it takes); or a verifier of your own. For a reader that no shipped verifier
                was trained with, True is the same as False. No calibration is known with a verifier, so that the
                default strategy warns, until `calibrate` makes one.
            retention: The share of what the weights know that they keep for each passage they learn, in (0, 1]. Below
                1 the weights forget old turns slowly; the log never does. If the value differs from the last time, the
                weights are learned again.
            max_per_source: The most turns that one source (see `Turn.source`) may write within an hour, so that no
                source floods the memory; None for no limit. Turns without a source are not counted.
            max_age: The age from which on turns are forgotten: when the memory is opened, and every hour while it is
                in use, by this machine's clock. None keeps all turns.

        Raises:
            InvalidTenantError: The tenant is missing.
            InvalidSpecError: `retention`, `max_per_source` or `max_age` is out of range.
            InvalidQueryError: No strategy has this name.
            CalibrationError: The strategy was calibrated with another reader.
            ReaderError: The model cannot be loaded, or the file was written with another reader.
            StorageError: The file cannot be used; the subclass says why.
        """
        tenant = validate_tenant(tenant)
        reader = make_reader(reader)
        spec = _memory_spec(reader.dim, retention)
        _check_limits(max_per_source, max_age)
        log = open_log(url, tenant, reader=reader.fingerprint, dim=reader.dim)
        try:
            verifier = make_verifier(verify, reader)
            made = make_strategy(strategy, reader=reader.fingerprint, ranking=_fingerprint(verifier))
            learned = LearnedLog(log, reader=reader.fingerprint, spec=spec, max_age=max_age)
        except BaseException:
            log.close()
            raise
        return cls(learned, reader, made, verifier=verifier, max_per_source=max_per_source)

    # ── what it is ──

    @property
    def url(self) -> str:
        """Where the memory is stored."""
        return self._learned.url

    @property
    def tenant(self) -> str:
        """Whose memory it is."""
        return self._learned.tenant

    @property
    def reader(self) -> str:
        """Fingerprint of the model that reads the turns; the quantization comes first."""
        return self._reader.fingerprint

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._learned.closed

    @property
    def version(self) -> tuple[int, int]:
        """A value that changes with every turn that is memorized, forgotten or updated, as far as this object knows."""
        return self._learned.learner.version

    def stats(self) -> Stats:
        """How much is stored."""
        with self._learned.in_use() as learned:
            learned.learner.catch_up()
            index, state = learned.learner.index, learned.learner.state
            return Stats(
                turns=len(index.turns().positions),
                passages=len(index.passages().numbers),
                tokens=state.tokens,
                weight_bytes=state.nbytes + index.passages().columns.nbytes,
                log_bytes=learned.log.size(),
                reader=self.reader,
            )

    @contextmanager
    def knowledge(self) -> Iterator[Knowledge]:
        """The log, the index and the weights at one moment, for figures and measurements; to be read only.

        They are valid inside the block. Other threads that use the memory wait until the block ends.
        """
        with self._learned.in_use() as learned, learned.log.reading():
            learned.learner.catch_up()
            yield learned.learner.knowledge

    # ── memorize ──

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
        """Store one turn and learn it. When this returns, the turn is on disk.

        If a turn with this id and text is stored already, nothing is written, so that a call may be repeated.

        Args:
            turn: The text, or a `Turn`, whose fields the other arguments override.
            speaker: Who said it.
            at: When it was said; None for now.
            session: The conversation that it belongs to.
            metadata: JSON values to keep with it.
            id: Its id; None for a new one.
            source: Where it comes from, if not from the conversation itself (see `Turn`).

        Raises:
            TurnError: The turn cannot be stored; the subclass says why.
            StorageError: The turn could not be written; nothing was.
        """
        whole = turn if isinstance(turn, Turn) else Turn(turn)
        given = {"speaker": speaker, "at": at, "session": session, "metadata": metadata, "id": id, "source": source}
        whole = replace(whole, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
        batches = in_batches([validate_turn(whole)], 1)
        [receipt] = self._memorize_batches(batches, total=1, max_per_source=self._max_per_source)
        return receipt

    def memorize_many(
        self, turns: Iterable[str | Turn], *, workers: int = 0, progress: Progress = False
    ) -> list[Memorized]:
        """Store and learn many turns, several times faster than one by one.

        Turns are committed in batches, in order: if the process dies, the first batches are stored. Turns whose ids
        are stored already are not read again, so that an interrupted call may be repeated.

        Args:
            turns: Texts or turns.
            workers: The number of processes that read; 0 to read in this process. Each process loads the model anew
                (some seconds, about 800 MB), so use them for many thousands of turns on idle cores only: on two busy
                cores they gained nothing. A script needs `if __name__ == "__main__":`, or each worker would run it.
            progress: True for a progress bar, or a function that is called with (done, total).

        Raises:
            TurnError: One of the turns cannot be stored; then none was.
            StorageError: A batch could not be written; the batches before it are stored.
            ReaderError: A worker died, or cannot be given this reader; committed batches are stored.
            InvalidQueryError: `workers` is below 0.
        """
        checked = [validate_turn(turn if isinstance(turn, Turn) else Turn(turn)) for turn in turns]
        return list(
            self._memorize_batches(
                in_batches(checked, COMMIT_TURNS),
                total=len(checked),
                max_per_source=self._max_per_source,
                workers=workers,
                progress=progress,
            )
        )

    def import_(self, path: str | Path, *, workers: int = 0, progress: Progress = False) -> int:
        """Memorize the turns of an exported file; turns that are stored already stay as they are.

        The readings of the turns are taken from the file beside it (see `export`) if that file is intact and was made
        with this reader; otherwise the turns are read again, with the same result up to rounding. Whoever writes both
        files decides what the memory makes of the texts, so import readings only from somebody whom you would trust
        with the memory itself. The file may be larger than the machine's memory; all of it is checked before the
        first turn is memorized. `max_per_source` does not apply.

        Args:
            path: Path of the file of turns.
            workers: The number of processes that read, as in `memorize_many`; none is started if there is nothing to
                read.
            progress: True for a progress bar, or a function that is called with (done, total).

        Returns:
            The number of new turns.

        Raises:
            ForeignFileError: The file is no export, or holds what cannot be stored; nothing was memorized.
            DuplicateTurnError: An id is taken by another text; the batches before it are stored.
            StorageError: As in `memorize_many`.
            ReaderError: As in `memorize_many`.
            InvalidQueryError: As in `memorize_many`.
        """
        total, sha256 = inspect_export(path)
        readings = Readings.open(
            readings_path(path), reader=self.reader, dim=self._reader.dim, turns=total, turns_sha256=sha256
        )
        if readings is not None and workers > 0:
            workers = 0  # the few turns whose readings are damaged are not worth a process
        receipts = self._memorize_batches(
            in_batches(read_turns(path), COMMIT_TURNS, readings),
            total=total,
            max_per_source=None,
            workers=workers,
            progress=progress,
        )
        return sum(receipt.duplicate_of != receipt.id for receipt in receipts)

    # ── recall ──

    def recall(
        self,
        query: str,
        *,
        k: int = 5,
        strategy: Strategy | str | None = None,
        max_tokens: int | None = None,
        template: str = RECALL_TEMPLATE,
        context: Context = 0,
        now: datetime | None = None,
        timezone: str | tzinfo | None = None,
        **filters: Unpack[FilterArguments],
    ) -> Recollection:
        """Recall the turns that answer a query, under one label.

        Only turns that tell something are recalled; earlier questions and refusals are not, unless the query is about
        them ("What did I ask you about Rome?"). If statements give one subject different values, the latest leads,
        unless the query asks for an earlier one ("Where did I live before?"). Statements that say the same are one
        recall. A query about nothing but a time ("What did I say last week?") or a person ("What do you know about
        me?") gets the most surprising turns of that time or person.

        Args:
            query: A question or any other text. Of a long one, such as a question behind a pasted text, the asking
                sentences and both ends are searched for, see `Recollection.searched`.
            k: The most recalls to return; at least 1.
            strategy: The strategy that labels this recall, instead of the memory's own.
            max_tokens: The most tokens, counted by the reader, that `as_text(template)` of the answer may have. The
                best recalls are taken that fit whole. None for no limit.
            template: The template of one recall in a prompt, see `Recollection.as_text`.
            context: The turns beside each recall that come along (see `Recall.before` and `Recall.after`): a number on
                each side, at least 0; or "reply" for the turn after a recall that asks something.
            now: When the query is asked, which decides what "yesterday" is; None for this moment.
            timezone: The user's time zone, as a name such as "Asia/Tokyo" or as a tzinfo: days begin and end there,
                and blocks show its dates. None for the zone of `now`, or else this machine's.
            **filters: Conditions that a turn must meet: `speaker`, `since`, `until`, `session`, `source`, `where`,
                `ids`, `except_texts` (see `Filters`).

        Raises:
            InvalidQueryError: The query is empty or no valid Unicode, or an argument is out of range.
        """
        query = validate_query(query)
        validate_count(k, "k")
        if context != "reply" and (not isinstance(context, int) or context < 0):
            raise InvalidQueryError(f'`context` must be a number of turns or "reply", not {context!r}.')
        asked = validate_now(now, timezone)
        chosen = self._strategy if strategy is None else self._make_strategy(strategy)
        found = self._recollect(query, chosen, k=k, filters=Filters(**filters), now=asked, context=context)
        if found.best:
            with self._learned.in_use() as learned:
                position = learned.log.position_of(found.best.id)
                if position is not None:  # otherwise another thread has just forgotten it
                    learned.learner.count_recall(position)
        return found if max_tokens is None else self._fitted(found, max_tokens, template)

    def profile(
        self,
        *,
        k: int = 20,
        speaker: str | None = None,
        max_tokens: int | None = None,
        template: str = RECALL_TEMPLATE,
        timezone: str | tzinfo | None = None,
    ) -> Recollection:
        """What a person has told about as a whole: statements that still hold, each once, most surprising first.

        It is for the start of a conversation, when nothing is asked yet. A query such as "What do you know about me?"
        gets the same from `recall`.

        Args:
            k: The most recalls to return; at least 1.
            speaker: The person; None for the user, or for everybody if no speaker is named "user" or "human".
            max_tokens: The most tokens that `as_text(template)` of the answer may have, as in `recall`.
            template: The template of one recall in a prompt, see `Recollection.as_text`.
            timezone: The user's time zone, as in `recall`.

        Returns:
            The statements under the label `low`, because nobody asked for them; `none` if there are none.

        Raises:
            InvalidQueryError: `k` or `max_tokens` is below 1.
        """
        validate_count(k, "k")
        zone = validate_now(None, timezone).tzinfo
        with self.knowledge() as known:
            found = replace(profile(known, k=k, speaker=speaker), zone=zone)
        return found if max_tokens is None else self._fitted(found, max_tokens, template)

    def get(self, id: str) -> Turn:  # noqa: A002 - the word that callers use
        """The turn with this id.

        Raises:
            UnknownTurnError: No turn has the id.
        """
        with self._learned.in_use() as learned:
            return learned.log.turn_at(learned.position(id))

    def turns(self, **filters: Unpack[FilterArguments]) -> list[Turn]:
        """The turns that pass the filters (see `recall`), in the order in which they were memorized; all by default."""
        with self._learned.in_use() as learned:
            return learned.log.select(Filters(**filters))

    # ── forget and change ──

    def forget(self, id: str | None = None, **filters: Unpack[FilterArguments]) -> int:  # noqa: A002
        """Delete one turn, or all turns that pass the filters, and relearn the rest without them.

        The text is overwritten in the file. Relearning takes about a millisecond for each turn that stays.

        Args:
            id: The id of the turn; or
            **filters: At least one filter, as in `recall`; `except_texts` forgets all turns but those.

        Returns:
            The number of turns that were forgotten.

        Raises:
            UnknownTurnError: No turn has the id.
            InvalidQueryError: Neither an id nor a filter was given, or both were.
        """
        wanted = Filters(**filters)
        if (id is None) == (not wanted):
            raise InvalidQueryError("Give `forget` either an id or a filter (speaker, since, until, session, where).")
        with self._learned.in_use() as learned:
            if id is not None:
                learned.position(id)  # raises if there is no such turn
                wanted = Filters(ids=[id])
            return learned.forget(wanted)

    def forget_tenant(self) -> int:
        """Forget all that this tenant has said, and the name, and close the memory.

        Returns:
            The number of turns that were forgotten.
        """
        return self._learned.forget_tenant()

    def update(
        self,
        id: str,  # noqa: A002 - the word that callers use
        text: str | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> Memorized:
        """Replace a turn's text or metadata, in its place.

        With a new text everything is relearned as if the turn had always been so: about a millisecond for each turn.
        New metadata cost one write, because the weights know nothing of them.

        Args:
            id: The id of the turn.
            text: The new text; None leaves the old one.
            metadata: The new metadata, which replace the old ones as a whole; None leaves the old ones.

        Raises:
            UnknownTurnError: No turn has the id.
            TurnError: The text or the metadata cannot be stored.
        """
        stored = self.get(id)
        text = stored.text if text is None else validate_text(text)
        turn = validate_turn(replace(stored, text=text, metadata=stored.metadata if metadata is None else metadata))
        if text == stored.text:
            with self._learned.in_use() as learned, learned.log.transaction():
                learned.log.set_metadata(learned.position(id), turn.metadata)
            return Memorized(id, surprise=0.0, learned=False)
        [passages] = read_passages(self._reader, [turn])
        with self._learned.in_use() as learned:
            with learned.log.transaction():
                position = learned.position(id)
                learned.log.delete([position])
                learned.log.append(turn, passages, position=position)
            learned.relearn()
            surprise, moved = learned.learner.outcome_at(position)
            return Memorized(id, surprise, moved)

    def consolidate(self, share: float = 0.1) -> int:
        """Relearn everything from the log, and rehearse the turns that matter: learn them once more, as if said again.

        With `retention` below 1 old turns fade from the weights. Turns that were recalled often, or that were
        surprising, deserve better; consolidation goes over them, as sleep does. It replaces the consolidation before
        it. It takes as long as learning all turns anew: about a millisecond each, with `retention` below 1 about ten.
        In the log it changes only which turns are rehearsed.

        Args:
            share: The share of turns to rehearse, in [0, 1].

        Returns:
            The number of turns that were rehearsed.

        Raises:
            InvalidQueryError: The share is out of range.
        """
        if not 0 <= share <= 1:
            raise InvalidQueryError(f"The share of turns to rehearse lies in [0, 1]; got {share}.")
        with self._learned.in_use() as learned:
            learned.learner.catch_up()
            chosen = learned.learner.most_important(share)
            with learned.log.transaction():
                learned.log.rehearse(chosen)
            learned.learner.catch_up()
            learned.learner.save_snapshot()
        return len(chosen)

    # ── calibrate ──

    def calibration_cases(
        self, pairs: Iterable[tuple[str, Collection[str]]], *, group: str = "", now: datetime | None = None
    ) -> list[Case]:
        """Ask questions whose answers are known; a calibration is made of the cases.

        Args:
            pairs: Queries, each with the ids of the turns that answer it; no ids if no stored turn does.
            group: The group of the cases, for calibrations that are made of several memories; "" for the tenant.
            now: When the queries are asked; None for this moment.

        Raises:
            InvalidQueryError: A query is empty or no valid Unicode.
            UnknownTurnError: No turn has one of the ids.
        """

        def recollect_without(query: str, strategy: Strategy, hidden: Collection[str]) -> Recollection:
            with self._learned.in_use() as learned:
                positions = [learned.position(turn) for turn in hidden]
            return self._recollect(query, strategy, k=TOP_RECALLS, filters=Filters(), now=asked_at, hidden=positions)

        asked_at = validate_now(now, None)
        checked = [(validate_query(query), answers) for query, answers in pairs]
        return list(collect_cases(recollect_without, checked, group or self.tenant))

    def calibrate(self, pairs: Iterable[tuple[str, Collection[str]]], *, promise: float = 0.8) -> Calibration:
        """Test on your own questions what the labels can promise, and label by that from now on.

        If there are probabilities for this reader, they stay as they are, and only the thresholds are tested anew. A
        label whose promise these questions do not support is no longer given; the calibration says which.

        Args:
            pairs: Queries, each with the ids of the turns that answer it; no ids if no stored turn does. Give some
                hundreds, in the proportion in which they are asked.
            promise: The promise of `high`: 0.95, 0.9 or 0.8.

        Returns:
            The calibration with its thresholds and their bounds. `save` it, and open the memory next time with
            `strategy=Calibrated(Calibration.load(path))`.

        Raises:
            CalibrationError: There are too few questions, or there is no such promise.
            UnknownTurnError: No turn has one of the ids.
        """
        from titans_core.confidence.fitting import refit_calibration  # loads scikit-learn

        check_promise(promise)
        known = self._strategy.calibration if isinstance(self._strategy, Calibrated) else Calibration.shipped()
        cases = self.calibration_cases(pairs)
        made = refit_calibration(known, cases, reader=self.reader, ranking=_fingerprint(self._verifier))
        self._strategy = Calibrated(made, promise=promise)
        return made

    # ── files and lifetime ──

    def export(self, path: str | Path, *, progress: Progress = False) -> int:
        """Write all turns to a file of JSON lines, and their readings to a second file, for a fast import.

        The second file is `path` with `.readings.safetensors` after it. Both files replace older ones once both are on
        disk, not before. Without the second file, or with another reader, an import reads the turns again.

        Args:
            path: Path of the file of turns.
            progress: True for a progress bar, or a function that is called with (done, total).

        Returns:
            The number of turns.

        Raises:
            UnwritableError: A file cannot be written; the old files are still there.
        """
        with self._learned.in_use() as learned, learned.log.reading():
            log, total = learned.log, learned.log.head().turns
            with progress_bar(progress, unit="turn", description="exporting") as advance:

                def said() -> Iterator[tuple[Turn, Sequence[PassageRecord]]]:
                    for done, record in enumerate(log.records(after=0, keys=True), 1):
                        yield log.turn_at(record.position), record.passages
                        advance(done, total)

                write_export(path, said(), turns=total, reader=self.reader, dim=self._reader.dim)
        return total

    def suspend(self) -> None:
        """Release the weights and the connection until the memory is used again; not for ":memory:".

        Use it in processes with more memories than fit into the machine's memory: each takes one to two megabytes, and
        some kilobytes for each turn. The next use takes as long as opening.
        """
        self._learned.suspend()

    def close(self) -> None:
        """Save the weights and close the file; a second call does nothing."""
        self._learned.close()

    astats = async_twin(stats)
    amemorize = async_twin(memorize)
    amemorize_many = async_twin(memorize_many)
    aimport_ = async_twin(import_)
    arecall = async_twin(recall)
    aprofile = async_twin(profile)
    aget = async_twin(get)
    aturns = async_twin(turns)
    aforget = async_twin(forget)
    aforget_tenant = async_twin(forget_tenant)
    aupdate = async_twin(update)
    aconsolidate = async_twin(consolidate)
    acalibration_cases = async_twin(calibration_cases)
    acalibrate = async_twin(calibrate)
    aexport = async_twin(export)
    asuspend = async_twin(suspend)
    aclose = async_twin(close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def _make_strategy(self, strategy: Strategy | str) -> Strategy:
        return make_strategy(strategy, reader=self.reader, ranking=_fingerprint(self._verifier))

    def _fitted(self, found: Recollection, max_tokens: int, template: str) -> Recollection:
        return fit_to_budget(found, max_tokens, self._reader.count_tokens, template)

    def _recollect(
        self,
        query: str,
        strategy: Strategy,
        *,
        k: int,
        filters: Filters,
        now: datetime,
        hidden: Collection[int] = (),
        context: Context = 0,
    ) -> Recollection:
        searched = asking_part(query, count=self._reader.count_tokens, limit=MAX_QUERY_TOKENS)
        [reading] = self._reader.read([searched])
        # One view of the log: turns that another process forgets meanwhile are still whole in it.
        with self.knowledge() as known:
            question = Question.of(searched, reading, now=now, first=known.index.first_year(now))
            return recollect(
                query,
                question,
                known,
                strategy=strategy,
                verifier=self._verifier,
                k=k,
                filters=filters,
                hidden=hidden,
                context=context,
            )

    def _memorize_batches(
        self,
        batches: Iterable[Batch],
        *,
        total: int,
        max_per_source: int | None,
        workers: int = 0,
        progress: Progress = False,
    ) -> Iterator[Memorized]:
        """Store and learn batches of valid turns, each batch as a whole or not at all."""
        read = read_batches(self._reader, map(self._without_stored, batches), workers=workers)
        done = 0
        with progress_bar(progress, unit="turn", description="memorizing") as advance, closing(read):
            for batch in read:
                with self._learned.in_use() as learned:
                    receipts = append_turns(
                        learned.log, learned.learner, batch.turns, batch.passages, max_per_source=max_per_source
                    )
                    # The turns are stored; weights that are not saved can be learned again.
                    with suppress(StorageError):
                        learned.learner.save_snapshot(at_least=SNAPSHOT_EVERY)
                done += len(receipts)
                advance(done, total)
                yield from receipts

    def _without_stored(self, batch: Batch) -> Batch:
        """The batch without the turns that are stored already: reading takes longest."""
        with self._learned.in_use() as learned:
            stored = {turn.id for turn in learned.log.select(Filters(ids=[turn.id or "" for turn in batch.turns]))}
        return batch._replace(unread=[turn for turn in batch.unread if turn.id not in stored])


def _fingerprint(verifier: Verifier | None) -> str:
    return ranking_fingerprint(None if verifier is None else verifier.fingerprint)


def _memory_spec(dim: int, retention: float) -> MemorySpec:
    """The neural memory of every tenant: the preset `least_squares` with the surprise gate and the given retention."""
    if not 0 < retention <= 1:
        raise InvalidSpecError(f"`retention` lies in (0, 1]: 1 never fades, 0.999 fades slowly. Got {retention}.")
    return MemorySpec(dim, retention=Keep() if retention == 1 else Decay(1 - retention), gate=SURPRISE_GATE)


def _check_limits(max_per_source: int | None, max_age: timedelta | None) -> None:
    if max_per_source is not None and max_per_source < 1:
        raise InvalidSpecError(f"`max_per_source` is at least 1, or None for no limit. Got {max_per_source}.")
    if max_age is not None and max_age <= timedelta(0):
        raise InvalidSpecError(f"`max_age` is above 0, or None to keep all turns. Got {max_age}.")
