"""Fits the two thresholds of the recitation's gate, on people and topics that `titans total-recall` does not use.

    python -m benchmarks.fit.gate

For memories of 4 to 1,024 facts, this program asks about facts that are in the memory, and about other facts. Each
threshold is chosen so that 2 of 100 questions of the first kind stay below it. The program prints the thresholds for
`titans_core/recitation/gate.py`, and the share of the questions of each kind that passes both thresholds.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from titans_core.readers import CausalReader, load_reader
from titans_core.recitation.address import AddressMemory
from titans_core.recitation.exam.facts import Topic, World, make_exam
from titans_core.recitation.recitation import surprisal_given

PLACES = ("Bergen", "Seville", "Krakow", "Osaka", "Quito", "Perth", "Malmo", "Tunis", "Galway", "Leeds")
FIRST_NAMES = (
    "Alma", "Boris", "Celia", "Dario", "Edith", "Frank", "Gina", "Henry", "Ines", "Jakob",
    "Klara", "Lukas", "Mona", "Nora", "Oscar", "Petra", "Ralf", "Sonja", "Theo", "Vera",
)  # fmt: skip
SURNAMES = (
    "Archer", "Baker", "Cohen", "Duarte", "Engel", "Ferrari", "Gruber", "Horvat", "Iversen", "Jansen",
    "Kovac", "Larsson", "Mendes", "Nowak", "Olsen", "Pereira", "Ramos", "Silva", "Torres", "Weber",
)  # fmt: skip
STRANGERS = (
    "Anastasia Romanova", "Ichiro Nakagawa", "Deirdre Fitzpatrick", "Balthazar Lindenthal", "Chiamaka Eze",
    "Guadalupe Montenegro", "Ragnhild Sigurdsson", "Venkatesh Subramaniam",
)  # fmt: skip
TOPICS = (
    Topic(
        "{person} drives a {value}.",
        ("Which car does {person} have?", "What does {person} drive?"),
        ("Volvo", "Fiat", "Toyota", "Honda", "Jeep", "Skoda", "Mazda", "Tesla", "Saab", "Ford"),
    ),
    Topic(
        "{person} spent the last summer in {value}.",
        ("Where did {person} go on holiday?", "In which town was {person} last summer?"),
        PLACES,
    ),
    Topic(
        "The subject that {person} studies is {value}.",
        ("What does {person} learn at university?", "Which subject does {person} study?"),
        ("law", "physics", "history", "botany", "medicine", "geology", "music", "logic", "Latin", "drama"),
    ),
    Topic(
        "For dinner {person} cooked {value}.",
        ("What did {person} make for the evening meal?", "What did {person} cook for dinner?"),
        ("lasagna", "curry", "risotto", "goulash", "tacos", "paella", "ramen", "pizza", "salmon", "stew"),
    ),
    Topic(
        "{person} collects {value}.",
        ("What is in {person}'s collection?", "Which things does {person} collect?"),
        ("stamps", "coins", "postcards", "shells", "clocks", "masks", "maps", "dolls", "keys", "bottles"),
    ),
    Topic(
        "The {person} family comes from {value}.",
        ("Where are the ancestors of {person} from?", "Which town does the family of {person} come from?"),
        PLACES,
    ),
)
WORLD = World(FIRST_NAMES, SURNAMES, STRANGERS, TOPICS)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--questions", type=int, default=96, help="number of questions of each kind, for each number of facts"
    )
    options = parser.parse_args()
    llm, encoder = CausalReader(), load_reader()

    def read(texts: list[str]) -> torch.Tensor:
        return torch.from_numpy(np.stack([reading.pooled for reading in encoder.read(texts)]))

    # Scores are pairs of activation and familiarity.
    for facts in (4, 16, 64, 256, 1024):
        known: list[tuple[float, float]] = []  # of the questions that a fact answers
        others: list[tuple[float, float]] = []  # of the questions that no fact answers
        seed = 0
        while len(known) < options.questions:
            exam = make_exam(facts, seed=seed, negatives=max(1, options.questions * min(facts, 96) // 96), world=WORLD)
            address = AddressMemory(encoder.dim)
            address.rewrite(read([fact.text for fact in exam.facts]))
            for questions, scores in (
                ([fact.question for fact in exam.facts], known),
                ([*exam.near, *exam.unknown], others),
            ):
                questions = questions[: options.questions]
                activations, slots = address.read(read(questions)).max(dim=-1)
                for question, activation, slot in zip(questions, activations.tolist(), slots.tolist(), strict=True):
                    surprisal = surprisal_given(llm, exam.facts[slot].text, question)
                    scores.append((activation, activation / surprisal))
            seed += 1
        answered, unanswered = np.array(known), np.array(others)
        min_activation, min_familiarity = np.quantile(answered, 0.02, axis=0)
        passing_others = ((unanswered[:, 0] >= min_activation) & (unanswered[:, 1] >= min_familiarity)).mean()
        passing_known = ((answered[:, 0] >= min_activation) & (answered[:, 1] >= min_familiarity)).mean()
        print(f"{facts:>5} facts: address {min_activation:.3f}, familiarity {min_familiarity:.4f}; "
              f"known {passing_known:.3f}, others {passing_others:.3f} of {len(others)}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
