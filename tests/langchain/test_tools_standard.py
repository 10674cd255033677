"""The tools pass LangChain's whole test suites for tools."""

import pytest
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from titans_langchain import create_forget_tool, create_memorize_tool, create_recall_tool

pytestmark = pytest.mark.compat


class MemorizeTool:
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


class RecallTool(MemorizeTool):
    @property
    def tool_constructor(self):
        return create_recall_tool(self.memory)

    @property
    def tool_invoke_params_example(self):
        return {"query": "When do we meet?"}


class ForgetTool(MemorizeTool):
    @property
    def tool_constructor(self):
        return create_forget_tool(self.memory)

    @property
    def tool_invoke_params_example(self):
        return {"memory_id": "meeting"}


class TestMemorizeUnit(MemorizeTool, ToolsUnitTests):
    pass


class TestMemorizeIntegration(MemorizeTool, ToolsIntegrationTests):
    pass


class TestRecallUnit(RecallTool, ToolsUnitTests):
    pass


class TestRecallIntegration(RecallTool, ToolsIntegrationTests):
    pass


class TestForgetUnit(ForgetTool, ToolsUnitTests):
    pass


class TestForgetIntegration(ForgetTool, ToolsIntegrationTests):
    pass
