"""Shared by all tests: one loaded reader, no network."""

import gc
import os
import signal
from pathlib import Path

# Before any Hugging Face library is imported: a test that reached for the Hub would fail at once.
os.environ["HF_HUB_OFFLINE"] = "1"
# What tests start as programs of their own finds `programs` and `support` as the tests do.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(Path(__file__).parent)]))
# One thread each: tests run beside other work, and waiting threads of OpenMP slow everything down tenfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")


import pytest
from hypothesis import HealthCheck, settings

from support.looping import slow_work
from titans_core import MemoryBank, TitansMemory

# A busy machine generates inputs slowly; that is no fault of a test.
settings.register_profile("busy machine", suppress_health_check=[HealthCheck.too_slow], deadline=None)
settings.load_profile("busy machine")


def pytest_configure():
    """Hear Ctrl-C again: a shell's background job ignores it, and so would all that a test starts to interrupt it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    """Leave out what another project's suite would skip: tests of what ours does not claim, named in `lacks`."""
    left_out = [item for item in items if getattr(item, "originalname", "") in getattr(item.cls, "lacks", ())]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish():
    """Let Python's garbage collector leave aside what was imported: it would look at millions of objects each time."""
    gc.freeze()


@pytest.fixture(scope="session")
def encoder():
    """The default reader, which reads what it is given each time."""
    from titans_core.readers import load_reader

    return load_reader()


@pytest.fixture(scope="session")
def reader(encoder):
    """The default reader, which reads each passage once: equality byte for byte is a promise about stored readings."""
    from support.remembering import RememberingReader

    return RememberingReader(encoder)


@pytest.fixture(scope="session")
def language_model():
    from titans_core.readers import load_causal_lm

    return load_causal_lm()


@pytest.fixture(scope="session")
def four_bits():
    """The default causal reader."""
    from titans_core.readers import CausalReader

    return CausalReader()


@pytest.fixture(scope="session")
def llm(four_bits):
    """The same, which writes a token in half the time."""
    from support.unpacked import unpacked
    from titans_core.readers import CausalReader

    return CausalReader(unpacked(four_bits.lm))


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server; started only for tests that ask for it."""
    from support.postgres import Server

    server = Server()
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres):
    """Of an empty database, for a role without special rights."""
    return postgres.emptied()


@pytest.fixture
def memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        yield memory


@pytest.fixture
def bank(reader, tmp_path):
    with MemoryBank(tmp_path / "memory.db", reader=reader) as bank:
        yield bank


@pytest.fixture
def opened_slowly(bank, monkeypatch):
    """A bank that takes its time to open a user's memory."""
    tenant = bank.tenant

    def slowly(name):
        slow_work()
        return tenant(name)

    monkeypatch.setattr(bank, "tenant", slowly)
    return bank


@pytest.fixture
def slow_reader(reader):
    class SlowReader:
        """The real reader, on a slow machine."""

        dim, fingerprint, count_tokens = reader.dim, reader.fingerprint, reader.count_tokens

        def read(self, *args, **kwargs):
            slow_work()
            return reader.read(*args, **kwargs)

    return SlowReader()


@pytest.fixture
def slow_memory(slow_reader, monkeypatch):
    with TitansMemory.open(":memory:", tenant="alice", reader=slow_reader) as memory:
        monkeypatch.setattr(memory._learned.log, "scrub", slow_work)  # which forgetting waits for, on a slow disk
        yield memory
