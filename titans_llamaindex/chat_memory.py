"""A chat memory that memorizes every message, and recalls what the present conversation does not contain."""

from __future__ import annotations

import copy
from collections.abc import Callable  # noqa: TC003  # pydantic reads the fields' types at run time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, Self
from uuid import uuid4

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.utils import get_tokenizer

from titans_core.errors import InvalidQueryError
from titans_core.integration import PROFILE, check_zone
from titans_core.types import RECALL_TEMPLATE, check_template
from titans_llamaindex import events
from titans_llamaindex.messages import drop_stored, text_of, to_turn
from titans_llamaindex.owner import Owner
from titans_llamaindex.request import CachedRecall, Request
from titans_llamaindex.retriever import TitansRetriever
from titans_llamaindex.serialization import SerializableChatMemory

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager

    from llama_index.core.llms.llm import LLM

    from titans_core import Recollection, Turn
    from titans_core.integration import MemorySource

_TOKEN_LIMIT = 3000  # LlamaIndex's limit for an unknown model
_HISTORY_SHARE = 0.75  # of the model's context window; the rest is for prompts and the answer


class TitansChatMemory(SerializableChatMemory):
    """The memory of a chat engine or agent: the present conversation, and recalls from all earlier conversations.

    `put` memorizes the messages of user and assistant. `get` returns the newest messages of this conversation within
    the token limit, with a block of recalls for the question. Under the label `none` there is no block; under `low`
    the block says so. Messages of other roles and messages without text stay in the conversation, but are not
    memorized.

    With `profile_tokens`, a block of what the user has told about as a whole stands before the recalls, as long as no
    answer stands before the question: then little was asked yet that could be recalled for.

    The block stands in the message with the question. For engines that add the question afterwards, the block is an
    exchange of its own at the end. There is never a second system message. `get` returns copies: changes to them do
    not reach the memory.

    One object is one conversation. Build it with `from_defaults`. The context of an agent keeps the memory of its
    first run: to use another memory, begin another context.

    If the memory fails, the logger "titans_llamaindex" logs a warning, a `TitansFailureEvent` is sent, and the
    conversation continues without the memory.

    Attributes:
        session_id: Id of the conversation in the memory; not empty.
        token_limit: Maximum number of tokens of history, profile and recalls together, >= 1. A longer last turn is
            returned whole.
        k: Maximum number of recalls, >= 1.
        min_confidence: "high" recalls only under that label; "likely" also recalls what probably answers with one of
            the first three; "low" also recalls what may be relevant, under that label.
        recall_token_limit: Maximum number of tokens of the recalls, within `token_limit`, >= 1; None for a quarter.
        profile_tokens: Maximum number of tokens of the profile, within `token_limit`, >= 1; None for no profile. A
            profile has the label `low`, also if `min_confidence` is "high".
        timezone: Time zone of the user as an IANA name, such as "Europe/Berlin", for the days in the block and in
            questions; None for this machine's.
        template: Template for one recall, see `Recollection.as_text`.
        roles: Roles whose messages are memorized, of "user", "assistant" and "tool".
        raise_errors: Whether an error of the memory is raised. Then a message that cannot be memorized is not added.
        tokenizer_fn: Splits a text into tokens, which are counted.

    Example:
        ```python
        chat_memory = TitansChatMemory.from_defaults(memory=MemoryBank("memory.db"), user_id="alice")
        SimpleChatEngine.from_defaults(llm=llm, memory=chat_memory).chat("I am allergic to nuts.")
        ```
    """

    session_id: str = Field(default_factory=lambda: str(uuid4()), min_length=1)
    token_limit: int = Field(default=_TOKEN_LIMIT, ge=1)
    k: int = Field(default=5, ge=1)
    min_confidence: Literal["high", "likely", "low"] = "low"
    recall_token_limit: int | None = Field(default=None, ge=1)
    profile_tokens: int | None = Field(default=None, ge=1)
    timezone: str | None = None
    template: str = RECALL_TEMPLATE
    roles: list[Literal["user", "assistant", "tool"]] = Field(default=["user", "assistant"])
    raise_errors: bool = False
    tokenizer_fn: Callable[[str], list[Any]] = Field(default_factory=get_tokenizer, exclude=True)

    _cache: CachedRecall | None = PrivateAttr(default=None)

    def __init__(self, *, memory: MemorySource, user_id: str | None = None, **data: Any) -> None:
        """Make an empty conversation. `from_defaults` can also begin with a history and fit a model's context.

        Args:
            memory: Bank for many users, or the open memory of one user. The caller closes it.
            user_id: Id of the user; required with a bank.
            **data: Attributes of the class.

        Raises:
            InvalidTenantError: The user is missing, or the memory belongs to another user.
            ValueError: An attribute is out of range, or there is no such time zone.
            KeyError: `template` has an unknown field.
        """
        super().__init__(**data)
        check_template(self.template)
        check_zone(self.timezone)
        self._memory = Owner(memory, user_id).memory()
        self._register(self._handle)

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex saves the class."""
        return "TitansChatMemory"

    @classmethod
    def from_defaults(
        cls,
        memory: MemorySource | None = None,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        chat_history: Sequence[ChatMessage] | None = None,
        token_limit: int | None = None,
        llm: LLM | None = None,
        tokenizer_fn: Callable[[str], list[Any]] | None = None,
        **options: Any,
    ) -> Self:
        """Build a chat memory over an open memory.

        Args:
            memory: Bank for many users, or the open memory of one user. The caller closes it.
            user_id: Id of the user; required with a bank. No other user's memory is ever opened instead.
            session_id: Id of this conversation. Pass the same id to continue it later. None for a new id.
            chat_history: Messages with which the conversation begins; messages that are new to the session are
                memorized.
            token_limit: Maximum number of tokens of history and recalls together. None for three quarters of the
                context window of `llm`, or 3000 tokens without `llm`.
            llm: The model that will receive the history.
            tokenizer_fn: Splits a text into tokens, which are counted. None for LlamaIndex's tokenizer, which differs
                from the tokenizer of most local models.
            **options: Further attributes of the class.

        Raises:
            TypeError: `memory` is missing, or there is no option with this name.
            InvalidTenantError: `user_id` is missing, or the memory belongs to another user.
            ValueError: An option is out of range.
        """
        if memory is None:
            raise TypeError(
                f"{cls.__name__} needs a memory: pass from_defaults(memory=TitansMemory.open(...)), and "
                "give an engine the result as `memory=`, not the class as `memory_cls=`."
            )
        if token_limit is None:
            token_limit = int(llm.metadata.context_window * _HISTORY_SHARE) if llm else _TOKEN_LIMIT
        if unknown := set(options) - set(cls.model_fields):
            raise TypeError(f"{cls.__name__} has no option {', '.join(sorted(unknown))}.")
        options |= {"session_id": session_id} if session_id is not None else {}
        options |= {"tokenizer_fn": tokenizer_fn} if tokenizer_fn is not None else {}
        chat_memory = cls(memory=memory, user_id=user_id, token_limit=token_limit, **options)
        if chat_history:
            chat_memory.set(list(chat_history))
        return chat_memory

    def put(self, message: ChatMessage) -> None:
        """Memorize a message and add it to the conversation.

        Args:
            message: Message of any role; copied.
        """
        self.put_messages([message])

    async def aput(self, message: ChatMessage) -> None:
        """Like `put`, without blocking the event loop."""
        await self.aput_messages([message])

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """Memorize several messages and add them to the conversation; faster than `put` for each message.

        Args:
            messages: Messages of any role, oldest first; copied.
        """
        messages = copy.deepcopy(messages)
        if request := self._request_of_question(messages):
            with suppress(InvalidQueryError):  # then the message cannot be memorized either, and that error is clearer
                self._recall(request)
        with self._report_failures("memorize"):
            events.memorize(self._memory, self._to_turns(messages))
        self._add(messages)

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Like `put_messages`, without blocking the event loop."""
        messages = copy.deepcopy(messages)
        if request := self._request_of_question(messages):
            with suppress(InvalidQueryError):
                await self._arecall(request)
        with self._report_failures("memorize"):
            await events.amemorize(self._memory, self._to_turns(messages))
        self._add(messages)

    def get(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002  # LlamaIndex's name
        initial_token_count: int = 0,
        **_kwargs: Any,
    ) -> list[ChatMessage]:
        """Return the conversation within the token limit, with recalls. The memory learns nothing from it.

        Args:
            input: The question to recall for; None for the last user message.
            initial_token_count: Number of tokens that are already used, for example by a system prompt, >= 0.

        Returns:
            Copies of the messages, oldest first. A text that they contain is not recalled as well.

        Raises:
            InvalidQueryError: `initial_token_count` exceeds the limit. The error is also a ValueError.
        """
        request = self._request(input, initial_token_count)
        return self._build_messages(request, self._recall(request))

    async def aget(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002  # LlamaIndex's name
        initial_token_count: int = 0,
        **_kwargs: Any,
    ) -> list[ChatMessage]:
        """Like `get`, without blocking the event loop."""
        request = self._request(input, initial_token_count)
        return self._build_messages(request, await self._arecall(request))

    def get_all(self) -> list[ChatMessage]:
        """Return copies of all messages of the conversation, oldest first, without recalls."""
        return copy.deepcopy(list(self._messages))

    async def aget_all(self) -> list[ChatMessage]:
        """Like `get_all`, which never blocks."""
        return self.get_all()

    def set(self, messages: list[ChatMessage]) -> None:
        """Replace the conversation, and memorize the messages that are new to the session.

        Args:
            messages: The new conversation, oldest first; copied.
        """
        messages = copy.deepcopy(messages)
        with self._report_failures("memorize"):
            stored = self._memory.turns(session=self.session_id)
            events.memorize(self._memory, drop_stored(self._to_turns(messages), stored))
        self._replace(messages)

    async def aset(self, messages: list[ChatMessage]) -> None:
        """Like `set`, without blocking the event loop."""
        messages = copy.deepcopy(messages)
        with self._report_failures("memorize"):
            stored = await self._memory.aturns(session=self.session_id)
            await events.amemorize(self._memory, drop_stored(self._to_turns(messages), stored))
        self._replace(messages)

    def reset(self) -> None:
        """Clear the conversation. Memorized turns stay; `erase` and `memory.forget` delete them."""
        self._replace([])

    async def areset(self) -> None:
        """Like `reset`, which never blocks."""
        self.reset()

    def erase(self) -> int:
        """Clear the conversation, and delete all turns of this user in all sessions from the disk.

        Returns:
            The number of deleted turns.
        """
        self._replace([])
        return self._memory.forget(except_texts=())

    async def aerase(self) -> int:
        """Like `erase`, without blocking the event loop."""
        self._replace([])
        return await self._memory.aforget(except_texts=())

    def as_retriever(self, **options: Any) -> TitansRetriever:
        """Make a retriever over the same memory.

        Args:
            **options: Options of `TitansRetriever`.
        """
        return TitansRetriever(self._memory, **options)

    def _add(self, messages: list[ChatMessage]) -> None:
        self._messages.extend(messages)
        if cache := self._cache:  # read once, because the thread of a stream may replace it at the same time
            is_cached_question = [text_of(message).strip() for message in messages] == [cache.query]
            self._cache = cache._replace(version=self._memory.version) if is_cached_question else None

    def _replace(self, messages: list[ChatMessage]) -> None:
        self._messages[:] = messages
        self._cache = None

    def _recall(self, request: Request) -> CachedRecall | None:
        cached = self._cached_recall(request)
        if cached or not request.query:
            return cached
        with self._report_failures("recall"):
            found, profile = events.recall(self._memory, request.query, **self._recall_limits(request)), None
            if request.wants_profile:
                with self._report_failures(PROFILE):
                    profile = self._memory.profile(timezone=self.timezone)
            return self._keep(request, found, profile)
        return None

    async def _arecall(self, request: Request) -> CachedRecall | None:
        cached = self._cached_recall(request)
        if cached or not request.query:
            return cached
        with self._report_failures("recall"):
            found, profile = await events.arecall(self._memory, request.query, **self._recall_limits(request)), None
            if request.wants_profile:
                with self._report_failures(PROFILE):
                    profile = await self._memory.aprofile(timezone=self.timezone)
            return self._keep(request, found, profile)
        return None

    def _keep(self, request: Request, found: Recollection, profile: Recollection | None) -> CachedRecall:
        self._cache = recalled = CachedRecall(request.query, self._memory.version, found, profile)
        return recalled

    def _cached_recall(self, request: Request) -> CachedRecall | None:
        cache = self._cache
        return cache if cache and cache[:2] == (request.query, self._memory.version) else None

    def _recall_limits(self, request: Request) -> dict[str, Any]:
        return {"k": self.k, "context": "reply", "timezone": self.timezone, "except_texts": request.excluded_texts}

    def _report_failures(self, what: str) -> AbstractContextManager[None]:
        return events.report_failures(what, raise_errors=self.raise_errors)

    def _to_turns(self, messages: Iterable[ChatMessage]) -> list[Turn]:
        return [turn for message in messages if (turn := to_turn(message, self.session_id, self.roles))]

    def _build_messages(self, request: Request, recalled: CachedRecall | None) -> list[ChatMessage]:
        if recalled is None:
            return request.build_messages(None, None)
        found = recalled.found if recalled.found.reaches(self.min_confidence) else None
        return request.build_messages(found, recalled.profile)

    def _request_of_question(self, messages: list[ChatMessage]) -> Request | None:
        """Return the request that new messages lead to, if they are a question that will be memorized."""
        if [message.role for message in messages] != [MessageRole.USER] or "user" not in self.roles:
            return None
        return self._request(None, 0, [*self._messages, *messages])

    def _request(
        self, question: str | ChatMessage | None, initial_token_count: int, history: list[ChatMessage] | None = None
    ) -> Request:
        token_limit = self.token_limit - initial_token_count
        if token_limit < 0:
            raise InvalidQueryError(
                f"Initial token count exceeds token limit ({initial_token_count} > {self.token_limit}): "
                "shorten the system prompt or raise `token_limit`."
            )
        history = list(self._messages) if history is None else history
        return Request(
            history=history,
            question=question,
            token_limit=token_limit,
            tokenizer=self.tokenizer_fn,
            recall_token_limit=self.recall_token_limit,
            profile_token_limit=self.profile_tokens,
            template=self.template,
        )
