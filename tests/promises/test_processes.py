"""Many processes share one memory: no turn is lost, no process waits for long, and a fork harms neither process."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from programs.crowd import CHANGED, FACTS
from support.recorded import RecordedReader
from support.writes import BEFORE, NEW, TEXTS
from titans_core import TitansMemory

ADA, TRAIN, BINS = BEFORE["ada"], NEW["train"], NEW["bins"]
FEW = [("preload", 3, 15, 2), ("spawn", 2, 10, 1)]
FULL = [pytest.param(start, 8, 500, 4, marks=pytest.mark.slow) for start in ("fork", "spawn")]


def recorded(reader, path, texts):
    RecordedReader(reader, [("", text) for text in texts]).save(path)
    return path


@pytest.fixture(scope="module")
def recording(reader, tmp_path_factory):
    return recorded(reader, tmp_path_factory.mktemp("recording") / "few.npz", TEXTS)


@pytest.fixture
def crowd(reader, tmp_path, record_property):
    """A function that runs many processes at a URL, checks what they found, and returns it."""

    def crowd(url, start, writers, turns, readers, *, tidiers=0):
        facts = FACTS[: (writers + tidiers) * turns]
        readings = recorded(reader, tmp_path / "readings.npz", [*facts, CHANGED])
        found = run("crowd", start, url, readings, writers, turns, readers, tidiers, timeout=1800)
        assert found["turns"] == sorted(f"{who}.{turn}" for who in range(writers) for turn in range(turns))
        assert found["wrong"] == []
        assert found["replayed"]
        assert (
            len(found["weights"]) == 1
        )  # the same bytes in every process, and in a process that opens the memory afterwards
        record_property(
            "seconds waited, median and longest", [found["waits"][len(found["waits"]) // 2], found["waits"][-1]]
        )
        return found

    return crowd


def run(program, *arguments, timeout=60):
    command = [sys.executable, "-m", f"programs.{program}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_file(path):
    assert {file.name for file in path.parent.iterdir()} == {path.name, "readings.npz"}
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.serial
@pytest.mark.parametrize(("start", "writers", "turns", "readers"), [*FEW, *FULL])
def test_a_crowd_at_one_file_loses_nothing_and_nobody_waits_five_seconds(
    crowd, tmp_path, start, writers, turns, readers
):
    found = crowd(tmp_path / "memory.db", start, writers, turns, readers)
    assert found["waits"][-1] < 5
    check_file(tmp_path / "memory.db")


@pytest.mark.serial
@pytest.mark.parametrize(("start", "writers", "turns", "readers"), [FEW[0], FULL[0]])
def test_so_does_a_crowd_at_one_server(crowd, postgres_url, start, writers, turns, readers):
    found = crowd(postgres_url, start, writers, turns, readers)
    assert found["waits"][-1] < 5


def test_what_one_process_forgets_no_other_recalls_afterwards(crowd, tmp_path):
    crowd(tmp_path / "memory.db", "fork", 2, 10, 1, tidiers=1)
    check_file(tmp_path / "memory.db")
    for turn in range(20, 30):  # the turns of the process that forgets its turns again
        assert FACTS[turn].encode() not in (tmp_path / "memory.db").read_bytes()


def test_a_fork_harms_neither_side(recording, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    stored = {
        "idle": [ADA, TRAIN, BINS],
        "both_write": [ADA, TRAIN, BINS],
        "holding_the_lock": [ADA, TRAIN],
        "writing": [ADA, TRAIN, BINS],
        "stuck": [ADA, BINS],
        "reading": [ADA, TRAIN, BINS],
        "while_another_reads": [ADA],
    }
    found = run("forking", tmp_path, recording, timeout=120)
    assert found == {situation: sorted(texts) for situation, texts in stored.items()}
    assert {file.name for file in tmp_path.iterdir()} == set(stored)


def test_a_process_that_dies_in_a_transaction_keeps_nobody_waiting(recording, tmp_path):
    path, readings = tmp_path / "memory.db", RecordedReader.load(recording)
    with TitansMemory.open(path, tenant="alice", reader=readings) as memory:
        memory.memorize(ADA)
        program = (
            "import sqlite3, sys, time; connection = sqlite3.connect(sys.argv[1])\n"
            "connection.execute('DELETE FROM turns'); print('begun', flush=True); time.sleep(60)"
        )
        with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE) as other:
            other.stdout.readline()
            os.kill(other.pid, signal.SIGKILL)
        start = time.monotonic()
        memory.memorize(TRAIN)
        assert time.monotonic() - start < 5
        assert [turn.text for turn in memory.turns()] == [ADA, TRAIN]


def test_a_process_that_creates_the_file_keeps_another_waiting_and_no_longer(recording, tmp_path):
    path = tmp_path / "memory.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA user_version = 0")
    other.execute("BEGIN IMMEDIATE")
    done = threading.Timer(0.3, other.execute, ["ROLLBACK"])
    done.start()
    try:
        with TitansMemory.open(path, tenant="alice", reader=RecordedReader.load(recording)) as memory:
            memory.memorize(ADA)
            assert [turn.text for turn in memory.turns()] == [ADA]
    finally:
        done.join()
        other.close()
