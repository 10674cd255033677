"""Many turns are read by several processes, and an import that was cut short goes on where it stopped."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from multiprocessing import active_children

import pytest
import torch

from programs.importing import BATCH
from support.recorded import RecordedReader
from titans_core import TitansMemory, Turn
from titans_core.errors import DuplicateTurnError, InvalidQueryError, ReaderError
from titans_core.memory.workers import in_batches

TURNS = [Turn(f"The boiler was repaired on day {number}.", id=f"turn {number}") for number in range(14)]


class FrailReader(RecordedReader):
    """Dies of one text."""

    def read(self, texts, prefixes=None):
        if TURNS[7].text in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(texts, prefixes)


@pytest.fixture(scope="module")
def recorded(reader):
    return RecordedReader(reader, [("", turn.text) for turn in TURNS])


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr("titans_core.memory.memory.COMMIT_TURNS", BATCH)
    yield
    assert active_children() == []


@pytest.fixture
def file(tmp_path, recorded):
    """An export without readings: all has to be read."""
    path = tmp_path / "turns.jsonl"
    entry = {"session": None, "speaker": None, "metadata": {}, "at": "2026-01-01"}
    lines = [entry | {"id": turn.id, "text": turn.text} for turn in TURNS]
    head = {"format": "titans-turns", "version": 1}
    path.write_text("".join(json.dumps(line) + "\n" for line in [head, *lines]))
    return path


def opened(url, reader):
    return TitansMemory.open(url, tenant="alice", reader=reader)


def test_workers_make_the_same_memory_and_the_file_is_read_as_they_need_it(file, recorded, monkeypatch):
    held = []

    def watched(*arguments):
        for number, batch in enumerate(in_batches(*arguments), 1):
            held.append(BATCH * number - len(helped.turns()))
            for worker in active_children():
                os.kill(worker.pid, signal.SIGINT)  # Ctrl-C in a terminal reaches them too: it is not for them
            yield batch

    with opened(":memory:", recorded) as alone, opened(":memory:", recorded) as helped:
        assert alone.import_(file) == len(TURNS)
        monkeypatch.setattr("titans_core.memory.memory.in_batches", watched)
        assert helped.import_(file, workers=2) == len(TURNS)
        assert helped.turns() == alone.turns()
        assert torch.equal(helped._learned.learner.state.inverse, alone._learned.learner.state.inverse)
    assert max(held) == 3 * BATCH  # one for each worker, and one that is about to be stored


def test_workers_load_the_reader_of_the_memory(memory, file):
    receipts = memory.memorize_many(TURNS, workers=1)
    assert [receipt.id for receipt in receipts] == [turn.id for turn in TURNS]
    assert memory.recall("What was repaired on day 7?").best.id == "turn 7"


def test_a_reader_that_cannot_be_sent_is_explained(recorded):
    recorded = RecordedReader.__new__(RecordedReader)
    recorded.fingerprint, recorded.dim, recorded.lock = "nf4:float32:dfc2741ca8410952", 384, threading.Lock()
    with opened(":memory:", recorded) as memory:
        with pytest.raises(ReaderError, match="workers=0"):
            memory.memorize_many(TURNS, workers=2)
        assert memory.turns() == []


def test_a_number_of_workers_below_zero_is_refused(memory):
    with pytest.raises(InvalidQueryError, match="workers"):
        memory.memorize_many(TURNS, workers=-1)


def test_a_worker_that_dies_ends_the_import_and_the_next_goes_on(file, recorded, tmp_path):
    frail = FrailReader.__new__(FrailReader)
    frail.__dict__.update(recorded.__dict__)
    with opened(tmp_path / "memory.db", frail) as memory:
        with pytest.raises(ReaderError, match="exit code -9"):
            memory.import_(file, workers=1)
        assert [turn.id for turn in memory.turns()] == [turn.id for turn in TURNS[: 2 * BATCH]]
    with opened(tmp_path / "memory.db", recorded) as memory:
        assert memory.import_(file) == len(TURNS) - 2 * BATCH


def test_what_the_log_refuses_ends_the_workers_and_what_was_before_it_stays(file, recorded):
    with opened(":memory:", recorded) as memory:
        memory.memorize(TURNS[0].text, id="turn 4")
        with pytest.raises(DuplicateTurnError, match="turn 4"):
            memory.import_(file, workers=1)
        assert [turn.id for turn in memory.turns()] == ["turn 4", "turn 0", "turn 1", "turn 2"]


# ── cut short ──


class Importing:
    """A process that imports, with one worker."""

    def __init__(self, recorded, file, folder):
        self.read, self.database = folder / "read", folder / "memory.db"
        recorded.save(folder / "recording.npz")
        self.read.touch()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "programs.importing", folder / "recording.npz", file, self.database, self.read],
            start_new_session=True,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until_read(self, count):
        while len(self.read.read_text().splitlines()) < count:
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.01)

    def wait_for_all(self):
        """Until none of its processes is left; they are one group."""
        for _ in range(2000):
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.01)
        pytest.fail("A worker was left behind.")

    def stored(self, recorded):
        with opened(self.database, recorded) as memory:
            return [turn.text for turn in memory.turns()]


@pytest.fixture
def importing(recorded, file, tmp_path):
    importing = Importing(recorded, file, tmp_path)
    yield importing
    importing.process.kill()
    importing.process.communicate()


TEXTS = [turn.text for turn in TURNS]


def test_an_import_that_was_killed_reads_nothing_twice(importing, file, recorded):
    importing.until_read(2 * BATCH)
    importing.process.kill()
    importing.process.wait()
    importing.wait_for_all()
    stored = importing.stored(recorded)
    assert stored in (TEXTS[:BATCH], TEXTS[: 2 * BATCH])
    rest = RecordedReader.__new__(RecordedReader)
    rest.__dict__.update(recorded.__dict__)
    rest.readings = {text: recorded.readings[text] for text in TEXTS if text not in stored}
    with opened(importing.database, rest) as memory:
        assert memory.import_(file) == len(TURNS) - len(stored)
        assert [turn.text for turn in memory.turns()] == TEXTS


def test_ctrl_c_ends_an_import_between_two_batches(importing, recorded):
    importing.until_read(2 * BATCH)
    os.killpg(importing.process.pid, signal.SIGINT)  # as a terminal does
    _, said = importing.process.communicate(timeout=30)
    importing.wait_for_all()
    assert importing.process.returncode == -signal.SIGINT
    assert said.count("Traceback") == 1  # the caller's, and none of a worker's
    assert importing.stored(recorded) in (TEXTS[:BATCH], TEXTS[: 2 * BATCH])
