"""Values in English: whether a query asks for a number or a name, whether a text holds one, and the content words."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+")

_WANTS_NUMBER = re.compile(
    r"\b(how (?:much|many|old|long|far|tall|big|often|high|late|early)"
    r"|what (?:time|size|number|price|age|code|date|day|year|percentage|dose|port|version|rate|amount|cost)"
    r"|which (?:number|size|port|version|day|date|year|room|ward|platform|gate|floor)|when)\b",
    re.IGNORECASE,
)
_HOLDS_NUMBER = re.compile(
    r"\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen"
    r"|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|half|quarter"
    r"|dozen|first|second|third|monday|tuesday|wednesday|thursday|friday|saturday|sunday|january|february|march|april"
    r"|june|july|august|september|october|november|december)\b",
    re.IGNORECASE,
)
_WANTS_NAME = re.compile(r"\b(who|whose|whom|names?|called|which person|where|city|town|street)\b", re.IGNORECASE)
# A capital inside a sentence; its first word always has one.
_NAME = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][a-z]+")

_WANTS_OWN_NAME = re.compile(r"\b(?:my name|who (?:am i|i am)|(?:am i|i am) called|do you call me)\b", re.IGNORECASE)
_INTRODUCES = re.compile(r"\b(?:(?:[Ii]['’]m|[Ii] am|[Tt]his is|[Cc]all me|[Mm]y name(?:['’]s| is))\s+)[A-Z]\w+")

_FUNCTION_WORDS = frozenset(
    word
    for line in (
        "a an the i you he she it we they me him her us them my your his its our their mine is are was were be been am",
        "do does did has have had will would can could shall should may might must to of in on at by for with from as",
        "and or but if so not no yes that this these those there here what who which when where why how s t re ve ll d",
        "m just also then than too very about into over after before up down out off again now new",
    )
    for word in line.split()
)


def wants_number(query: str) -> bool:
    """Whether a query asks for a number or a day: "How much…", "Which room…", "When…"."""
    return _WANTS_NUMBER.search(query) is not None


def holds_number(text: str) -> bool:
    """Whether a text holds a number, as digits or as a word, or a day."""
    return _HOLDS_NUMBER.search(text) is not None


def wants_name(query: str) -> bool:
    """Whether a query asks for a person or a place: "Who…", "Where…", "What is … called?"."""
    return _WANTS_NAME.search(query) is not None


def wants_own_name(query: str) -> bool:
    """Whether a query asks for the name of who asks: "What's my name?"."""
    return _WANTS_OWN_NAME.search(query) is not None


def introduces(text: str) -> bool:
    """Whether a speaker says the own name: "Hi, I'm Ida."."""
    return _INTRODUCES.search(text) is not None


def names_in(text: str) -> set[str]:
    """The names in a text, in small letters: its capitalised words that do not begin a sentence."""
    return {name[0].lower() for name in _NAME.finditer(text)}


def content_words(text: str) -> set[str]:
    """The words of a text in small letters, without articles, pronouns, auxiliaries and the like."""
    return {word.lower() for word in _WORD.findall(text)} - _FUNCTION_WORDS
