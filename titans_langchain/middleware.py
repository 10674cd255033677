"""Memory for LangChain agents."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, TypeVar

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, TracePolicy, omit_payload
from langchain.agents.middleware.types import PrivateStateAttr
from langgraph.channels.untracked_value import UntrackedValue
from langgraph.config import get_config
from typing_extensions import override

from titans_core.errors import InvalidQueryError
from titans_core.integration import log_failures
from titans_core.types import RECALL_TEMPLATE, check_template
from titans_langchain import events
from titans_langchain.conversation import ROLES, Role, aremember, latest, question, remember, said, with_block
from titans_langchain.identity import Caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from langchain.agents.middleware.types import ModelCallResult
    from langchain_core.messages import BaseMessage
    from langgraph.runtime import Runtime

    from titans_core import Recollection
    from titans_core.integration import MemorySource

T = TypeVar("T")

# Where the calls of synchronous agents are waited for with a time limit; its threads start when they are needed.
_WAITING = ThreadPoolExecutor(max_workers=32, thread_name_prefix="titans")


class RecallState(AgentState[Any]):
    """The state of an agent with a memory; what is added is neither saved nor part of input or output.

    Attributes:
        titans_recalls: for each middleware, by name: the id of the message that it recalled for, and the block.
    """

    titans_recalls: NotRequired[Annotated[dict[str, tuple[str | None, str]], UntrackedValue, PrivateStateAttr]]


class TitansMemoryMiddleware(AgentMiddleware[RecallState, Any, Any]):
    """Gives an agent a long-term memory: it recalls before the model is called, and memorizes what was said.

    For each message of the user it recalls once, what the conversation does not hold itself, and appends it as a
    labelled block to the system message of the model's requests. The block is in no transcript and no checkpoint. When
    the agent ends, the messages of the run are memorized under their ids, so that a retry or a resumed interrupt
    memorizes nothing twice.

    The user is named by `config["configurable"]["user_id"]`, by the context's `user_id`, or by the LangGraph server;
    the thread is the session. A missing user is an error. Any other failure of the memory is logged as a warning of
    the logger "titans_langchain", and the agent goes on without it.

    Usage:

    ```python
    agent = create_agent(model, middleware=[TitansMemoryMiddleware(MemoryBank("memory.db"))])
    agent.invoke({"messages": "Where did I park?"}, {"configurable": {"user_id": "alice", "thread_id": "monday"}})
    ```

    Args:
        memory: a bank for many users, or the open memory of one. Stays the caller's to close.
        k: recalls at most, >= 1.
        inject_when: "high" to give the model only what can be trusted, "low" to give it also what may be relevant,
            under that label.
        max_tokens: what the block may take, in tokens of the memory's reader, >= 1; None for no limit.
        template: for one recall, see `Recollection.as_text`.
        roles: whose messages are memorized, of "user", "assistant" and "tool"; none to memorize nothing.
        recall: whether to recall; an agent may have a tool for that instead.
        timeout: seconds, > 0, that the agent waits for a recall, and for memorizing. What takes longer is finished
            in the background.
        name: tells two memories of one agent apart.

    Raises:
        InvalidQueryError: an argument is out of range.
        KeyError: the template names something else than those fields.
        InvalidTenantError: by the agent, if the run names no user, or another than the memory's.
    """

    state_schema = RecallState
    # The hooks' spans would show what was recalled, of whichever user, to everybody who reads traces.
    trace_policy = TracePolicy(process_inputs=omit_payload, process_outputs=omit_payload)

    def __init__(
        self,
        memory: MemorySource,
        *,
        k: int = 5,
        inject_when: Literal["high", "low"] = "low",
        max_tokens: int | None = 512,
        template: str = RECALL_TEMPLATE,
        roles: Collection[Role] = ROLES,
        recall: bool = True,
        timeout: float = 5.0,
        name: str = "TitansMemoryMiddleware",
    ) -> None:
        super().__init__()
        if inject_when not in ("high", "low") or k < 1 or (max_tokens is not None and max_tokens < 1) or timeout <= 0:
            raise InvalidQueryError(
                'Need inject_when of "high" or "low", k and max_tokens of at least 1 and a timeout above 0, not '
                f"{inject_when!r}, {k!r}, {max_tokens!r} and {timeout!r}."
            )
        if unknown := set(roles) - {"user", "assistant", "tool"}:
            raise InvalidQueryError(f'The roles are "user", "assistant" and "tool"; there is no {unknown}.')
        check_template(template)
        self.memory = memory
        self.tools = []
        self._name = name
        self._inject_when = inject_when
        self._limits: dict[str, Any] = {"k": k, "max_tokens": max_tokens, "template": template}
        self._roles = tuple(roles)
        self._recalls = recall
        self._timeout = timeout

    @property
    @override
    def name(self) -> str:
        """The name of this memory among the agent's middleware."""
        return self._name

    @override
    def before_model(self, state: RecallState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Recall for the user's last message, if that has not been done."""
        if (asked := self._asked(state)) is None:
            return None
        config, found = get_config(), None
        caller = Caller.of(config, runtime)

        def recall() -> Recollection:
            return events.recall(caller.memory(self.memory), asked.text, config, **self._limits_for(state))

        with log_failures("recall", logger=events.LOGGER):
            found = self._within(recall)
        return self._update(state, asked, found)

    @override
    async def abefore_model(self, state: RecallState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """`before_model` off the event loop."""
        if (asked := self._asked(state)) is None:
            return None
        config, found = get_config(), None
        caller = Caller.of(config, runtime)
        with log_failures("recall", logger=events.LOGGER):
            async with asyncio.timeout(self._timeout):
                memory = await caller.amemory(self.memory)
                found = await events.arecall(memory, asked.text, config, **self._limits_for(state))
        return self._update(state, asked, found)

    @override
    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelCallResult[Any]]
    ) -> ModelCallResult[Any]:
        """Call the model with what was recalled."""
        return handler(self._reminded(request))

    @override
    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelCallResult[Any]]]
    ) -> ModelCallResult[Any]:
        """`wrap_model_call` for async agents."""
        return await handler(self._reminded(request))

    @override
    def after_agent(self, state: RecallState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Memorize what was said in this run."""
        config = get_config()
        caller = Caller.of(config, runtime)
        messages = latest(state["messages"], self._roles)

        def memorize() -> None:
            remember(caller.memory(self.memory), messages, caller.thread, config)

        if messages:
            with log_failures("memorize", logger=events.LOGGER):
                self._within(memorize)
        return None

    @override
    async def aafter_agent(self, state: RecallState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """`after_agent` off the event loop."""
        config = get_config()
        caller = Caller.of(config, runtime)
        if messages := latest(state["messages"], self._roles):
            with log_failures("memorize", logger=events.LOGGER):
                async with asyncio.timeout(self._timeout):
                    memory = await caller.amemory(self.memory)
                    await aremember(memory, messages, caller.thread, config)
        return None

    def _asked(self, state: RecallState) -> BaseMessage | None:
        """The user's last message, if nothing was recalled for it yet."""
        asked = question(state["messages"]) if self._recalls else None
        recalled_for, _ = state.get("titans_recalls", {}).get(self.name, (None, ""))
        return None if asked is None or asked.id == recalled_for else asked

    def _limits_for(self, state: RecallState) -> dict[str, Any]:
        return {**self._limits, "except_texts": said(state["messages"])}

    def _update(self, state: RecallState, asked: BaseMessage, found: Recollection | None) -> dict[str, Any]:
        """Remember the block for the model's next calls; a memory that failed is not asked again."""
        block = found.as_text(self._limits["template"]) if found and found.reaches(self._inject_when) else ""
        return {"titans_recalls": {**state.get("titans_recalls", {}), self.name: (asked.id, block)}}

    def _reminded(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        _, block = request.state.get("titans_recalls", {}).get(self.name, (None, ""))  # type: ignore[attr-defined]
        return request.override(system_message=with_block(request.system_message, block)) if block else request

    def _within(self, call: Callable[[], T]) -> T:
        """The result of a call in another thread, if it comes in time."""
        return _WAITING.submit(copy_context().run, call).result(self._timeout)
