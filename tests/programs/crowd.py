"""Lets many processes use one memory at once, and prints what they found as a line of JSON.

Writers memorize turns, and tidiers memorize turns and forget them again. Readers check that every acknowledged turn is
there. It is a separate program, so that no forked process has threads of another test, and torch is imported once.

Command line: crowd.py START URL RECORDING WRITERS TURNS READERS TIDIERS, with START "fork", "spawn" or "preload".
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
"""Texts of the turns, enough for eight writers with five hundred turns each."""

CHANGED = "It was never there."

PATIENCE = 600.0
"""Seconds that a process waits for the others."""


class Crowd:
    """The state that all processes share.

    Attributes:
        url: URL of the memory.
        reader: Reader of the memory.
        writers: Number of writers. The processes with higher numbers are tidiers.
        turns: Number of turns of each writer and each tidier.
        done: For each writer the number of turns that it has memorized, then for each tidier the number of turns that
            it has forgotten again.
        begin: Barrier before the first turn, because a spawned process takes long to start.
        end: Barrier after the last turn.
        memory: Memory that was opened before the fork; None if each process opens the memory itself.
    """

    def __init__(self, context, url, reader, writers, turns, readers, tidiers):
        self.url, self.reader, self.writers, self.turns = url, reader, writers, turns
        self.done = context.RawArray("i", writers + tidiers)
        self.begin = context.Barrier(writers + tidiers + readers, timeout=PATIENCE)
        self.end = context.Barrier(writers + tidiers + readers, timeout=PATIENCE)
        self.memory = None

    def open(self):
        """Return the memory that was opened before the fork; if there is none, open the memory."""
        return self.memory or TitansMemory.open(self.url, tenant="alice", reader=self.reader)

    def open_together(self):
        """Open the memory, and wait until all processes have opened it."""
        memory = self.open()
        self.begin.wait()
        return memory

    def fact(self, number, turn):
        """Return the text of a turn of the process with this number."""
        return FACTS[number * self.turns + turn]


def join(crowd):
    """Let this process take part in the crowd."""
    global _crowd
    _crowd = crowd


def write(number):
    """Memorize turns, and measure how long each call waits."""
    memory, waits = _crowd.open_together(), []
    for turn in range(_crowd.turns):
        with Stopwatch(waits):
            memory.memorize(_crowd.fact(number, turn), id=f"{number}.{turn}")
        _crowd.done[number] = turn + 1
    return finish(memory, waits=waits)


def tidy(number):
    """Memorize, update and forget turns one by one, and consolidate in between."""
    memory = _crowd.open_together()
    for turn in range(_crowd.turns):
        name = f"{number}.{turn}"
        retry(lambda name=name, turn=turn: memory.memorize(_crowd.fact(number, turn), id=name))
        retry(lambda name=name: memory.update(name, CHANGED))
        retry(memory.consolidate)
        retry(lambda name=name: memory.forget(ids=[name]))
        _crowd.done[number] = turn + 1
    return finish(memory)


def retry(call):
    """Repeat a call until the storage is not busy: while others read, deleted bytes cannot be overwritten."""
    while True:
        with suppress(StorageBusyError):
            return call()


def read(_):
    """Recall the newest turns, and check that every acknowledged call is visible.

    All memorized turns of the writers must be there, and all forgotten turns of the tidiers must be gone.
    """
    memory, waits, wrong = _crowd.open_together(), [], []
    for number in itertools.cycle(range(_crowd.writers)):
        done = list(_crowd.done)
        with Stopwatch(waits):
            found = {turn.id for turn in memory.turns()}
        wrong += [
            f"{process}.{turn}"
            for process, count in enumerate(done)
            for turn in range(count)
            if (f"{process}.{turn}" in found) != (process < _crowd.writers)
        ]
        if done[number]:
            newest = _crowd.fact(number, done[number] - 1)
            with Stopwatch(waits):
                recalled = memory.recall(newest)
            wrong += [newest] * (newest not in [recall.text for recall in recalled])
        if _crowd.end.broken or sum(done) == len(done) * _crowd.turns:
            return finish(memory, waits=waits, wrong=wrong)
    return None


class Stopwatch:
    """Appends to a list how many seconds the block takes."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        self.start = time.monotonic()

    def __exit__(self, *_):
        self.seconds.append(time.monotonic() - self.start)


def finish(memory, **found):
    """Wait until all processes have done everything. Return what this process found, and the hash of its weights."""
    _crowd.end.wait()
    memory.stats()  # reads the turns that are new in the log
    _crowd.end.wait()  # no process closes its memory while another one still learns
    found["weights"] = digest(memory)
    memory.close()
    return found


def digest(memory):
    """Return the hash of all weights and the index of a memory."""
    learner = memory._learned.learner
    return hashlib.sha256(save(learner.state.tensors() | learner.index.saved())).hexdigest()


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
            crowd.begin.abort()  # so that the other processes do not wait
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
