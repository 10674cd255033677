"""Kills a memorizing process before its n-th SQL statement, for n = 1, 2, … until it survives.

Prints one line of JSON for each round: what the dead process had acknowledged, and what is found afterwards.
Each round is a fork, so that importing torch is paid for once; torch is kept to one thread, which forks safely.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch

torch.set_num_threads(1)

from recorded import RecordedReader  # noqa: E402

from titans_core import TitansMemory  # noqa: E402
from titans_core.cache import Cache  # noqa: E402


def memorize_and_die(path, reader, before, last, statement, acknowledged):
    memory = TitansMemory.open(path, tenant="alice", reader=reader)
    for text in before:
        memory.memorize(text, speaker="user")
        os.write(acknowledged, (text + "\n").encode())
    left = statement

    def count(_sql):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    memory._log._connection.set_trace_callback(count)
    memory.memorize(last, speaker="user")
    memory._log._connection.set_trace_callback(None)
    os.write(acknowledged, (last + "\n").encode())
    os._exit(0)


def inspect(path, reader, last):
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        log, cache = memory._log, memory._cache
        replayed = Cache(_WithoutSnapshots(log), cache.spec)
        return {
            "stored": [turn.text for turn in memory.turns()],
            "integrity": log._connection.execute("PRAGMA integrity_check").fetchone()[0],
            "distance_to_replay": float((replayed.state.inverse - cache.state.inverse).abs().max()),
            "found_by_words": bool(log.frequency("porto")),
        }


class _WithoutSnapshots:
    """A log that has lost its weights, so that they are replayed."""

    def __init__(self, log):
        self._log = log

    def __getattr__(self, name):
        return getattr(self._log, name)

    def load_snapshot(self):
        return None


def main():
    recording, folder, *before, last = sys.argv[1:]
    reader = RecordedReader.load(recording)
    for statement in range(1, 100):
        path = Path(folder) / f"killed-{statement}.db"
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            memorize_and_die(path, reader, before, last, statement, writable)
        os.close(writable)
        with os.fdopen(readable) as pipe:
            acknowledged = pipe.read().splitlines()
        _, status = os.waitpid(child, 0)
        print(json.dumps({"acknowledged": acknowledged, **inspect(path, reader, last)}), flush=True)
        if os.WIFEXITED(status):
            sys.exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
