"""Synthetic turns and questions about them: any number, varied, and the same on every machine."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# The choices for each kind of word, separated by "|".
_CHOICES = {
    "onset": "b|br|c|d|dr|f|g|gr|h|j|k|l|m|n|p|r|s|st|t|tr|v|w|z",
    "vowel": "a|e|i|o|u|ai|ea|ou",
    "ending": "l|n|r|s|t|ck|ly|na|ro|ve",
    "relation": "my sister|my neighbour|my old boss|our landlord|my cousin|the new trainer|my flatmate|my uncle",
    "verb": "bought|sold|repaired|painted|borrowed|lost|found|returned|ordered|cleaned|photographed|"
    "packed|described|recommended|exchanged|donated|measured|designed|carried|hid",
    "quality": "red|wooden|heavy|second-hand|broken|tiny|expensive|striped|foldable|antique|waterproof|"
    "silver|noisy|handmade|orange|rusty|borrowed|electric|woollen|spare",
    "thing": "bicycle|guitar|bookshelf|camera|raincoat|kettle|tent|ladder|violin|suitcase|lamp|telescope|"
    "carpet|canoe|printer|toaster|sewing machine|chessboard|umbrella|drum kit|microscope|hammock|rucksack|"
    "typewriter|mirror|wheelbarrow|coffee grinder|piano stool|map|clock",
    "place": "at the harbour market|in the library|behind the station|at a garage sale|"
    "near the lighthouse|in the school kitchen|at the airport|in a village shop|by the river|"
    "at the repair café|in the museum|on the ferry|at the climbing hall|in the community garden|"
    "next to the bakery",
    "day": "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday",
    "reason": "because the old one had stopped working|since the children needed it for a project|"
    "before the long trip to the mountains|after weeks of looking for the right one|"
    "so that the choir could use it on tour|because nobody else in the family wanted it|"
    "although it was really meant as a present|while the whole street was celebrating|"
    "to save some money for the summer|without telling anybody at home about it",
    "aside": "and honestly|and I still remember it well|which surprised everybody|as far as I know|"
    "and it rained all day|and we laughed a lot|or so I was told|and that was that",
}
WORDS = {kind: choices.split("|") for kind, choices in _CHOICES.items()}


@dataclass(frozen=True, slots=True)
class Fact:
    """A synthetic statement, and a question about it.

    Attributes:
        text: The statement.
        question: A question that the statement answers.
    """

    text: str
    question: str


def make_facts(count: int, *, seed: int, words: range = range(15, 26)) -> list[Fact]:
    """Make different facts. Equal arguments give equal facts.

    Args:
        count: The number of facts.
        seed: The seed of the random choices.
        words: The allowed numbers of words in a fact.

    Returns:
        The facts.
    """
    facts: dict[str, Fact] = {}
    source = _generate_facts(random.Random(seed))  # noqa: S311 - repeatable, not secret
    while len(facts) < count:
        fact = next(source)
        if len(fact.text.split()) in words:
            facts.setdefault(fact.text, fact)
    return list(facts.values())


def _generate_facts(rng: random.Random) -> Iterator[Fact]:
    def choose(kind: str) -> str:
        return rng.choice(WORDS[kind])

    def maybe(text: str) -> str:
        return text if rng.random() < 0.5 else ""

    while True:
        # Invented names and numbers give the long tail of rare words that a real conversation has.
        syllables = range(rng.randrange(1, 3))
        name = ("".join(choose("onset") + choose("vowel") for _ in syllables) + choose("ending")).capitalize()
        verb, thing, place = choose("verb"), f"{choose('quality')} {choose('thing')}", choose("place")
        relation, price = maybe(f", {choose('relation')},"), maybe(f" for {rng.randrange(5, 900)} euros")
        when = maybe(f" last {choose('day')}") or f" at {rng.randrange(24)}:{rng.randrange(60):02}"
        text = f"{name}{relation} {verb} the {thing}{price} {place}{when} {choose('reason')}"
        text += maybe(f", {choose('aside')}") + "."
        yield Fact(text, maybe(f"Who {verb} the {thing} {place}?") or f"What did {name} do with the {thing}?")
