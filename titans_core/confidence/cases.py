"""Questions with known answers, asked of a memory: the cases that a calibration is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from titans_core.confidence import Case, Verdict
from titans_core.types import Confidence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from titans_core.confidence import Evidence, Strategy
    from titans_core.types import Recollection

TOP_RECALLS = 3
"""Recalls that `Recollection.probability_top3` is about: what goes into a prompt."""

HIDDEN_CASE_WEIGHT = 0.3
"""What a question whose answer was hidden counts in a fit, against one that somebody asked."""


def collect_cases(
    recollect: Callable[[str, Strategy, Collection[str]], Recollection],
    pairs: Iterable[tuple[str, Collection[str]]],
    group: str,
) -> Iterator[Case]:
    """The cases of a memory.

    Each question with an answer makes two: as it is, and with the answering turns hidden, as if they had not been
    said. The latter are the hard part of knowing what one does not know: everything else about the subject is there.
    A question for which nothing at all is found makes no case: it is `none` whatever the calibration.

    Args:
        recollect: recalls for a query, under a strategy, without the turns of these ids.
        pairs: queries, and the ids of the turns that answer them; none where nothing stored does.
        group: of all these cases.
    """
    for query, answers in pairs:
        yield from _case(recollect, query, answers, (), group)
        if answers:
            yield from _case(recollect, query, (), answers, group)


def _case(
    recollect: Callable[[str, Strategy, Collection[str]], Recollection],
    query: str,
    answers: Collection[str],
    hidden: Collection[str],
    group: str,
) -> Iterator[Case]:
    recorder = _Recorder()
    found = recollect(query, recorder, hidden)
    right = [recall.id in answers for recall in found][:TOP_RECALLS]
    if recorder.features:
        yield Case(
            features=recorder.features,
            first=right[:1] == [True],
            top3=any(right),
            stored=bool(answers),
            group=group,
            weight=HIDDEN_CASE_WEIGHT if hidden else 1.0,
            asked=not hidden,
        )


@dataclass(slots=True)
class _Recorder:
    """A strategy that only looks."""

    features: Mapping[str, float] = field(default_factory=dict)

    def judge(self, evidence: Evidence) -> Verdict:
        self.features = evidence.features
        return Verdict(Confidence.LOW)
