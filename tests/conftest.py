"""Shared by all tests: one loaded reader, no network."""

import os

# Before any Hugging Face library is imported: a test that reached for the Hub would fail at once.
os.environ["HF_HUB_OFFLINE"] = "1"
# One thread each: tests run beside other work, and waiting threads of OpenMP slow everything down tenfold.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from titans_core import TitansMemory
from titans_core.reading import EncoderReader, load_reader


@pytest.fixture(scope="session")
def reader() -> EncoderReader:
    return load_reader()


@pytest.fixture
def memory(reader):
    with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
        yield memory
