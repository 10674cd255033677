"""The path of turns into the log and the weights."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from unicodedata import normalize

import numpy as np

from titans_core.errors import DuplicateTurnError, SourceLimitError, StorageBusyError
from titans_core.readers import split_passages
from titans_core.storage import PassageRecord, decode_keys, encode_keys
from titans_core.types import Memorized

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from titans_core.memory.learner import Learner
    from titans_core.readers import Passage, Reader
    from titans_core.storage import TurnLog
    from titans_core.types import Reading, Turn


_HOUR = 3600.0

_PREFIX = 50
"""The most characters of a speaker that are read before a passage: a longer name would leave no room for it."""


def read_passages(reader: Reader, turns: Sequence[Turn]) -> list[list[PassageRecord]]:
    """Split turns into passages and read them, all in one go; each passage is read after its speaker's name."""
    spans = [split_passages(turn.text) for turn in turns]
    flat = [(turn, span) for turn, parts in zip(turns, spans, strict=True) for span in parts]
    # Read composed, however the accents are encoded; stored, and cut into passages, as it was said.
    texts = [normalize("NFC", span.of(turn.text)) for turn, span in flat]
    prefixes = [normalize("NFC", f"{turn.speaker[:_PREFIX]}: ") if turn.speaker else "" for turn, _ in flat]
    readings = iter(reader.read(texts, prefixes))
    return [[_record(span, next(readings)) for span in parts] for parts in spans]


def append_turns(
    log: TurnLog,
    learner: Learner,
    turns: Sequence[Turn],
    passages: Mapping[str, Sequence[PassageRecord]],
    *,
    max_per_source: int | None,
) -> list[Memorized]:
    """Append turns to the log and learn them: all, or none if anything fails.

    Args:
        log: the tenant's log.
        learner: What was learned of it.
        turns: checked turns.
        passages: what was read of them, by id; not needed for those that are stored already.
        max_per_source: the most turns that one source may write within an hour; None for any number.

    Raises:
        DuplicateTurnError: an id is taken by another text.
        SourceLimitError: a source writes too much.
        StorageError: the log could not be written.
    """
    learner.catch_up()  # before others have to wait for it
    known = learner.position
    try:
        with log.transaction(meanwhile=learner.catch_up):
            # Under the lock, so that the surprise is the one that a replay of the log would give.
            learner.catch_up()
            known = learner.position
            return [_repeated(log, turn) or _append(log, learner, turn, passages, max_per_source) for turn in turns]
    except BaseException:
        if learner.position != known:  # it must never know more than the log
            learner.discard()
        raise


def _append(
    log: TurnLog,
    learner: Learner,
    turn: Turn,
    passages: Mapping[str, Sequence[PassageRecord]],
    max_per_source: int | None,
) -> Memorized:
    """Append one new turn and learn it."""
    if (read := passages.get(turn.id or "")) is None:
        raise StorageBusyError(f"Another process has just forgotten the turn {turn.id!r}; memorize it again.")
    if turn.source is not None and max_per_source is not None:
        _check_source(log, turn.source, max_per_source)
    earlier = log.find_duplicate(turn)
    record = log.append(turn, read)
    outcome = learner.learn(record)
    if earlier is None and outcome.duplicate >= 0:
        earlier = log.turn_at(int(learner.index.turns().positions[outcome.duplicate])).id
    return Memorized(turn.id or "", outcome.surprise, outcome.moved, duplicate_of=earlier)


def _check_source(log: TurnLog, source: str, limit: int) -> None:
    if log.written_by(source, since=time.time() - _HOUR) >= limit:
        raise SourceLimitError(
            f"The source {source!r} has written {limit} turns within an hour, as many as it may. See what it writes "
            "(`turns(source=…)`, `forget(source=…)`), or open the memory with a higher `max_per_source`."
        )


def _repeated(log: TurnLog, turn: Turn) -> Memorized | None:
    """The receipt for a turn that was stored before under its id.

    Raises:
        DuplicateTurnError: the id is taken by another text.
    """
    stored = log.find(turn.id or "")
    if stored is None:
        return None
    if (stored.text, stored.speaker) != (turn.text, turn.speaker):
        raise DuplicateTurnError(
            f"The id {turn.id!r} belongs to another turn; use update() to change its text, or another id."
        )
    return Memorized(turn.id or "", surprise=0.0, learned=False, duplicate_of=turn.id)


def _record(span: Passage, reading: Reading) -> PassageRecord:
    packed = encode_keys(reading.keys)
    # From the packed keys, as a replay would: what is learned is what is stored.
    column = decode_keys(packed, reading.keys.shape[1]).sum(axis=0)
    return PassageRecord(
        number=0,
        start=span.start,
        end=span.end,
        column=column.astype(np.float16),
        pooled=reading.pooled.astype(np.float16),
        keys=packed,
    )
