"""Stored bytes are data. Neither our code nor the libraries below it ever run them."""

import ast
import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import titans_core
import titans_langchain
import titans_llamaindex
from support.recorded import RecordedReader
from titans_core import TitansMemory
from titans_core.errors import CorruptStateError, TitansError
from titans_core.neural.serialization import unseal
from titans_core.storage import Snapshot

PACKAGES = [Path(package.__file__).parent for package in (titans_core, titans_langchain, titans_llamaindex)]
SOURCES = sorted(path for package in PACKAGES for path in package.rglob("*.py"))
MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "yaml"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {("torch", "load"), ("numpy", "load"), ("np", "load"), ("os", "system"), ("os", "popen")}
TURNS = ["My sister Ada moved to Lisbon.", "The boiler was repaired in March.", "Tom climbs at Bellever."]


def findings(source):
    """The lines of a source text that could run the data that they read."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import) and MODULES & {name.name.split(".")[0] for name in node.names}:
            yield node.lineno
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield node.lineno
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
            yield node.lineno
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield from [node.lineno] * ((node.value.id, node.attr) in METHODS)
        if isinstance(node, ast.keyword) and node.arg in ("trust_remote_code", "allow_pickle"):
            yield node.value.lineno


BAD = ["import dill", "from joblib import load", "eval(x)", "torch.load(p)", "f(trust_remote_code=1)"]


@pytest.mark.parametrize("bad", BAD)
def test_the_scan_finds_what_it_looks_for(bad):
    assert list(findings(bad)) == [1]


def test_no_source_can_run_what_it_reads():
    assert len(SOURCES) > 100
    found = {path: list(findings(path.read_text(encoding="utf-8"))) for path in SOURCES}
    assert {path: lines for path, lines in found.items() if lines} == {}


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("pickle-was-run"),)


def test_a_pickle_that_is_called_safetensors_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CorruptStateError):
        unseal(pickle.dumps(Bomb()))
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_is_no_export(tmp_path, monkeypatch, memory):
    monkeypatch.chdir(tmp_path)
    Path("turns.jsonl").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(TitansError):
        memory.import_("turns.jsonl")
    assert not Path("pickle-was-run").exists()


@pytest.mark.parametrize("size", [2**63 - 1, 2**63, 2**64 - 1, 10**9])
def test_a_header_that_claims_more_than_there_is(size):
    with pytest.raises(CorruptStateError):
        unseal(size.to_bytes(8, "little") + b'{"a": 1}')


def test_using_a_memory_runs_imports_and_contacts_nothing(reader, tmp_path):
    recording = tmp_path / "readings.npz"
    RecordedReader(reader, [("", text) for text in TURNS]).save(recording)
    command = [sys.executable, "-m", "programs.audited", recording, tmp_path, *TURNS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"found": [], "works": True}


def test_a_snapshot_that_is_no_snapshot_is_learned_again(reader, tmp_path):
    path = tmp_path / "memory.db"
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        memory.memorize_many(TURNS)
        expected = memory.recall("Where did Ada move?")
        memory._learned.learner.save_snapshot()
        with memory._learned.log.transaction():
            [snapshot] = memory._learned.log._rows("SELECT position, epoch, spec FROM snapshots")
            memory._learned.log.save_snapshot(Snapshot(*snapshot, pickle.dumps(Bomb())))
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        assert memory.recall("Where did Ada move?") == expected
