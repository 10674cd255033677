"""Pairs of a question and a passage whose truth is known: what verifiers are trained on, and tested on."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common.candidates import find_all
from benchmarks.common.conversations import EVERYDAY
from benchmarks.common.memories import memorize_file
from titans_core.readers import split_passages
from titans_core.retrieval import Weights, content_stems, pairs_of, rank_candidates
from titans_core.verification import Pair

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.progress import Progress

    from benchmarks.common.candidates import Found

SCENES = Path(__file__).parents[1] / "data" / "scenes"
"""Short exchanges with a judged turn, and questions that it answers and does not answer; ours."""

TESTED = ("p5", "hostile_test")
"""Files of scenes that nothing is trained on or fitted to."""

CROSSED = 12
"""The number of questions of other scenes that each turn is asked that claims to answer everything."""

NOT_EVIDENCE = 5
"""The number of candidates of an everyday question that become pairs although they do not answer."""


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """A pair, and whether its passage answers.

    Attributes:
        pair: The pair.
        right: Whether the passage answers the question.
        kind: "yes", or why the passage does not answer, such as "person".
        group: What the pair comes from: a scene, or a question of a conversation. Its pairs are compared.
        source: The name of the file.
    """

    pair: Pair
    right: bool
    kind: str
    group: str
    source: str


def scene_pairs(path: Path) -> Iterator[JudgedPair]:
    """Make the pairs of a file of scenes: for every question, the judged turn's passage with most of its words."""
    for number, scene in enumerate(json.loads(path.read_text(encoding="utf-8"))):
        turn = scene["turns"][scene["target"]]
        before = scene["turns"][scene["target"] - 1] if scene["target"] else None
        passages = [passage.of(turn["text"]) for passage in split_passages(turn["text"])]
        asked = [(question, True, "yes") for question in scene["yes"]]
        asked += [(question, False, kind) for question, kind in scene["no"]]
        for question, right, kind in asked:
            words = content_stems(question)
            place = max(range(len(passages)), key=lambda each: len(words & content_stems(passages[each])))
            pair = Pair(
                question,
                passages[place],
                turn["speaker"],
                passages[place - 1] if place else before["text"] if before else "",
                turn["speaker"] if place else before["speaker"] if before else None,
            )
            yield JudgedPair(pair, right, kind, f"{path.stem}/{number}", path.stem)


def crossed_pairs(pairs: Sequence[JudgedPair]) -> Iterator[JudgedPair]:
    """Make more pairs of the turns that only claim to answer: with questions of other scenes.

    Args:
        pairs: The pairs of scenes.
    """
    rng = random.Random(0)  # noqa: S311 - repeatable, not secret
    kinds: dict[str, set[str]] = defaultdict(set)
    for each in pairs:
        kinds[each.group].add(each.kind)
    claims = {each.group: each.pair for each in pairs if kinds[each.group] == {"hostile"}}
    questions = sorted({each.pair.question for each in pairs if each.right})
    for group, pair in claims.items():
        for question in rng.sample(questions, CROSSED):
            yield JudgedPair(replace(pair, question=question), False, "hostile", f"{group}, crossed", "crossed")


def everyday_pairs(cache: Path | None, progress: Progress) -> list[JudgedPair]:
    """Make the pairs of the everyday conversations; for the arguments see `memorize_file`."""
    pairs: list[JudgedPair] = []
    for path in EVERYDAY:
        for _, conversation, _, bank in memorize_file(path, None, cache, progress):
            with bank.tenant(conversation.id) as memory:
                for number, found in enumerate(find_all(memory, conversation, unanswerable=True)):
                    pairs += candidate_pairs(found, f"{conversation.id}/{number}", path.stem)
    return pairs


def candidate_pairs(found: Found, group: str, source: str) -> Iterator[JudgedPair]:
    """Make pairs of a question's candidates: all that answer, and the best of those that do not.

    What is no longer true, or was written to mislead, comes first among these, because nothing else looks as right.
    """
    asked, candidates, known = found.asked, found.candidates, found.known
    order = rank_candidates(candidates, Weights.fitted(), len(known.index.passages().turn)).order.tolist()
    answers = [place for place in order if found.ids[place] in asked.evidence]
    others = [place for place in order if found.ids[place] not in asked.evidence]
    if asked.category == "previous":
        # A turn whose value no longer holds may be what is asked for.
        others = [place for place in others if found.ids[place] not in asked.stale]
    misleading = asked.stale | asked.near
    others.sort(key=lambda place: found.ids[place] not in misleading)
    chosen = [*answers, *others[:NOT_EVIDENCE]]
    for place, pair in zip(chosen, pairs_of(chosen, found.query, candidates, known), strict=True):
        right = found.ids[place] in asked.evidence
        kind = "yes" if right else "stale" if found.ids[place] in asked.stale else "candidate"
        yield JudgedPair(pair, right, kind, group, source)
