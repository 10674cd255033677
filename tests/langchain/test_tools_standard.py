"""The tools pass LangChain's own suites for tools, whole."""

import pytest
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from titans_langchain import create_forget_tool, create_memorize_tool, create_recall_tool

pytestmark = pytest.mark.compat


class Memorizing:
    @property
    def tool_constructor(self):
        return create_memorize_tool(self.memory)

    @property
    def tool_invoke_params_example(self):
        return {"content": "Alice is allergic to nuts."}

    @pytest.fixture(autouse=True)
    def seeded(self, memory):
        self.memory = memory
        memory.memorize("We meet on Friday at 3pm.", id="meeting")


class Recalling(Memorizing):
    @property
    def tool_constructor(self):
        return create_recall_tool(self.memory)

    @property
    def tool_invoke_params_example(self):
        return {"query": "When do we meet?"}


class Forgetting(Memorizing):
    @property
    def tool_constructor(self):
        return create_forget_tool(self.memory)

    @property
    def tool_invoke_params_example(self):
        return {"memory_id": "meeting"}


class TestMemorizeUnit(Memorizing, ToolsUnitTests):
    pass


class TestMemorizeIntegration(Memorizing, ToolsIntegrationTests):
    pass


class TestRecallUnit(Recalling, ToolsUnitTests):
    pass


class TestRecallIntegration(Recalling, ToolsIntegrationTests):
    pass


class TestForgetUnit(Forgetting, ToolsUnitTests):
    pass


class TestForgetIntegration(Forgetting, ToolsIntegrationTests):
    pass
