"""Measures labels on scenes: what is said of a turn that answers, and of one that only looks as if it did.

    python -m benchmarks.scenes [FILES] [--noise 12] [--limit N] [--verify] [--json figures.json]

`benchmarks/data/scenes/README.md` describes the scenes. Each is memorized into a fresh memory, between turns of other
scenes, and then its questions are asked with the default settings.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks.common.environment import write_report
from benchmarks.common.pairs import SCENES, TESTED
from titans_core import Confidence, TitansMemory, Turn
from titans_core.readers import load_reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Answer:
    """The memory's answer to one question of a scene.

    Attributes:
        kind: "yes" if the judged turn answers; otherwise why it does not.
        first: Whether the judged turn is the first recall.
        among: Whether it is one of the first three.
        label: The confidence label.
        probability: The probability that the first recall answers, in [0, 1].
    """

    kind: str
    first: bool
    among: bool
    label: Confidence
    probability: float

    @property
    def trusted(self) -> bool:
        """Whether the judged turn comes first under `high`."""
        return self.first and self.label is Confidence.HIGH


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    files = [SCENES / f"{name}.json" for name in TESTED]
    parser.add_argument("files", nargs="*", type=Path, default=files, help="files of scenes; default: those for tests")
    parser.add_argument("--noise", type=int, default=12, help="turns of other scenes in each memory")
    parser.add_argument("--limit", type=int, help="only the first N scenes")
    parser.add_argument("--verify", action="store_true", help="let the verifier read the best recalls")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    options = parser.parse_args(arguments)
    scenes = [scene for path in options.files for scene in json.loads(path.read_text(encoding="utf-8"))]
    console, rng = Console(), random.Random(0)  # noqa: S311 - repeatable, not secret
    with Progress(console=console) as progress:
        answers = [
            answer
            for scene in progress.track(scenes[: options.limit], description="scenes")
            for answer in ask(scene, scenes, options.noise, rng, verify=options.verify)
        ]
    figures = measure(answers)
    show(figures, console)
    if options.json:
        write_report(options.json, {"benchmark": "scenes", "noise": options.noise, "verify": options.verify, **figures})


def ask(
    scene: dict[str, Any], scenes: Sequence[dict[str, Any]], noise: int, rng: random.Random, *, verify: bool
) -> Iterator[Answer]:
    """Memorize a scene between turns of other scenes, and ask its questions."""
    others = [other for other in scenes if other is not scene]
    beside = [other["turns"][0] for other in rng.sample(others, min(noise, len(others)))]
    half, target = len(beside) // 2, f"scene {scene['target']}"
    told = [
        *((turn, f"before {place}", f"before {place}") for place, turn in enumerate(beside[:half])),
        *((turn, f"scene {place}", "scene") for place, turn in enumerate(scene["turns"])),
        *((turn, f"after {place}", f"after {place}") for place, turn in enumerate(beside[half:])),
    ]
    turns = [
        Turn(turn["text"], id=name, session=session, speaker=turn["speaker"], at=START + timedelta(days=day))
        for day, (turn, name, session) in enumerate(told)
    ]
    with TitansMemory.open(":memory:", tenant="scene", reader=load_reader(), verify=verify) as memory:
        memory.memorize_many(turns)
        for question, kind in [*((question, "yes") for question in scene["yes"]), *scene["no"]]:
            found = memory.recall(question, k=3)
            ids = [recall.id for recall in found]
            yield Answer(kind, ids[:1] == [target], target in ids, found.confidence, found.probability or 0.0)


def measure(answers: Sequence[Answer]) -> dict[str, Any]:
    """Compute the figures.

    Returns:
        "yes": over the questions that the turn answers, the shares with it first, among three, with `high` and it
        first, and with `none`. "no": over the others, for each kind and for all, the number, the share with `high` and
        it first, and with `none`. "AUROC" of the probability: the turn first and answering, against all others.
    """
    kinds: dict[str, list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.kind != "yes":
            kinds[answer.kind].append(answer)
            kinds["all"].append(answer)
    yes = [answer for answer in answers if answer.kind == "yes"]
    right = [answer.kind == "yes" and answer.first for answer in answers]
    return {
        "yes": {
            "questions": len(yes),
            "first": share(answer.first for answer in yes),
            "among three": share(answer.among for answer in yes),
            "right high": share(answer.trusted for answer in yes),
            "none": share(answer.label is Confidence.NONE for answer in yes),
        },
        "no": {
            kind: {
                "questions": len(group),
                "false high": share(answer.trusted for answer in group),
                "none": share(answer.label is Confidence.NONE for answer in group),
            }
            for kind, group in sorted(kinds.items())
        },
        "AUROC": float(roc_auc_score(right, [answer.probability for answer in answers])) if any(right) else None,
    }


def share(values: Iterator[bool]) -> float | None:
    """Return the share of the values that is true; None without values."""
    found = list(values)
    return float(np.mean(found)) if found else None


def show(figures: dict[str, Any], console: Console) -> None:
    """Print the figures."""
    console.print("yes:", figures["yes"])
    console.print("AUROC:", figures["AUROC"])
    table = Table("kind of no")
    for heading in ("questions", "false high", "none"):
        table.add_column(heading, justify="right")
    for kind, row in figures["no"].items():
        table.add_row(kind, *(str(value) if isinstance(value, int) else f"{value:.3f}" for value in row.values()))
    console.print(table)


if __name__ == "__main__":
    main()
