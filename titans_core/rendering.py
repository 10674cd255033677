"""Renders stored text for prompts: it cannot leave its place there, nor look like text that only a program writes.

Rendering never changes what is stored. All escaping of the package is in this module; it imports no torch.
"""

from __future__ import annotations

import re
from string import Formatter
from typing import TYPE_CHECKING
from unicodedata import normalize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["TAG", "escape_special_tokens", "one_line", "render_recalls", "special_tokens", "strip_invisible"]

TAG = "memory"
"""The name of the block in which recalls stand."""

# Controls other than tab and line breaks, and the characters that Unicode calls ignorable: bidirectional controls,
# tags, fillers, variation selectors. They are removed, so that a person who looks at the prompt sees the same
# characters in the same order as the model. Escape codes in their place would be harder to read.
_INVISIBLE = re.compile(
    "[\0-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)

# Joiners are part of the spelling of Arabic and Indic scripts and of emoji; elsewhere they split a word invisibly.
_JOINER = re.compile("(?<![\u0600-\u18af\u2600-\u27bf\U0001f300-\U0001faff])[\u200c\u200d]")

# The beginnings of what stored text must not spell. The group in each lookahead is the part that makes it special. "<",
# "/" and "|" are matched with their compatible forms (NFKC), which some models use in special tokens.
_SPECIAL = re.compile(
    r"""
      (?P<line>\A|\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]) (?=(.?))  # where str.splitlines splits
    | [<\ufe64\uff1c] (?=([\s/\uff0f]*+\w{6} | [/\uff0f|\uff5c] | [^\W\d]))  # </memory>, <|im_end|>, <s>
    | \[ (?=(\| | /?[A-Z_]{2,}+\]))  # [INST], [/INST], [|user|]
    | \{ (?=([\w.]++[}!:\[]))  # a field, if a later step uses the prompt as a template
    """,
    re.VERBOSE | re.DOTALL,
)


# Brackets could forge the number of a line or a special token ("[2]", "<|im_end|>", "[INST]"), in ASCII and full width.
_LOOKALIKES = str.maketrans("<>[]\uff1c\uff1e\uff3b\uff3d", "\u2039\u203a()\u2039\u203a()")


def render_recalls(template: str, recalls: Iterable[Mapping[str, str]]) -> str:
    """Fill texts into a template, once for each recall; each recall begins a new line.

    The texts cannot, alone or together with the text around them,

    * spell the block's own tag, in any case, with white space inside, or in full width;
    * begin a line, where plain-text prompts have their roles ("Human:"): such lines are indented;
    * spell another tag, a special token of a chat template or a field: a space follows the opening bracket;
    * hold characters that are invisible or that reorder others.

    The template's own words stay as they are.

    Args:
        template: The template of one recall.
        recalls: For each recall the values of the template's fields, by name.

    Raises:
        KeyError: The template has another field.
    """
    text, stored = _fill(template, recalls)
    pieces, done = [], 0
    for special in _SPECIAL.finditer(text):
        if stored.find(1, special.start(), special.end(special.lastindex or 0)) >= 0:
            pieces += [text[done : special.start()], _escape(special)]
            done = special.end()
    return "".join([*pieces, text[done:]])


def strip_invisible(text: str) -> str:
    """Remove invisible characters: the text cannot control a terminal, and none of it is reordered.

    Args:
        text: Any text.
    """
    return _JOINER.sub("", _INVISIBLE.sub("", text))


def one_line(text: str, *, limit: int) -> str:
    """A text as one line of a prompt: it cannot leave its line, nor look like the prompt's own marks.

    Line breaks and unprintable characters become spaces; brackets become others that look alike and that mean nothing
    to a tokenizer.

    Args:
        text: Any text.
        limit: The most characters that are kept; an ellipsis stands for the rest.
    """
    printable = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(printable.split()).translate(_LOOKALIKES)
    return line if len(line) <= limit else line[:limit] + "…"


def special_tokens(tokens: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds a tokenizer's special tokens where a text spells them.

    Args:
        tokens: The special tokens as texts; those of one character are left out, since every text may hold them.
    """
    spelled = sorted({token for token in tokens if len(token) > 1}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, spelled)) or r"(?!)")


def escape_special_tokens(text: str, pattern: re.Pattern[str]) -> str:
    """A text that spells no special token: a space follows the first character of each.

    Args:
        text: Any text.
        pattern: The pattern of `special_tokens`.
    """
    return pattern.sub(lambda token: f"{token[0][0]} {token[0][1:]}", text)


def _fill(template: str, recalls: Iterable[Mapping[str, str]]) -> tuple[str, bytearray]:
    """The filled text, and for each of its characters 1 if it was stored or 0 if it is the template's."""
    parts = [*Formatter().parse(template)]
    pieces, stored = [], bytearray()
    for number, fields in enumerate(recalls):
        visible = {name: strip_invisible(value) for name, value in fields.items()}
        for literal, name, spec, conversion in [("\n", None, None, None), *parts] if number else parts:
            convert, format_ = (f"!{conversion}" if conversion else ""), (f":{spec}" if spec else "")
            value = "" if name is None else f"{{{name}{convert}{format_}}}".format_map(visible)
            pieces += [literal, value]
            stored += bytes(len(literal)) + b"\1" * len(value)
    return "".join(pieces), stored


def _escape(special: re.Match[str]) -> str:
    reason = special[special.lastindex or 0]
    if special["line"] is not None:
        return "\n  " if special["line"] else "  "
    if normalize("NFKC", reason[-len(TAG) :]).lower() == TAG:
        return "\u2039"  # looks alike; a lenient parser would skip a space
    # After white space, or before a number, "<" is a "less than".
    compares = special[0] not in "[{" and (reason[0].isspace() or reason[0].isdecimal())
    return special[0] if compares else f"{special[0]} "
