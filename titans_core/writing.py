"""The path of turns into the log and the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from titans_core.episodes import PassageRecord, decode_keys, encode_keys
from titans_core.errors import DuplicateTurnError
from titans_core.reading import split_passages
from titans_core.types import Memorized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from titans_core.cache import Cache
    from titans_core.episodes import EpisodeLog
    from titans_core.reading import Passage, Reader
    from titans_core.types import Reading, Turn


def read_passages(reader: Reader, turns: Sequence[Turn]) -> list[list[PassageRecord]]:
    """Split turns into passages and read them, all in one go; each passage is read after its speaker's name."""
    spans = [split_passages(turn.text) for turn in turns]
    flat = [(turn, span) for turn, parts in zip(turns, spans, strict=True) for span in parts]
    readings = iter(
        reader.read(
            [span.of(turn.text) for turn, span in flat],
            [f"{turn.speaker}: " if turn.speaker else "" for turn, _ in flat],
        )
    )
    return [[_record(span, next(readings)) for span in parts] for parts in spans]


def append_turns(
    log: EpisodeLog, cache: Cache, turns: Sequence[Turn], passages: Sequence[Sequence[PassageRecord]]
) -> list[Memorized]:
    """Append turns to the log and learn them: all, or none if anything fails."""
    receipts = []
    known = cache.position
    try:
        with log.transaction():
            # Under the lock, so that the surprise is the one that a replay of the log would give.
            cache.catch_up()
            known = cache.position
            for turn, parts in zip(turns, passages, strict=True):
                receipts.append(_repeated(log, turn) or _append(log, cache, turn, parts))
    except BaseException:
        if cache.position != known:  # it must never know more than the log
            cache.discard()
        raise
    return receipts


def _append(log: EpisodeLog, cache: Cache, turn: Turn, passages: Sequence[PassageRecord]) -> Memorized:
    """Append one new turn and learn it."""
    earlier = log.find_duplicate(turn)
    record = log.append(turn, passages)
    lesson = cache.learn(record)
    if earlier is None and lesson.duplicate >= 0:
        earlier = log.turn_at(int(cache.index.turns().positions[lesson.duplicate])).id
    return Memorized(turn.id or "", lesson.surprise, lesson.moved, duplicate_of=earlier)


def _repeated(log: EpisodeLog, turn: Turn) -> Memorized | None:
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
