"""Cases for a calibration: questions with known answers, asked of a memory."""

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
"""The number of recalls that `Recollection.probability_top3` is about: those that usually go into a prompt."""

HIDDEN_CASE_WEIGHT = 0.3
"""The weight in a fit of a question whose answer was hidden; a question that somebody asked has weight 1."""


def collect_cases(
    recollect: Callable[[str, Strategy, Collection[str]], Recollection],
    pairs: Iterable[tuple[str, Collection[str]]],
    group: str,
) -> Iterator[Case]:
    """Collect the cases of a memory.

    Each question with an answer makes two cases: as it is, and with the answering turns hidden, as if they had not
    been said. The second case is the hard one, because everything else about the subject is stored. A question for
    which nothing is found makes no case: its label is `none` under every calibration.

    Args:
        recollect: Recalls for a query, under a strategy, without the turns that have these ids.
        pairs: Queries, each with the ids of the turns that answer it; no ids if no stored turn does.
        group: The group of all cases.

    Yields:
        The cases.
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
    """A strategy that records the features."""

    features: Mapping[str, float] = field(default_factory=dict)

    def judge(self, evidence: Evidence) -> Verdict:
        self.features = evidence.features
        return Verdict(Confidence.LOW)
