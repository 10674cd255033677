"""A chat model for tests of agents. It follows a script."""

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field


class ScriptedModel(BaseChatModel):
    """Gives its answers one after the other. When they are used up, it repeats the question.

    Attributes:
        answers: Answers that are still to come. An answer is a text, a message (for example with tool calls), or an
            exception to raise.
        requests: Messages of each request, in order.
    """

    answers: list[Any] = Field(default_factory=list)
    requests: list[Any] = Field(default_factory=list)

    def __init__(self, *answers: Any) -> None:
        super().__init__(answers=list(answers))

    @property
    def _llm_type(self):
        return "scripted"

    @property
    def systems(self):
        """Text of the system message in each request; "" for a request without one."""
        return ["".join(message.text for message in request if message.type == "system") for request in self.requests]

    def bind_tools(self, tools, **kwargs):
        return self

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        self.requests.append(messages)
        answer = self.answers.pop(0) if self.answers else f"You said: {messages[-1].text}"
        if isinstance(answer, Exception):
            raise answer
        message = answer if isinstance(answer, AIMessage) else AIMessage(answer)
        return ChatResult(generations=[ChatGeneration(message=message)])


def calls(name, **args):
    """Return a message that calls a tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call-{name}", "type": "tool_call"}])
