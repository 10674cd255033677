"""A middleware that gives LangChain agents a long-term memory."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NotRequired, TypeVar, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, TracePolicy, omit_payload
from langchain.agents.middleware.types import PrivateStateAttr
from langgraph.channels.untracked_value import UntrackedValue
from langgraph.config import get_config
from typing_extensions import override

from titans_core.errors import InvalidQueryError
from titans_core.integration import PROFILE, check_zone, join_blocks, log_failures, profile_beside
from titans_core.types import RECALL_TEMPLATE, check_template
from titans_langchain import events
from titans_langchain.conversation import (
    ROLES,
    Role,
    amemorize_messages,
    append_block,
    begins_conversation,
    last_question,
    memorize_messages,
    messages_of_run,
    texts_of,
)
from titans_langchain.identity import Caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from langchain.agents.middleware.types import ModelCallResult
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig
    from langgraph.runtime import Runtime

    from titans_core import Recollection
    from titans_core.integration import MemorySource

T = TypeVar("T")

# Synchronous agents wait for these threads with a time limit. A thread starts when it is needed.
_THREADS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="titans")


class RecallState(AgentState[Any]):
    """State of an agent with a memory. The added field is not saved, and is not part of the input or the output.

    Attributes:
        titans_recalls: For each memory middleware, by its name: the id of the message for which it recalled, and the
            block, with the profile if it was asked for.
    """

    titans_recalls: NotRequired[Annotated[dict[str, tuple[str | None, str]], UntrackedValue, PrivateStateAttr]]


class _Run(NamedTuple):
    """One run of an agent.

    Attributes:
        config: Config of the run.
        caller: User and thread.
    """

    config: RunnableConfig
    caller: Caller

    @classmethod
    def current(cls, runtime: Runtime[Any]) -> _Run:
        config = get_config()
        return cls(config, Caller.of(config, runtime))


class TitansMemoryMiddleware(AgentMiddleware[RecallState, Any, Any]):
    """Gives an agent a long-term memory: recalls before the model is called, and memorizes what was said.

    The middleware recalls once for each message of the user, and leaves out texts that are in the conversation. It
    appends the recalls as a labelled block to the system message of each request to the model. The block is in no
    transcript and in no checkpoint. At the end of a run, the middleware memorizes the messages of the run under their
    ids, so that a retry or a resumed interrupt memorizes nothing twice.

    With `profile_tokens`, a block of what the user has told about as a whole stands before the recalls, as long as no
    answer stands before the user's last message: then little was asked yet that could be recalled for.

    The user is `config["configurable"]["user_id"]`, the `user_id` of the context, or the user of the LangGraph
    server; the thread is the session. A run without a user, or with a user whom the memory does not belong to, raises
    `InvalidTenantError`. Any other failure of the memory is logged as a warning by the logger "titans_langchain", and
    the agent continues without the memory.

    Attributes:
        memory: Bank for many users, or the open memory of one user.

    Example:
        ```python
        agent = create_agent(model, middleware=[TitansMemoryMiddleware(MemoryBank("memory.db"))])
        agent.invoke({"messages": "Where did I park?"}, {"configurable": {"user_id": "alice", "thread_id": "monday"}})
        ```
    """

    state_schema = RecallState
    # Spans with a payload would show the recalls of every user to everyone who reads the traces.
    trace_policy = TracePolicy(process_inputs=omit_payload, process_outputs=omit_payload)

    def __init__(
        self,
        memory: MemorySource,
        *,
        k: int = 5,
        inject_when: Literal["high", "likely", "low"] = "low",
        max_tokens: int | None = 512,
        template: str = RECALL_TEMPLATE,
        roles: Collection[Role] = ROLES,
        recall: bool = True,
        profile_tokens: int | None = None,
        timezone: str | None = None,
        timeout: float = 5.0,
        name: str = "TitansMemoryMiddleware",
    ) -> None:
        """Make a middleware over a memory.

        Args:
            memory: Bank for many users, or the open memory of one user. The caller closes it.
            k: Maximum number of recalls, >= 1.
            inject_when: "high" gives the model only recalls that can be trusted; "likely" also gives it recalls of
                which one of the first three probably answers; "low" also gives it recalls that may be relevant, under
                that label.
            max_tokens: Maximum length of the block in tokens of the memory's reader, >= 1; None for no limit.
            template: Template for one recall, see `Recollection.as_text`.
            roles: Roles whose messages are memorized: "user", "assistant", "tool". Empty to memorize nothing.
            recall: Whether to recall. Pass False if the agent has a tool for that.
            profile_tokens: Maximum length of the profile in tokens of the memory's reader, >= 1; None for no profile.
                A profile has the label `low`, also if `inject_when` is "high". It needs `recall`.
            timezone: Time zone of the user as an IANA name, such as "Europe/Berlin", for the days in the block and in
                questions; None for this machine's.
            timeout: Seconds, > 0, for which the agent waits for a recall with its profile, and for memorizing. A slower
                call is finished in the background.
            name: Name of the middleware; an agent with two memories needs two names.

        Raises:
            InvalidQueryError: An argument is out of range.
            KeyError: The template has an unknown field.
        """
        super().__init__()
        counts = [count for count in (k, max_tokens, profile_tokens) if count is not None]
        if inject_when not in ("high", "likely", "low") or min(counts) < 1 or timeout <= 0:
            raise InvalidQueryError(
                '`inject_when` must be "high", "likely" or "low", `k`, `max_tokens` and `profile_tokens` at least 1, '
                f"and `timeout` above 0, not {inject_when!r}, {k!r}, {max_tokens!r}, {profile_tokens!r} and "
                f"{timeout!r}."
            )
        if unknown := set(roles) - {"user", "assistant", "tool"}:
            raise InvalidQueryError(f'The roles are "user", "assistant" and "tool", not {unknown}.')
        check_template(template)
        check_zone(timezone)
        self.memory = memory
        self.tools = []
        self._name = name
        self._inject_when = inject_when
        self._template = template
        self._limits: dict[str, Any] = {
            "k": k,
            "max_tokens": max_tokens,
            "template": template,
            "context": "reply",
            "timezone": timezone,
        }
        self._wants_profiles = profile_tokens is not None
        self._profile_limits: dict[str, Any] = {
            "max_tokens": profile_tokens,
            "template": template,
            "timezone": timezone,
        }
        self._roles = tuple(roles)
        self._recall_enabled = recall
        self._timeout = timeout

    @property
    @override
    def name(self) -> str:
        """Name of this middleware in the agent."""
        return self._name

    @override
    def before_model(self, state: RecallState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Recall for the user's last message, unless that was done before."""
        if (question := self._new_question(state)) is None:
            return None
        run, block = _Run.current(runtime), ""

        def recall() -> str:
            memory, profile = run.caller.memory(self.memory), None
            found = events.recall(memory, question.text, run.config, **self._limits_for(state))
            if self._wants_profile(state, question):
                with log_failures(PROFILE, logger=events.LOGGER):
                    profile = memory.profile(**self._profile_limits)
            return self._block(state, found, profile)

        with log_failures("recall", logger=events.LOGGER):
            block = self._call_in_thread(recall)
        return self._update(state, question, block)

    @override
    async def abefore_model(self, state: RecallState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Like `before_model`, without blocking the event loop."""
        if (question := self._new_question(state)) is None:
            return None
        run, block = _Run.current(runtime), ""
        with log_failures("recall", logger=events.LOGGER):
            async with asyncio.timeout(self._timeout):
                memory, profile = await run.caller.amemory(self.memory), None
                found = await events.arecall(memory, question.text, run.config, **self._limits_for(state))
                if self._wants_profile(state, question):
                    with log_failures(PROFILE, logger=events.LOGGER):
                        profile = await memory.aprofile(**self._profile_limits)
                block = self._block(state, found, profile)
        return self._update(state, question, block)

    @override
    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelCallResult[Any]]
    ) -> ModelCallResult[Any]:
        """Call the model with the block of recalls."""
        return handler(self._with_block(request))

    @override
    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelCallResult[Any]]]
    ) -> ModelCallResult[Any]:
        """Like `wrap_model_call`, for asynchronous agents."""
        return await handler(self._with_block(request))

    @override
    def after_agent(self, state: RecallState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Memorize what was said in this run."""
        run, messages = _Run.current(runtime), messages_of_run(state["messages"], self._roles)

        def memorize() -> None:
            memorize_messages(run.caller.memory(self.memory), messages, run.caller.thread, run.config)

        if messages:
            with log_failures("memorize", logger=events.LOGGER):
                self._call_in_thread(memorize)
        return None

    @override
    async def aafter_agent(self, state: RecallState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Like `after_agent`, without blocking the event loop."""
        run, messages = _Run.current(runtime), messages_of_run(state["messages"], self._roles)
        if messages:
            with log_failures("memorize", logger=events.LOGGER):
                async with asyncio.timeout(self._timeout):
                    memory = await run.caller.amemory(self.memory)
                    await amemorize_messages(memory, messages, run.caller.thread, run.config)
        return None

    def _new_question(self, state: RecallState) -> BaseMessage | None:
        """Return the user's last message if this middleware has not recalled for it yet."""
        question = last_question(state["messages"]) if self._recall_enabled else None
        recalled_for, _ = self._last_recall(state)
        return None if question is None or question.id == recalled_for else question

    def _last_recall(self, state: RecallState) -> tuple[str | None, str]:
        """Return the id of the message of the last recall, and the block."""
        return state.get("titans_recalls", {}).get(self.name, (None, ""))

    def _limits_for(self, state: RecallState) -> dict[str, Any]:
        return {**self._limits, "except_texts": texts_of(state["messages"])}

    def _wants_profile(self, state: RecallState, question: BaseMessage) -> bool:
        return self._wants_profiles and begins_conversation(state["messages"], question)

    def _block(self, state: RecallState, found: Recollection, profile: Recollection | None) -> str:
        """Return the profile and the recalls as text for the system message."""
        blocks = []
        if profile is not None:
            blocks.append(profile_beside(profile, texts_of(state["messages"])).as_text(self._template))
        if found.reaches(self._inject_when):
            blocks.append(found.as_text(self._template))
        return join_blocks(*blocks)

    def _update(self, state: RecallState, question: BaseMessage, block: str) -> dict[str, Any]:
        """Return the block for the next requests to the model. After a failure it is empty, and is not tried again."""
        return {"titans_recalls": {**state.get("titans_recalls", {}), self.name: (question.id, block)}}

    def _with_block(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        _, block = self._last_recall(cast("RecallState", request.state))
        return request.override(system_message=append_block(request.system_message, block)) if block else request

    def _call_in_thread(self, call: Callable[[], T]) -> T:
        """Return the result of a call in another thread.

        Raises:
            TimeoutError: The result is not there in time.
        """
        return _THREADS.submit(copy_context().run, call).result(self._timeout)
