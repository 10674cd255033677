"""Kills processes that write to a memory, with SIGKILL. Prints a line of JSON about the memory after each kill.

Each process is a fork of this one, so that torch is imported only once. Torch uses one thread, because a process with
one thread can be forked safely. tests/promises/test_kill.py checks the output.

Command line: killing.py HOW RECORDING FOLDER NUMBER…, with HOW "at each step", "at random" or "large".
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
"""Texts of the turns that `at_random` and `large` memorize."""

CALLS = 40
"""Number of calls: more than a process can make before it is killed."""


def at_each_step(reader, folder, stride):
    """Kill a process before each operation of the disk, and in the middle of it, for all kinds of writes.

    Args:
        reader: The reader.
        folder: Folder for the files.
        stride: Only each `stride`-th operation "write" is used, see `steps_of`.

    Yields:
        Findings after one kill: the name of the write, whether the bytes `GONE` are in the file, the possible lists of
        turns, and the results of `inspected`.
    """
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

                run_until_killed(write_and_die)
                found = inspected(path, reader)
                yield {
                    "write": name,
                    "has_bytes": GONE in path.read_bytes(),
                    "possible": [_listed(BEFORE), _listed(new)],
                    **found,
                }


def at_random(reader, folder, rounds, seed):
    """Kill a process that makes random calls, 1 to 50 ms after its first call was acknowledged.

    Args:
        reader: The reader.
        folder: Folder for the files.
        rounds: Number of kills.
        seed: Seed of the random calls.

    Yields:
        Findings after one kill: the number of acknowledged calls, the possible lists of turns, and the results of
        `inspected`.
    """
    saved, path = folder / "saved.db", folder / "memory.db"
    store_before(saved, reader)
    # Small values, so that a process commits batches and saves snapshots before it is killed.
    titans_core.memory.memory.COMMIT_TURNS, titans_core.memory.memory.SNAPSHOT_EVERY = 3, 10
    for number in range(rounds):
        chance = random.Random(seed + number)  # noqa: S311 - reproducible, not secret
        calls = list(random_calls(chance))
        shutil.copy(saved, path)

        def write(acknowledge, calls=calls):
            memory = TitansMemory.open(path, tenant="alice", reader=reader)
            for method, arguments, _ in calls:
                getattr(memory, method)(*arguments)
                acknowledge()
            signal.pause()

        count = run_until_killed(write, after=chance.uniform(0.001, 0.05))
        possible = [calls[count - 1][-1][-1], *calls[count][-1]]
        yield {"acknowledged": count, "possible": possible, **inspected(path, reader)}


def random_calls(chance):
    """Yield random calls: the method, the arguments, and the stored turns after each commit of the call."""
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
            after += [_listed(stored | dict([*new.items()][:3]))]  # after the first of the two batches
            stored |= new
        yield method, arguments, [*after, _listed(stored)]


def large(reader, folder, turns):
    """Kill a process that has stored many turns, and has learned as many turns as possible since its last snapshot.

    Args:
        reader: The reader.
        folder: Folder for the files.
        turns: Number of turns.

    Yields:
        The number of stored turns, whether the weights equal those of a replay, and the seconds of opening the file.
    """
    path = folder / "killed" / "memory.db"
    path.parent.mkdir()
    reader.readings = _PairReadings(reader.readings)
    texts = [f"{one} {two}" for one, two in itertools.islice(itertools.permutations(FACTS, 2), turns)]

    def write_and_die(acknowledge):
        memory = TitansMemory.open(path, tenant="alice", reader=reader)
        memory.memorize_many(texts[: -SNAPSHOT_EVERY + 1])
        for text in texts[-SNAPSHOT_EVERY + 1 :]:
            memory.memorize(text)
        acknowledge()
        os.kill(os.getpid(), signal.SIGKILL)

    run_until_killed(write_and_die)
    # The machine may be busy, so the best of three times counts. Each copy has the write-ahead log that the killed
    # process has left.
    copies = [Path(shutil.copytree(path.parent, folder / str(number))) / path.name for number in range(3)]
    seconds = []
    for copy in copies:
        start = time.perf_counter()
        with TitansMemory.open(copy, tenant="alice", reader=reader) as memory:
            seconds.append(time.perf_counter() - start)
            found = {"stored": len(memory.turns()), "replayed": equals_a_replay(memory)}
    yield {**found, "seconds": min(seconds)}


class _PairReadings(dict):
    """Readings of single texts, from which it also makes the readings of pairs of texts.

    A hundred texts give ten thousand turns.
    """

    def __missing__(self, pair):
        first, second = pair.split(". ")
        parts = self[first + "."], self[second]
        keys, tokens = (np.concatenate([getattr(part, name) for part in parts]) for name in ("keys", "tokens"))
        offsets = np.concatenate([parts[0].offsets, parts[1].offsets + len(first) + 2])
        pooled = parts[0].pooled + parts[1].pooled
        return Reading(keys, pooled / np.linalg.norm(pooled), tokens, offsets)


def run_until_killed(work, *, after=None):
    """Fork a process that works until it is killed.

    Args:
        work: Called in the new process with a function that acknowledges one call.
        after: Seconds from the first acknowledged call to the kill; None if the process kills itself.

    Returns:
        The number of acknowledged calls.
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
    """Return turns as JSON lists of id and text."""
    return [[*turn] for turn in turns.items()]


def main():
    how, recording, folder, *numbers = sys.argv[1:]
    reader = RecordedReader.load(recording)
    rounds = {"at each step": at_each_step, "at random": at_random, "large": large}[how]
    for each in rounds(reader, Path(folder), *map(int, numbers)):
        print(json.dumps(each), flush=True)


if __name__ == "__main__":
    main()
