"""Shortens a query that is longer than what the reader sees, such as a question behind a pasted e-mail, log or page."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Piece: TypeAlias = tuple[int, str]
"""A sentence, a line or a part of a long one: its first character in the query, and its text."""

MAX_QUERY_TOKENS = 200
"""The most tokens of a query that are searched for. Sentence encoders read 256 tokens or more."""

CERTAINLY_LONG = 20
"""A query with more characters than this for each token of the limit is not counted as a whole, which would take time.
English has about four characters a token."""

PIECE_CHARS = 400
"""The most characters of a piece, so that its tokens are counted fast. Few sentences are longer."""

LONG_WORD_CHARS = 64
"""A word with more characters may be cut: it is in a script without spaces, or it is no word (a link, encoded data)."""

_MARKS = ".!?؟।。！？"
# A line break; or the marks at the end of a sentence, with closing quotes and white space. Several marks are tried only
# at the first one, so that a line of marks takes linear time; this check stands second, because `re` finds a set fast.
_SENTENCE_END = re.compile(
    rf"[{_MARKS}\n](?<![{_MARKS}].)(?:(?<=\n)\s*+|[{_MARKS}]*+(?:[\"'”’)\]]*+\s++|(?<=[。！？])[」』”’）]*+))",
    re.DOTALL,
)
# As many whole words as a piece may have; or a part of a longer word.
_PART = re.compile(rf"\S(?:.{{0,{PIECE_CHARS - 2}}}\S)?(?!\S)|\S{{{PIECE_CHARS}}}", re.DOTALL)
_WORD = re.compile(r"\S+")

_QUESTION_MARKS = ("?", "？", "؟", "⁇", "⁈", "⁉", "‽", "፧", "﹖")
_AFTER_A_MARK = "\"'”’»」』）)]}>*_~`!！. "

# A question or a request by its first words, in lower case: `re` takes twice as long to ignore case.
_ASKS_FIRST = re.compile(
    r"""
    [\W_]{0,8}+  # a bullet, or the mark of a quotation
    (?:(?:hi|hello|hey|hiya|dear|good\ (?:morning|afternoon|evening))\b(?:\W{1,3}\w+){0,2}?\W{1,4})?
    (?:(?:ok|okay|so|and|but|also|now|well|thanks|thank\ you|sorry|btw|by\ the\ way|(?:quick\ |my\ )?question|q)\b
        \W{1,4}){0,2}
    (?:
        (?:what|how|who|whom|whose|which|why)(?:['’]?s|['’]re)?\b(?!\ an?\b)
        | (?:on|in|at|for|from|to|until|till|since|with|by|under|about|of)\s+
            (?:what|which|who|whom|whose|how|when|where)\b
        # Without a verb they also begin statements: "When I came home, …".
        | (?:when|where)(?:['’]?s\b|['’]re\b
            |\s+(?:is|are|was|were|am|do|does|did|can|could|will|would|should|must|have|has|had)\b)
        | (?:(?:is|are|was|were|am|do|does|did|can|could|will|would|should|shall|have|has|had)(?:n['’]?t)?
            |(?:ca|wo)n['’]?t)\s+
          (?:i|you|he|she|it|we|they|there|this|that|these|those|my|your|his|her|our|their|the|any|any(?:one|thing))\b
        # Requests.
        | please\b | kindly\b | any\ (?:idea|chance)\b | let\ me\ know\b
        | (?:tell|remind|show|give|help|send)\ me\b
        | i(?:['’]d|\ would)?\ (?:want|need|like)\ to\ know\b | i(?:['’]m|\ am|\ was)?\ wonder(?:ing)?\b
        | (?:find|look\ up|search|summari[sz]e|sum\ up|list|explain|describe|translate|compare|check|recall|repeat
            |name|answer|extract|analy[sz]e|review|suggest|recommend|rewrite)\s+[\w"'“\u2018]
    )
    """,
    re.VERBOSE,
)


def asking_part(query: str, *, count: Callable[[str], int], limit: int) -> str:
    """The part of a query to search for: what it asks, then its head and its tail, up to a number of tokens.

    A reader sees only the first tokens of a query, and a pasted text may stand before the question. Sentences and
    lines that ask come first. Among them those near the head or the tail come first, because people write their own
    words around a paste. The rest is filled from both ends. Takes time in proportion to the length of the query.

    Args:
        query: The query, of any length.
        count: Counts the tokens of a text. It is not called with much more than `limit` tokens.
        limit: The most tokens of the part, at least 1.

    Returns:
        The query itself if it has at most `limit` tokens. Otherwise whole sentences in the order of the query, joined
        by line breaks. A sentence that does not fit, or that takes more than half of the limit and does not ask, is cut
        between words; a word is cut only if it is very long or nothing else fits. Never empty for a query that is not
        empty: one character is kept even if it alone has more tokens than the limit.
    """
    if len(query) <= CERTAINLY_LONG * limit and count(query) <= limit:
        return query
    count = cache(count)
    kept: dict[int, str] = {}
    left, complete = limit, True
    for (start, text), asks in _most_important_first(_split(query), len(query)):
        if left < 1:
            complete = False
            break
        # What does not ask leaves room for the other end of the query.
        room = left if asks else min(left, max(limit // 2, 1))
        in_tail = 2 * start + len(text) > len(query)
        fitting = _cut(text, count, room, keep_end=in_tail, keep_something=not kept)
        complete = complete and fitting == text
        if not fitting:
            break
        kept[start] = fitting
        if fitting != text and room == left:
            break
        # Each piece costs something, so that a long text without tokens comes to an end.
        left -= max(count(fitting), 1) + count("\n")
    return query if complete else "\n".join(kept[start] for start in sorted(kept))


def _split(query: str) -> list[Piece]:
    """The sentences and lines of a query, and the parts of long ones; none is empty or has white space around it."""
    pieces: list[Piece] = []
    start = 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(query)), len(query)]:
        text = query[start:end].strip()
        if len(text) > PIECE_CHARS:
            pieces += [(part.start(), part[0]) for part in _PART.finditer(query, start, end)]
        elif text:
            pieces.append((start, text))
        start = end
    return pieces


def _most_important_first(pieces: list[Piece], length: int) -> Iterator[tuple[Piece, bool]]:
    """The pieces that ask, with True, then the others, with False; each time from both ends of the query.

    They are made one by one, because most of a long query is not needed.
    """
    asking: set[int] = set()
    for piece in _from_both_ends(pieces, length):
        if _asks(piece[1]):
            asking.add(piece[0])
            yield piece, True
    for piece in _from_both_ends(pieces, length):
        if piece[0] not in asking:
            yield piece, False


def _from_both_ends(pieces: list[Piece], length: int) -> Iterator[Piece]:
    """The pieces, ordered by their distance in characters to the nearer end of a query of this length."""
    first, last = 0, len(pieces) - 1
    while first <= last:
        start, text = pieces[last]
        if pieces[first][0] <= length - start - len(text):
            yield pieces[first]
            first += 1
        else:
            yield pieces[last]
            last -= 1


def _asks(text: str) -> bool:
    """Whether a sentence is a question or a request: by its mark in any language, by its first words in English."""
    if text.rstrip(_AFTER_A_MARK).endswith(_QUESTION_MARKS):
        return any(map(str.isalnum, text))  # marks alone ask nothing
    return _ASKS_FIRST.match(text.lower()) is not None


def _cut(text: str, count: Callable[[str], int], room: int, *, keep_end: bool, keep_something: bool) -> str:
    """As many words of a text as fit.

    Args:
        text: The text of a piece.
        count: Counts the tokens of a text.
        room: The most tokens, at least 1.
        keep_end: Whether to keep the last words; otherwise the first ones.
        keep_something: Whether to cut even a short word if nothing else fits, and to keep at least one character.

    Returns:
        A part of the text, which may be empty.
    """
    if count(text) <= room:
        return text

    def part(chars: int) -> str:
        return text[len(text) - chars :] if keep_end else text[:chars]

    words = list(_WORD.finditer(text))
    sizes = [len(text) - word.start() for word in reversed(words)] if keep_end else [word.end() for word in words]
    if fitting := bisect_right(sizes, room, key=lambda chars: count(part(chars))):
        return part(sizes[fitting - 1])
    if not keep_something and sizes[0] <= LONG_WORD_CHARS:
        return ""
    chars = bisect_right(range(1, sizes[0] + 1), room, key=lambda chars: count(part(chars)))
    return part(max(chars, 1) if keep_something else chars)
