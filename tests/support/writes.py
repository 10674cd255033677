"""All kinds of writes, with the turns that are stored before and after each."""

import itertools

from support.faulty_disk import faulty_disk
from titans_core import TitansMemory, Turn

BEFORE = {
    "ada": "My sister Ada moved to Lisbon.",
    "pin": "My PIN is xylophone-7731.",
    "boiler": "The boiler was repaired in March.",
}
NEW = {"train": "The train to Porto leaves at 7:40.", "bins": "The bins are collected on Tuesday."}
CHANGED = "My PIN is a secret."
GONE = b"ylopho"
"""Bytes of the text that `update` and `forget` must remove from every file."""
AFTERWARDS = "I planted tomatoes on the balcony."
QUESTION = "Where does Ada live?"
TEXTS = [*BEFORE.values(), *NEW.values(), CHANGED, AFTERWARDS, QUESTION]

WRITES = {
    "memorize": (
        lambda memory: memory.memorize(NEW["train"], id="train"),
        BEFORE | {"train": NEW["train"]},
    ),
    "memorize many": (
        lambda memory: memory.memorize_many([Turn(text, id=name) for name, text in NEW.items()]),
        BEFORE | NEW,
    ),
    "update": (lambda memory: memory.update("pin", CHANGED), BEFORE | {"pin": CHANGED}),
    "forget": (lambda memory: memory.forget("pin"), {name: BEFORE[name] for name in ("ada", "boiler")}),
    "consolidate": (lambda memory: memory.consolidate(share=0.5), BEFORE),
    "snapshot": (lambda memory: memory._learned.learner.save_snapshot(), BEFORE),
}


def store_before(path, reader):
    """Create a file with the turns of `BEFORE`. The saved weights have not learned the last turn."""
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        for name, text in BEFORE.items():
            memory._learned.learner.save_snapshot()
            memory.memorize(text, id=name)
        memory._learned.learner._saved = len(BEFORE)  # as if the weights were saved, so that closing does not save them


def steps_of(name, path, reader, *, stride):
    """Do a write without faults, and return the numbers of the operations of the disk.

    Args:
        name: Name of the write in `WRITES`.
        path: Path of the file.
        reader: The reader.
        stride: Only each `stride`-th operation "write" is returned; all other operations are.
    """
    with faulty_disk(path) as disk, TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        disk.heal()
        WRITES[name][0](memory)
        steps = list(disk.operations)
    writes = itertools.count()
    return [number for number, step in enumerate(steps, 1) if step != "write" or next(writes) % stride == 0]
