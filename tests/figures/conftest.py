"""Fixtures of the tests of figures."""

import pytest

from titans_core import TitansMemory


@pytest.fixture(scope="module")
def talk(request, reader, tmp_path_factory):
    """A memory of the test module's conversation, `TALK`."""
    path = tmp_path_factory.mktemp("talk") / "memory.db"
    with TitansMemory.open(path, tenant="talk", reader=reader) as memory:
        for speaker, text in request.module.TALK:
            memory.memorize(text, speaker=speaker)
        yield memory
