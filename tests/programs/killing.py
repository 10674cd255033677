"""Kills processes that write to a memory, with SIGKILL, and prints what is found afterwards: a line of JSON for each.

Each process is a fork of this one, so that importing torch is paid for once; torch is kept to one thread, which forks
safely. What is printed is judged by tests/promises/test_kill.py.
"""

import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path

import torch

torch.set_num_threads(1)

import numpy as np  # noqa: E402

import titans_core.memory.memory  # noqa: E402
from support.faulty_disk import faulty_disk  # noqa: E402
from support.recorded import RecordedReader  # noqa: E402
from support.soundness import equals_a_replay, inspected  # noqa: E402
from support.writes import BEFORE, GONE, WRITES, steps_of, store_before  # noqa: E402
from titans_core import TitansMemory, Turn  # noqa: E402
from titans_core.memory.learner import SNAPSHOT_EVERY  # noqa: E402
from titans_core.types import Reading  # noqa: E402

FACTS = [f"The {what} of {who} is {where}." for what, who, where in itertools.product(
    ["bicycle", "violin", "passport", "ladder", "blue coat", "old camera"],
    ["Ada", "Tom", "Maria", "my uncle", "the neighbour"],
    ["in the cellar", "at the station", "under the stairs", "in Porto", "with the plumber", "on the balcony"],
)]  # fmt: skip
"""What is memorized at random."""

CALLS = 40
"""More than a process can make in the time that it lives."""


def at_each_step(reader, folder, stride):
    """Killed before each step of each write, and half-way through it; `stride` leaves some out, see `steps_of`."""
    saved, path = folder / "saved.db", folder / "memory.db"
    store_before(saved, reader)
    for name, (act, new) in WRITES.items():
        for number in steps_of(name, shutil.copy(saved, path), reader, stride=stride):
            for torn in (False, True):
                shutil.copy(saved, path)

                def write_and_die(_, act=act, number=number, torn=torn):
                    with faulty_disk(path) as disk:
                        memory = TitansMemory.open(path, tenant="alice", reader=reader)
                        disk.kill_at(number, torn=torn)
                        act(memory)

                killed(write_and_die)
                found = inspected(path, reader)
                yield {
                    "write": name,
                    "has_bytes": GONE in path.read_bytes(),
                    "possible": [_listed(BEFORE), _listed(new)],
                    **found,
                }


def at_random(reader, folder, rounds, seed):
    """Killed 1 to 50 ms after the first call of many was acknowledged."""
    saved, path = folder / "saved.db", folder / "memory.db"
    store_before(saved, reader)
    titans_core.memory.memory.COMMIT_TURNS, titans_core.memory.memory.SNAPSHOT_EVERY = (
        3,
        10,
    )  # so that there are some in so short a life
    for number in range(rounds):
        chance = random.Random(seed + number)  # noqa: S311 - to be repeated, not to be secret
        calls = list(calls_at_random(chance))
        shutil.copy(saved, path)

        def write(acknowledge, calls=calls):
            memory = TitansMemory.open(path, tenant="alice", reader=reader)
            for method, arguments, _ in calls:
                getattr(memory, method)(*arguments)
                acknowledge()
            signal.pause()

        count = killed(write, after=chance.uniform(0.001, 0.05))
        possible = [calls[count - 1][-1][-1], *calls[count][-1]]
        yield {"acknowledged": count, "possible": possible, **inspected(path, reader)}


def calls_at_random(chance):
    """Calls as (method, arguments, the turns that are stored after each of its commits)."""
    stored, fresh = dict(BEFORE), iter(chance.sample(FACTS, len(FACTS)))
    for number in range(CALLS):
        method = chance.choice(["memorize", "memorize_many", *(["update", "forget"] if stored else [])])
        old = chance.choice([*stored]) if stored else None
        new = {f"{number}.{part}": next(fresh) for part in range(6 if method == "memorize_many" else 1)}
        turns = [Turn(text, id=name) for name, text in new.items()]
        after = []
        if method == "update":
            arguments = [old, turns[0].text]
            stored |= {old: turns[0].text}
        elif method == "forget":
            arguments = [old]
            del stored[old]
        else:
            arguments = [turns if method == "memorize_many" else turns[0]]
            after += [_listed(stored | dict([*new.items()][:3]))]  # a batch of those that are many
            stored |= new
        yield method, arguments, [*after, _listed(stored)]


def large(reader, folder, turns):
    """Killed with many turns stored, and the most that were ever learned after a snapshot."""
    path = folder / "killed" / "memory.db"
    path.parent.mkdir()
    reader.readings = _InPairs(reader.readings)
    texts = [f"{one} {two}" for one, two in itertools.islice(itertools.permutations(FACTS, 2), turns)]

    def write_and_die(acknowledge):
        memory = TitansMemory.open(path, tenant="alice", reader=reader)
        memory.memorize_many(texts[: -SNAPSHOT_EVERY + 1])
        for text in texts[-SNAPSHOT_EVERY + 1 :]:
            memory.memorize(text)
        acknowledge()
        os.kill(os.getpid(), signal.SIGKILL)

    killed(write_and_die)
    # The machine may be busy: the best of three, each with the write-ahead log that the killed process has left.
    copies = [Path(shutil.copytree(path.parent, folder / str(number))) / path.name for number in range(3)]
    seconds = []
    for copy in copies:
        begun = time.perf_counter()
        with TitansMemory.open(copy, tenant="alice", reader=reader) as memory:
            seconds.append(time.perf_counter() - begun)
            found = {"stored": len(memory.turns()), "replayed": equals_a_replay(memory)}
    yield {**found, "seconds": min(seconds)}


class _InPairs(dict):
    """Readings of two texts after each other, from those of each: ten thousand turns from a hundred."""

    def __missing__(self, both):
        first, second = both.split(". ")
        parts = self[first + "."], self[second]
        keys, tokens = (np.concatenate([getattr(part, name) for part in parts]) for name in ("keys", "tokens"))
        offsets = np.concatenate([parts[0].offsets, parts[1].offsets + len(first) + 2])
        pooled = parts[0].pooled + parts[1].pooled
        return Reading(keys, pooled / np.linalg.norm(pooled), tokens, offsets)


def killed(work, *, after=None):
    """Fork a process that works until it is killed.

    Args:
        work: a function, is called with another that acknowledges one call.
        after: seconds from the first call to the kill; None if it kills itself.

    Returns:
        How many calls it had acknowledged.
    """
    readable, writable = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            work(lambda: os.write(writable, b"."))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writable)
    with os.fdopen(readable, "rb", buffering=0) as pipe:
        acknowledged = pipe.read(1)
        if after is not None:
            time.sleep(after)
            os.kill(process, signal.SIGKILL)
        acknowledged += pipe.read()
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status), "it was not killed"
    return len(acknowledged)


def _listed(turns):
    return [[*turn] for turn in turns.items()]


def main():
    how, recording, folder, *numbers = sys.argv[1:]
    reader = RecordedReader.load(recording)
    rounds = {"at each step": at_each_step, "at random": at_random, "large": large}[how]
    for each in rounds(reader, Path(folder), *map(int, numbers)):
        print(json.dumps(each), flush=True)


if __name__ == "__main__":
    main()
