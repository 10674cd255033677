"""Forks a process that has an open memory, in several situations. Prints the stored turns after each situation as JSON.

It is a separate program, so that no forked process has threads of another test.

Command line: forking.py FOLDER RECORDING
"""

import json
import os
import sys
import threading
import time
from contextlib import contextmanager

import torch

import titans_core.storage.sqlite.connection as connections
from support.locked import locked
from support.recorded import RecordedReader
from support.writes import BEFORE, NEW
from titans_core import TitansMemory
from titans_core.errors import StorageError
from titans_core.readers import load_reader

ADA, TRAIN, BINS = BEFORE["ada"], NEW["train"], NEW["bins"]


def idle(memory):
    """The parent closes its memory while the child uses it. The child never closes it."""
    with forked(memory) as (in_child, other):
        if in_child:
            memory.memorize(TRAIN)
            other.meet()
            other.meet()
            memory.memorize(BINS)
            assert memory.recall(BINS).best.text == BINS
            os._exit(0)
        else:
            other.meet()
            memory.close()
            other.meet()


def both_write(memory):
    """Both processes write through the same object, and change the working directory before it."""
    with forked(memory, leave=sys.exit) as (in_child, _):  # the child ends in the same way as a worker of a server
        os.chdir("/")
        memory.memorize(TRAIN if in_child else BINS)


def holding_the_lock(memory):
    """Another thread of the parent holds the memory's lock."""
    with locked(memory), forked(memory) as (in_child, _):
        if in_child:
            assert memory.recall(ADA).best.text == ADA
            memory.memorize(TRAIN)


def writing(memory):
    """Another thread of the parent is in a short transaction."""
    with transacting(memory, seconds=0.5), forked(memory) as (in_child, _):
        if in_child:
            memory.memorize(TRAIN)
    memory.memorize(BINS)


def stuck(memory):
    """Another thread of the parent is in a transaction for longer than a fork waits. The child gets an error."""
    patience, connections.PATIENCE = connections.PATIENCE, 0.1
    with transacting(memory, seconds=2.0), forked(memory) as (in_child, _):
        if in_child:
            for call in (memory.turns, lambda: TitansMemory.open(memory.url, tenant="bob", reader=memory._reader)):
                try:
                    call()
                except StorageError as error:
                    assert "forked while another thread" in str(error)  # noqa: PT017 - no pytest here
                else:
                    raise AssertionError
    connections.PATIENCE = patience
    memory.memorize(BINS)


def reading(memory):
    """The parent has read texts with two threads, which the child does not have."""
    torch.set_num_threads(2)
    memory._reader = load_reader()
    memory.memorize(TRAIN)
    with forked(memory) as (in_child, _):
        if in_child:
            assert memory.recall("When does the train leave?").best.text == TRAIN
            memory.memorize(BINS)


def while_another_reads(memory):
    """Another thread of the parent is reading a text, and holds the reader's lock."""
    memory._reader, stop = load_reader(), threading.Event()

    def read():
        while not stop.is_set():
            memory._reader.read(["The train leaves at noon."])

    thread = threading.Thread(target=read)
    thread.start()
    for _ in range(2):
        with forked(memory) as (in_child, _):
            if in_child:
                assert memory.recall("Where is Ada?").best.text == ADA
    stop.set()
    thread.join()


class OtherProcess:
    """The process at the other end of two pipes."""

    def __init__(self, readable, writable):
        self._readable, self._writable = readable, writable

    def meet(self):
        """Wait until the other process calls `meet` too."""
        os.write(self._writable, b".")
        assert os.read(self._readable, 1)


@contextmanager
def forked(memory, *, leave=os._exit):
    """Fork, and run the block in both processes. The parent waits for the end of the child.

    Args:
        memory: Memory that the child closes after the block.
        leave: Ends the child. `os._exit` leaves out the work that Python does at the end of a process, which takes
            seconds in a child.

    Yields:
        Whether this process is the child, and the `OtherProcess`.
    """
    (up, up_end), (down, down_end) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        yield True, OtherProcess(down, up_end)
        memory.close()
        leave(0)
    yield False, OtherProcess(up, down_end)
    _, status = os.waitpid(child, 0)
    assert status == 0


@contextmanager
def transacting(memory, *, seconds):
    """Keep a transaction open in another thread of this process.

    Args:
        memory: Memory whose log has the transaction.
        seconds: Duration of the transaction.
    """
    began = threading.Event()

    def transact():
        with memory._learned.in_use(), memory._learned.log.transaction():
            began.set()
            time.sleep(seconds)

    thread, process = threading.Thread(target=transact), os.getpid()
    thread.start()
    began.wait()
    yield
    if os.getpid() == process:
        thread.join()


def main():
    folder, recording = sys.argv[1:]
    reader, stored = RecordedReader.load(recording), {}
    for situation in (idle, both_write, holding_the_lock, writing, stuck, reading, while_another_reads):
        name = situation.__name__
        os.chdir(folder)
        with TitansMemory.open(name, tenant="alice", reader=reader) as memory:
            memory.memorize(ADA)
            situation(memory)
        os.chdir(folder)
        with TitansMemory.open(name, tenant="alice", reader=reader) as memory:
            stored[name] = sorted(turn.text for turn in memory.turns())
    print(json.dumps(stored))


if __name__ == "__main__":
    main()
