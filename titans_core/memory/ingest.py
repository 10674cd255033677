"""Writes turns into the log and the weights."""

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
"""The most characters of a speaker's name that are read before a passage, so that the passage still fits."""


def read_passages(reader: Reader, turns: Sequence[Turn]) -> list[list[PassageRecord]]:
    """Split turns into passages, and read all passages in one call. The reader sees the speaker's name before each.

    Args:
        reader: The reader.
        turns: Valid turns.

    Returns:
        For each turn its passages, in the order of the text; they have no numbers yet.
    """
    spans = [split_passages(turn.text) for turn in turns]
    flat = [(turn, span) for turn, parts in zip(turns, spans, strict=True) for span in parts]
    # The reader gets composed accents (NFC), however they were encoded. The text is stored as it was said.
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
    """Append turns to the log and learn them: all of them, or none if anything fails.

    Args:
        log: The tenant's log.
        learner: The learner that follows the log.
        turns: Valid turns.
        passages: The passages of each turn, by the turn's id. Turns that are stored already need none.
        max_per_source: The most turns that one source may write within an hour; None for no limit.

    Raises:
        DuplicateTurnError: An id is taken by another text.
        SourceLimitError: A source has written more than it may.
        StorageBusyError: Another process has just forgotten one of the turns.
        StorageError: The log could not be written.
    """
    learner.catch_up()  # before the transaction, so that other writers wait less
    known = learner.position
    try:
        with log.transaction(meanwhile=learner.catch_up):
            # Again inside the transaction, so that the surprise equals that of a replay of the log.
            learner.catch_up()
            known = learner.position
            return [_repeated(log, turn) or _append(log, learner, turn, passages, max_per_source) for turn in turns]
    except BaseException:
        if learner.position != known:  # the learner must never hold more than the log
            learner.discard()
        raise


def _append(
    log: TurnLog,
    learner: Learner,
    turn: Turn,
    passages: Mapping[str, Sequence[PassageRecord]],
    max_per_source: int | None,
) -> Memorized:
    """Append one new turn, and learn it."""
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
            f"The source {source!r} has written {limit} turns within an hour, its limit. Look at them with "
            "`turns(source=…)`, delete them with `forget(source=…)`, or open the memory with a higher `max_per_source`."
        )


def _repeated(log: TurnLog, turn: Turn) -> Memorized | None:
    """The receipt of a turn that is stored already under its id; None if it is not.

    Raises:
        DuplicateTurnError: The id is taken by another text.
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
    # Computed from the packed keys, as a replay does: the memory learns what is stored.
    column = decode_keys(packed, reading.keys.shape[1]).sum(axis=0)
    return PassageRecord(
        number=0,
        start=span.start,
        end=span.end,
        column=column.astype(np.float16),
        pooled=reading.pooled.astype(np.float16),
        keys=packed,
    )
