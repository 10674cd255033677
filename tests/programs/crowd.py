"""Many processes at one memory: writers, and readers that look for what was acknowledged. Prints a line of JSON.

It is a program of its own, so that what is forked has no other test's threads, and torch is imported once.
"""

import hashlib
import itertools
import json
import multiprocessing
import sys
import time
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from contextlib import suppress

from safetensors.torch import save

from support.recorded import RecordedReader
from support.soundness import equals_a_replay
from titans_core import TitansMemory
from titans_core.errors import StorageBusyError

FACTS = [f"The {what} of {who} is {where}." for what, who, where in itertools.product(
    ["bicycle", "violin", "passport", "ladder", "blue coat", "old camera", "kettle", "map",
     "tent", "red scarf", "piano", "radio", "saw", "wallet", "globe", "lamp"],
    ["Ada", "Tom", "Maria", "my uncle", "the neighbour", "our baker", "Ines", "Paul",
     "the tenor", "Olga", "the twins", "my boss", "Jonas", "aunt Rosa", "the doctor", "Li"],
    ["in the cellar", "at the station", "under the stairs", "in Porto", "with the plumber", "on the balcony", "sold",
     "in the car", "behind the shed", "in the attic", "lost", "at the museum", "broken", "in a box", "wet", "on loan"],
)]  # fmt: skip
"""What is memorized: enough for eight writers of five hundred turns."""

CHANGED = "It was never there."

PATIENCE = 600.0
"""Seconds after which a process no longer waits for the others."""


class Crowd:
    """What its processes share.

    Attributes:
        writers: how many processes memorize; those after them forget again what they have memorized.
        done: how many turns each of both has memorized, or forgotten again.
        begin: where all meet before anything is done: a spawned process takes long to be there.
        end: where all meet when everything is done.
    """

    def __init__(self, context, url, reader, writers, turns, readers, tidiers):
        self.url, self.reader, self.writers, self.turns = url, reader, writers, turns
        self.done = context.RawArray("i", writers + tidiers)
        self.begin = context.Barrier(writers + tidiers + readers, timeout=PATIENCE)
        self.end = context.Barrier(writers + tidiers + readers, timeout=PATIENCE)
        self.memory = None

    def open(self):
        """The memory that was opened before the fork, or else one of this process's own."""
        return self.memory or TitansMemory.open(self.url, tenant="alice", reader=self.reader)

    def opened(self):
        """The same, when all have theirs."""
        memory = self.open()
        self.begin.wait()
        return memory

    def fact(self, number, turn):
        return FACTS[number * self.turns + turn]


def join(crowd):
    """Become one of its processes."""
    global _crowd
    _crowd = crowd


def write(number):
    memory, waits = _crowd.opened(), []
    for turn in range(_crowd.turns):
        with timed(waits):
            memory.memorize(_crowd.fact(number, turn), id=f"{number}.{turn}")
        _crowd.done[number] = turn + 1
    return ended(memory, waits=waits)


def tidy(number):
    """Memorize, change, consolidate and forget again."""
    memory = _crowd.opened()
    for turn in range(_crowd.turns):
        name = f"{number}.{turn}"
        repeated(lambda name=name, turn=turn: memory.memorize(_crowd.fact(number, turn), id=name))
        repeated(lambda name=name: memory.update(name, CHANGED))
        repeated(memory.consolidate)
        repeated(lambda name=name: memory.forget(ids=[name]))
        _crowd.done[number] = turn + 1
    return ended(memory)


def repeated(call):
    """As its error asks for: readers may keep what was forgotten from being overwritten at once."""
    while True:
        with suppress(StorageBusyError):
            return call()


def read(_):
    """Ask for everything that was done before the question, and recall the newest turns."""
    memory, waits, wrong = _crowd.opened(), [], []
    for number in itertools.cycle(range(_crowd.writers)):
        done = list(_crowd.done)
        with timed(waits):
            found = {turn.id for turn in memory.turns()}
        wrong += [
            f"{who}.{turn}"
            for who, count in enumerate(done)
            for turn in range(count)
            if (f"{who}.{turn}" in found) != (who < _crowd.writers)
        ]
        if done[number]:
            newest = _crowd.fact(number, done[number] - 1)
            with timed(waits):
                recalled = memory.recall(newest)
            wrong += [newest] * (newest not in [recall.text for recall in recalled])
        if _crowd.end.broken or sum(done) == len(done) * _crowd.turns:
            return ended(memory, waits=waits, wrong=wrong)
    return None


class timed:  # noqa: N801 - used as a function
    """Adds the seconds that the block takes to a list."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        self.begun = time.monotonic()

    def __exit__(self, *_):
        self.seconds.append(time.monotonic() - self.begun)


def ended(memory, **found):
    """What a process has to say when all have written everything: its weights too."""
    _crowd.end.wait()
    memory.stats()  # catches up
    _crowd.end.wait()  # nobody closes while others still learn
    found["weights"] = digest(memory)
    memory.close()
    return found


def digest(memory):
    """Of every byte that a memory has learned."""
    return hashlib.sha256(
        save(memory._learned.learner.state.tensors() | memory._learned.learner.index.saved())
    ).hexdigest()


def main():
    start, url, recording, *counts = sys.argv[1:]
    writers, turns, readers, tidiers = map(int, counts)
    context = multiprocessing.get_context("spawn" if start == "spawn" else "fork")
    crowd = Crowd(context, url, RecordedReader.load(recording), writers, turns, readers, tidiers)
    if start == "preload":
        crowd.memory = crowd.open()
    with ProcessPoolExecutor(writers + tidiers + readers, context, join, (crowd,)) as pool:
        futures = [pool.submit(write, number) for number in range(writers)]
        futures += [pool.submit(tidy, number) for number in range(writers, writers + tidiers)]
        futures += [pool.submit(read, number) for number in range(readers)]
        failed = [error for each in wait(futures, return_when=FIRST_EXCEPTION).done if (error := each.exception())]
        if failed:
            crowd.begin.abort()  # the others need not wait
            crowd.end.abort()
            raise failed[0]
        results = [future.result() for future in futures]
    with TitansMemory.open(url, tenant="alice", reader=crowd.reader) as memory:
        found = {
            "turns": sorted(turn.id for turn in memory.turns()),
            "wrong": [name for result in results for name in result.get("wrong", [])],
            "waits": sorted(wait for result in results for wait in result.get("waits", [])),
            "weights": sorted({digest(memory), *(result["weights"] for result in results)}),
            "replayed": equals_a_replay(memory),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
