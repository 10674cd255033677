"""Fixtures of the tests for LlamaIndex."""

import pytest

from support.llamaindex_models import own_loop


@pytest.fixture
def loop():
    """The event loop of the test, on which LlamaIndex's synchronous methods run; closed after the test."""
    with own_loop() as loop:
        yield loop
