"""The retriever passes LangChain's whole test suite for retrievers."""

import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests

from titans_core import TitansMemory
from titans_langchain import TitansRetriever

pytestmark = pytest.mark.compat


class TestTitansRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def seeded(self, reader):
        with TitansMemory.open(":memory:", tenant="alice", reader=reader) as memory:
            memory.memorize("We meet on Friday at 3pm.", speaker="user")
            memory.memorize("The meeting on Friday is in room 7.", speaker="user")
            memory.memorize("Bring the slides to the meeting.", speaker="assistant")
            memory.memorize("Bruno cannot come to the meeting on Friday.", speaker="user")
            self.memory = memory
            yield

    @property
    def retriever_constructor(self):
        return TitansRetriever

    @property
    def retriever_constructor_params(self):
        return {"memory": self.memory}

    @property
    def retriever_query_example(self):
        return "When is the meeting?"
