"""Fits the model that tells which statement supersedes which, and measures it on held-out conversations.

    python -m benchmarks.fit.supersession [--cache FOLDER] [--write FILE]

It is fitted to the shipped everyday conversations alone, in which every question names the turns whose value no longer
holds. A pair of candidates is an example of supersession if the earlier one is such a turn and the later one is
evidence. Other pairs with one of these turns, or with evidence as the earlier one, are counterexamples.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.common.candidates import find_all
from benchmarks.common.conversations import EVERYDAY
from benchmarks.common.memories import make_parser, memorize_file
from titans_core.retrieval import Weights, rank_candidates
from titans_core.retrieval.supersession import MARKS, SIGNS, SupersessionModel, supersession_signs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from benchmarks.common.candidates import Found
    from benchmarks.common.conversations import Question

STRENGTH = 0.1
"""Inverse of the ridge on standardised signs (scikit-learn's C)."""

PARTS = 5
"""Parts that the conversations are split into; each part is held out once."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of one question's candidates.

    Attributes:
        conversation: The id of the conversation.
        signs: (n, `SIGNS`).
        right: bool (n,), whether the later one supersedes the earlier one.
    """

    conversation: str
    signs: NDArray[np.float64]
    right: NDArray[np.bool_]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = make_parser(__doc__.splitlines()[0], data=EVERYDAY)
    parser.add_argument("--write", type=Path, help="write the model to this file")
    options = parser.parse_args(arguments)
    console = Console()
    pairs: list[Pairs] = []
    with Progress(console=console) as progress:
        for path in options.data:
            for _, conversation, _, bank in memorize_file(path, options.limit, options.cache, progress):
                with bank.tenant(conversation.id) as memory:
                    pairs += [pairs_of(found, conversation.id) for found in find_all(memory, conversation)]
    model = fit(pairs)
    show(model, pairs, console)
    if options.write:
        options.write.write_text(json.dumps(asdict(model), indent=1) + "\n", encoding="utf-8")


def pairs_of(found: Found, conversation: str) -> Pairs:
    """Make the pairs of a question's candidates whose truth is known."""
    known = found.known
    ranking = rank_candidates(found.candidates, Weights.fitted(), len(known.index.passages().turn))
    places, signs = supersession_signs(found.query, found.candidates, ranking, known.index, known.state)
    ids = [found.ids[place] for place in ranking.order]
    right = [supersedes(ids[earlier], ids[later], found.asked) for earlier, later in places]
    kept = [row for row, each in enumerate(right) if each is not None]
    return Pairs(conversation, signs[kept], np.array([right[row] for row in kept], bool))


def supersedes(earlier: str, later: str, asked: Question) -> bool | None:
    """Return whether a turn supersedes an earlier one; None if the question does not tell."""
    if earlier in asked.stale:
        return None if later in asked.stale else later in asked.evidence
    if earlier not in asked.evidence or asked.category == "previous":
        return None
    # Of two turns that answer, the later one may repeat the earlier one; only in a list do both stand.
    return None if later in asked.evidence and asked.category != "list" else False


def fit(pairs: Sequence[Pairs]) -> SupersessionModel:
    """Fit a model."""
    signs = np.concatenate([each.signs for each in pairs])
    right = np.concatenate([each.right for each in pairs])
    mean, scale = signs.mean(axis=0), np.maximum(signs.std(axis=0), 1e-9)
    found = LogisticRegression(C=STRENGTH, max_iter=1000).fit((signs - mean) / scale, right)
    rounded = [tuple(np.round(values, 5).tolist()) for values in (mean, scale, found.coef_[0])]
    return SupersessionModel(rounded[0], rounded[1], rounded[2], bias=round(float(found.intercept_[0]), 5))


def held_out(pairs: Sequence[Pairs]) -> Iterator[tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Yield the log odds of each part's pairs by a model of the other parts, and their truth."""
    names = sorted({each.conversation for each in pairs})
    part = {name: place % PARTS for place, name in enumerate(names)}
    for left_out in range(PARTS):
        model = fit([each for each in pairs if part[each.conversation] != left_out])
        for each in pairs:
            if part[each.conversation] == left_out:
                yield model.log_odds(each.signs), each.right


def show(model: SupersessionModel, pairs: Sequence[Pairs], console: Console) -> None:
    """Print the weights and the figures on held-out conversations."""
    table = Table("sign", "weight", title="log odds for one standard deviation of each sign")
    for name, weight in zip(SIGNS, model.weights, strict=True):
        table.add_row(name, f"{weight:+.2f}")
    console.print(table)
    found = list(held_out(pairs))
    odds, right = (np.concatenate(values) for values in zip(*found, strict=True))
    console.print(
        f"{len(right)} pairs, {right.sum()} of supersession · held out: AUROC {roc_auc_score(right, odds):.3f}, "
        f"average precision {average_precision_score(right, odds):.3f}"
    )
    for least in (*range(-3, 2), MARKS):
        chosen = odds >= least
        console.print(f"log odds from {least:+}: {chosen.sum()} pairs, {right[chosen].mean():.2f} right")


if __name__ == "__main__":
    main()
