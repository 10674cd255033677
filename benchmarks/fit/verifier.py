"""Trains the verifier: a low-rank adapter on the frozen reader, which reads a question and a passage together.

    python -m benchmarks.fit.verifier [--cache FOLDER] [--write FILE] [--folds FOLDER]

It is trained on the shipped scenes and everyday conversations alone. First come the scenes, then scenes and
conversations together. With `--folds`, one more adapter is trained for each part of the conversations, without that
part: `benchmarks.fit.calibration` needs them, because a label must be fitted to what a verifier says of conversations
that it has never seen.

With `--cache`, a run that was stopped goes on where it was. The same seed and the same number of threads give the same
adapter on the same kind of CPU.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from benchmarks.common.pairs import SCENES, TESTED, crossed_pairs, everyday_pairs, scene_pairs
from titans_core.readers import EncoderReader, load_reader
from titans_core.verification.adapter import Adapter, CrossEncoder, ReaderVerifier, inject, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.common.pairs import JudgedPair

RANK, ALPHA = 16, 32

BATCH = 32
"""Pairs in a step."""

RATE = 1e-3
"""The highest learning rate of a run; it rises over the first tenth of the steps and then falls to 0."""

DROPOUT = 0.05

TUNING_RATE = 3e-4
"""The highest learning rate when the everyday conversations are learned."""

COMPARED = 0.5
"""The weight of the comparisons between the pairs of one group, beside the loss of every pair for itself."""

KINDS = (
    "yes",
    "attribute",
    "person",
    "time",
    "outdated",
    "asked",
    "refused",
    "hypothetical",
    "topic",
    "swap",
    "part",
    "hostile",
)
"""The kinds of the scenes' pairs. A second head learns them and is then thrown away: to say why a passage
does not answer teaches more than to say that it does not."""

KIND = 0.2
"""The weight of the kinds in the loss."""

EPOCHS = 3
"""Times that every pair of the scenes is read."""

TUNING_EPOCHS = 1

PARTS = (("a", "b", "c"), ("e", "f"))
"""Files of everyday conversations that are left out together; every style of chat is then new to the verifier."""

SAVE_EVERY = 100
"""Steps after which a run is saved in the cache."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training run.

    Attributes:
        name: The name of the run, for the display and the cache.
        pairs: What it is trained on.
        rate: The highest learning rate.
        epochs: Times that every pair is read.
    """

    name: str
    pairs: Sequence[JudgedPair]
    rate: float
    epochs: int


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, help="folder that keeps memories and runs, to go on after a stop")
    parser.add_argument("--write", type=Path, help="write the adapter to this file")
    parser.add_argument("--folds", type=Path, help="write the adapters without one part each to this folder")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    console, files = Console(), sorted(SCENES.glob("*.json"))
    scenes = [pair for file in files if file.stem not in TESTED for pair in scene_pairs(file)]
    tested = [pair for file in files if file.stem in TESTED for pair in scene_pairs(file)]
    with Progress(console=console) as progress:
        talks = everyday_pairs(options.cache, progress)
        first = Run("scenes", scenes, RATE, EPOCHS)
        start = train(first, None, options, progress)
        show("scenes", start, {"scenes left out": tested, "conversations, never seen": talks}, console)
        for part in PARTS if options.folds else ():
            name = f"without {', '.join(part)}"
            kept = [pair for pair in talks if pair.source not in part]
            held_out = [pair for pair in talks if pair.source in part]
            made = train(Run(name, mixed(scenes, kept), TUNING_RATE, TUNING_EPOCHS), start, options, progress)
            show(name, made, {"scenes left out": tested, "conversations left out": held_out}, console)
            options.folds.mkdir(exist_ok=True)
            for file in part:
                made.save(options.folds / f"{file}.safetensors")
        last = Run("all", mixed(scenes, talks), TUNING_RATE, TUNING_EPOCHS)
        made = train(last, start, options, progress)
        show("all", made, {"scenes left out": tested}, console)
    if options.write:
        made.save(options.write)


def mixed(scenes: Sequence[JudgedPair], talks: Sequence[JudgedPair]) -> list[JudgedPair]:
    """Return the pairs of conversations, half as many of scenes, and the turns that only claim to answer.

    Without the scenes, what they taught would be forgotten.
    """
    groups = sorted({pair.group for pair in scenes})
    random.Random(0).shuffle(groups)  # noqa: S311 - repeatable, not secret
    share = min(len(talks) / 2 / max(len(scenes), 1), 1)
    chosen = set(groups[: round(len(groups) * share)])
    return [*talks, *(pair for pair in scenes if pair.group in chosen), *crossed_pairs(scenes)]


def train(run: Run, start: Adapter | None, options: argparse.Namespace, progress: Progress) -> Adapter:
    """Train an adapter.

    Args:
        run: What it is trained on, and how.
        start: The adapter to begin with; None for one that changes nothing.
        options: The options of the command line.
        progress: The display of the progress.
    """
    torch.manual_seed(options.seed)
    reader = load_reader()
    model = trainable(start)
    kinds = torch.nn.Linear(model.head.in_features, len(KINDS))
    weights = [*(parameter for parameter in model.parameters() if parameter.requires_grad), *kinds.parameters()]
    steps = [batch for epoch in range(run.epochs) for batch in batches(run.pairs, options.seed + epoch)]
    optimizer = torch.optim.AdamW(weights, lr=run.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, run.rate, total_steps=len(steps), pct_start=0.1)
    saved = options.cache / f"{run.name}, seed {options.seed}.pt" if options.cache else None
    parts: list[Any] = [model, kinds, optimizer, schedule]
    done = 0
    if saved is not None and saved.exists():
        done, states = torch.load(saved)
        for each, state in zip(parts, states, strict=True):
            each.load_state_dict(state, **({"strict": False} if each is model else {}))
    task = progress.add_task(f"training: {run.name}", total=len(steps), completed=done)
    for step, batch in enumerate(steps[done:], done + 1):
        # Half precision is enough for a gradient, and half as slow; the trained weights stay in float32.
        with torch.autocast("cpu", torch.bfloat16):
            pooled = model.pooled(**tokenize(reader.model.tokenizer, [each.pair for each in batch]))
            log_odds, kind = model.head(pooled)[:, 0].float(), kinds(pooled).float()
        optimizer.zero_grad()
        loss(log_odds, kind, batch).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        progress.advance(task)
        if saved is not None and (step % SAVE_EVERY == 0 or step == len(steps)):
            torch.save((step, [trained_state(each) for each in parts]), saved)
    return Adapter(reader.fingerprint, RANK, ALPHA, trained_state(model))


def trainable(start: Adapter | None) -> CrossEncoder:
    """Return the reader's model with an adapter that can be trained; the reader's weights stay frozen."""
    encoder: Any = EncoderReader().model[0].auto_model
    # The same 4-bit weights as numbers, because gradients through 4-bit products take longer.
    encoder = encoder.dequantize().float()
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = DROPOUT
    model = CrossEncoder(inject(encoder, rank=RANK, alpha=ALPHA, dropout=DROPOUT), encoder.config.hidden_size)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_trained(name))
    if start is not None:
        model.load_state_dict(dict(start.tensors), strict=False)
    return model.train()


def trained_state(part: Any) -> dict[str, Any]:
    """Return the state of a part of a run; of the model only what is trained."""
    state: dict[str, Any] = part.state_dict()
    return (
        {name: value for name, value in state.items() if is_trained(name)} if isinstance(part, CrossEncoder) else state
    )


def is_trained(name: str) -> bool:
    """Return whether these weights belong to the adapter or to the head."""
    return "lora" in name or name.startswith("head")


def loss(log_odds: torch.Tensor, kind: torch.Tensor, batch: Sequence[JudgedPair]) -> torch.Tensor:
    """Return the loss of a batch: of every pair for itself, of its kind, and of the order within every group.

    Args:
        log_odds: (n,), of each pair.
        kind: (n, `KINDS`), the logits of the kinds.
        batch: The n pairs.
    """
    right = torch.tensor([float(each.right) for each in batch])
    alone = functional.binary_cross_entropy_with_logits(log_odds, right)
    known = [row for row, each in enumerate(batch) if each.kind in KINDS]
    if known:
        target = torch.tensor([KINDS.index(batch[row].kind) for row in known])
        alone = alone + KIND * functional.cross_entropy(kind[known], target)
    same = torch.tensor([[one.group == other.group for other in batch] for one in batch])
    compared = same & (right[:, None] > right)
    if not compared.any():
        return alone
    return alone + COMPARED * functional.softplus(log_odds - log_odds[:, None])[compared].mean()


def batches(pairs: Sequence[JudgedPair], seed: int) -> Iterator[list[JudgedPair]]:
    """Yield every pair once, in batches of whole groups of similar length, in random order."""
    rng = random.Random(seed)  # noqa: S311 - repeatable, not secret
    groups: dict[str, list[JudgedPair]] = {}
    for pair in pairs:
        groups.setdefault(pair.group, []).append(pair)
    shuffled = list(groups.values())
    rng.shuffle(shuffled)
    found: list[list[JudgedPair]] = []
    for start in range(0, len(shuffled), 2 * BATCH):
        chunk = sorted(shuffled[start : start + 2 * BATCH], key=lambda group: np.mean([length(each) for each in group]))
        flat = [pair for group in chunk for pair in group]
        found += [flat[place : place + BATCH] for place in range(0, len(flat), BATCH)]
    rng.shuffle(found)
    yield from found


def length(each: JudgedPair) -> int:
    """Return the number of characters that are read."""
    return len(each.pair.question) + len(each.pair.statement)


def show(name: str, adapter: Adapter, tested: dict[str, Sequence[JudgedPair]], console: Console) -> None:
    """Print how well an adapter separates pairs that it was not trained on, by the kind of no."""
    verifier = ReaderVerifier(adapter, load_reader())
    table = Table("pairs", "kind", title=f"{name}: AUROC of the log odds")
    table.add_column("number", justify="right")
    table.add_column("AUROC", justify="right")
    for source, pairs in tested.items():
        log_odds = verifier.log_odds([each.pair for each in pairs])
        right = np.array([each.right for each in pairs])
        kinds = np.array([each.kind for each in pairs])
        for kind in ("all", *sorted({*kinds.tolist()} - {"yes"})):
            chosen = right | (kinds == kind) if kind != "all" else np.ones(len(pairs), bool)
            table.add_row(source, kind, str(chosen.sum()), f"{roc_auc_score(right[chosen], log_odds[chosen]):.3f}")
    console.print(table)


if __name__ == "__main__":
    main()
