"""A chat memory that memorizes every message and recalls what the conversation at hand no longer holds."""

from __future__ import annotations

import copy
from collections.abc import Callable  # noqa: TC003  # pydantic reads it
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self
from uuid import uuid4
from weakref import WeakValueDictionary

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.memory.types import BaseMemory
from llama_index.core.utils import get_tokenizer

from titans_core.errors import InvalidQueryError
from titans_core.integration import open_saved_memory, resolve_memory, saved_url
from titans_core.types import RECALL_TEMPLATE, check_template
from titans_llamaindex import events
from titans_llamaindex.messages import said_in, turn_of, unseen
from titans_llamaindex.owner import MISSING
from titans_llamaindex.request import Request
from titans_llamaindex.retriever import TitansRetriever

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llama_index.core.llms.llm import LLM

    from titans_core import Recollection, TitansMemory, Turn
    from titans_core.integration import MemorySource

_TOKEN_LIMIT = 3000  # what LlamaIndex takes where it does not know the model
_HISTORY_SHARE = 0.75  # of the model's context window; the rest is for prompts and the answer


class _Asked(NamedTuple):
    """What was recalled for a question, until something else is said.

    A question's own turn changes what the memory makes of it: its words are no longer new. Simple engines and agents
    put the question before they get the history, so it is asked before it is memorized. Agents get it several times.
    """

    query: str
    version: tuple[int, int]  # of the memory, with the question's own turn once that is in it
    found: Recollection


# By handle. A workflow that goes on with a used context saves the memory in it and loads it, in the same process: what
# it gets must be the memory that its caller has.
_LIVE: WeakValueDictionary[str, TitansChatMemory] = WeakValueDictionary()


class TitansChatMemory(BaseMemory):
    """The memory of a chat engine or agent: the conversation at hand, and recalls from all before it.

    `put` memorizes what the user and the assistant say. `get` returns the newest messages of this conversation
    within the token limit, with a block of recalls for the question; under the label `none` there is no block,
    under `low` the block says so. Messages of other roles, or without text, are kept in the conversation only.

    The block stands in the message with the question; for engines that add the question afterwards, in an exchange
    of its own at the end. There is never a second system message. What `get` returns is a copy: nothing that an
    engine does to it reaches the memory.

    One object is one conversation. Build it with `from_defaults`. An agent's context keeps the memory that it was
    first run with: to give it another, begin another context.

    A memory that fails is logged as a warning of the logger "titans_llamaindex" and told as a `TitansFailureEvent`;
    the conversation goes on without it.

    Attributes:
        session_id: names the conversation in the memory; not empty.
        token_limit: tokens of history and recalls together, >= 1. A longer last turn comes back whole.
        k: recalls at most, >= 1.
        min_confidence: "high" recalls only what can be trusted, "low" also what may be relevant, under that label.
        recall_token_limit: of the token limit, what recalls may take together, >= 1; None for a quarter.
        template: for one recall, see `Recollection.as_text`.
        roles: whose messages are memorized, of "user", "assistant" and "tool".
        raise_errors: whether a memory that fails raises; then a message that could not be memorized is not added.
        tokenizer_fn: text to tokens, for counting.
    """

    session_id: str = Field(default_factory=lambda: str(uuid4()), min_length=1)
    token_limit: int = Field(default=_TOKEN_LIMIT, ge=1)
    k: int = Field(default=5, ge=1)
    min_confidence: Literal["high", "low"] = "low"
    recall_token_limit: int | None = Field(default=None, ge=1)
    template: str = RECALL_TEMPLATE
    roles: list[Literal["user", "assistant", "tool"]] = Field(default=["user", "assistant"])
    raise_errors: bool = False
    tokenizer_fn: Callable[[str], list[Any]] = Field(default_factory=get_tokenizer, exclude=True)

    _memory: TitansMemory = PrivateAttr()
    # Changed by one list operation at a time, which is atomic: engines put streamed answers from a thread.
    _messages: list[ChatMessage] = PrivateAttr(default_factory=list)
    _asked: _Asked | None = PrivateAttr(default=None)
    _handle: str = PrivateAttr()

    def __init__(self, *, memory: MemorySource, user_id: str | None = None, **data: Any) -> None:
        super().__init__(**data)
        check_template(self.template)
        self._memory = resolve_memory(memory, user_id, missing=MISSING)
        self._live(str(uuid4()))

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex saves it under."""
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
            memory: a bank for many users, or the open memory of one; stays the caller's to close.
            user_id: whose conversation it is; a bank needs it, and no other user is ever taken instead.
            session_id: names this conversation; give the same one when it goes on later. None makes one.
            chat_history: messages to begin with; those new to the session are memorized.
            token_limit: see the class; None takes three quarters of the model's context, or 3000 tokens.
            llm: the model that will be given the history, for its context window.
            tokenizer_fn: see the class; None takes LlamaIndex's, which differs from most local models'.
            **options: the class's other attributes.

        Raises:
            TypeError: `memory` is missing, or there is no option of this name.
            InvalidTenantError: `user_id` is missing, or another than the memory's.
            ValueError: an option is out of range.
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
        made = cls(memory=memory, user_id=user_id, token_limit=token_limit, **options)
        if chat_history:
            made.set(list(chat_history))
        return made

    @property
    def memory(self) -> TitansMemory:
        """The long-term memory underneath: to forget, update or close it."""
        return self._memory

    def put(self, message: ChatMessage) -> None:
        """Memorize a message and add it to the conversation."""
        self.put_messages([message])

    async def aput(self, message: ChatMessage) -> None:
        """`put` off the event loop."""
        await self.aput_messages([message])

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """`put` for several messages; faster than one by one."""
        messages = copy.deepcopy(messages)
        with suppress(InvalidQueryError):  # what cannot be asked cannot be memorized either, which says so better
            self._found(self._with(messages))
        with events.log_failures("memorize", raise_errors=self.raise_errors):
            events.memorize(self._memory, self._turns(messages))
        self._add(messages)

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """`put_messages` off the event loop."""
        messages = copy.deepcopy(messages)
        with suppress(InvalidQueryError):
            await self._afound(self._with(messages))
        with events.log_failures("memorize", raise_errors=self.raise_errors):
            await events.amemorize(self._memory, self._turns(messages))
        self._add(messages)

    def get(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002  # LlamaIndex's name
        initial_token_count: int = 0,
        **_kwargs: Any,
    ) -> list[ChatMessage]:
        """The conversation within the token limit, with recalls. Changes nothing.

        Args:
            input: the question to recall for; None takes the last user message.
            initial_token_count: tokens of the limit that are taken already, by a system prompt, say.

        Returns:
            Copies, oldest first. What the returned history still holds is not recalled a second time.

        Raises:
            InvalidQueryError: `initial_token_count` exceeds the limit (a ValueError).
        """
        request = self._request(input, initial_token_count)
        return request.respond(self._trusted(self._found(request)))

    async def aget(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002  # LlamaIndex's name
        initial_token_count: int = 0,
        **_kwargs: Any,
    ) -> list[ChatMessage]:
        """`get` off the event loop."""
        request = self._request(input, initial_token_count)
        return request.respond(self._trusted(await self._afound(request)))

    def get_all(self) -> list[ChatMessage]:
        """The whole conversation, without recalls; copies."""
        return copy.deepcopy(list(self._messages))

    async def aget_all(self) -> list[ChatMessage]:
        """`get_all`; nothing in it waits."""
        return self.get_all()

    def set(self, messages: list[ChatMessage]) -> None:
        """Replace the conversation; what is new to the session is memorized."""
        messages = copy.deepcopy(messages)
        with events.log_failures("memorize", raise_errors=self.raise_errors):
            stored = self._memory.turns(session=self.session_id)
            events.memorize(self._memory, unseen(self._turns(messages), stored))
        self._replace(messages)

    async def aset(self, messages: list[ChatMessage]) -> None:
        """`set` off the event loop."""
        messages = copy.deepcopy(messages)
        with events.log_failures("memorize", raise_errors=self.raise_errors):
            stored = await self._memory.aturns(session=self.session_id)
            await events.amemorize(self._memory, unseen(self._turns(messages), stored))
        self._replace(messages)

    def reset(self) -> None:
        """Clear the conversation. What was memorized stays; `erase` and `memory.forget` delete it."""
        self._replace([])

    async def areset(self) -> None:
        """`reset`; nothing in it waits."""
        self.reset()

    def erase(self) -> int:
        """Clear the conversation, and delete all that this user ever said, in all sessions, from the disk.

        Returns:
            How many turns were deleted.
        """
        self._replace([])
        return self._memory.forget(except_texts=())

    async def aerase(self) -> int:
        """`erase` off the event loop."""
        self._replace([])
        return await self._memory.aforget(except_texts=())

    def as_retriever(self, **options: Any) -> TitansRetriever:
        """A retriever over the same memory.

        Args:
            **options: of `TitansRetriever`.
        """
        return TitansRetriever(self._memory, **options)

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Where the memory is, the limits and the conversation, as JSON values; not the tokenizer."""
        return {
            **super().to_dict(**kwargs),
            "url": self.url,
            "tenant": self._memory.tenant,
            "handle": self._handle,
            "chat_history": [message.model_dump(mode="json") for message in self._messages],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """Load what `to_dict` made.

        In the process that made it, over the same open memory, and the object itself if its conversation has not
        gone on since. Elsewhere the memory's file is opened, with the default reader; a PostgreSQL server's password
        is not in `data`, but found in `PGPASSWORD` or `~/.pgpass`.

        Args:
            data: left unchanged.
            kwargs: replace values of `data`; `memory=` is used instead of opening the file.

        Raises:
            StorageError: `data` does not say where the memory is, or it is gone: a file, or a memory at ":memory:",
                which ends with its process.
        """
        data = {**data, **kwargs}
        data.pop("class_name", None)
        url, tenant, handle = data.pop("url", None), data.pop("tenant", None), data.pop("handle", None)
        history = [ChatMessage.model_validate(message) for message in data.pop("chat_history", [])]
        live = _LIVE.get(handle or "")
        if live and (live.memory.closed or (live.url, live.memory.tenant) != (url, tenant)):
            live = None
        if isinstance(live, cls) and not kwargs and live.get_all() == history:
            return live
        if "memory" not in data:
            data["memory"] = live.memory if live else open_saved_memory(url, tenant)
        made = cls(**data)
        made._messages = history
        made._live(handle or made._handle)
        return made

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Workflows copy their state with all that is in it; this must stay the one memory.
        return self

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], Self], tuple[dict[str, Any]]]:
        # Pickling by value would drop the open file without a word.
        return type(self).from_dict, (self.to_dict(),)

    @property
    def url(self) -> str:
        """Where the memory is, from anywhere on this machine; of a server without the password."""
        return saved_url(self._memory.url)

    def _live(self, handle: str) -> None:
        """Be the one that is meant by a handle."""
        self._handle = handle
        _LIVE[handle] = self

    def _add(self, messages: list[ChatMessage]) -> None:
        self._messages.extend(messages)
        if asked := self._asked:  # read once: a stream's thread may put at the same time
            own = [said_in(message).strip() for message in messages] == [asked.query]
            self._asked = asked._replace(version=self._memory.version) if own else None

    def _replace(self, messages: list[ChatMessage]) -> None:
        self._messages[:] = messages
        self._asked = None

    def _with(self, messages: list[ChatMessage]) -> Request | None:
        """The request once these messages are there, if they are a question, which is going to be memorized."""
        if [message.role for message in messages] != [MessageRole.USER] or "user" not in self.roles:
            return None
        return self._request(None, 0, [*self._messages, *messages])

    def _found(self, request: Request | None) -> Recollection | None:
        if request is None or not request.query:
            return None
        if found := self._known(request):
            return found
        with events.log_failures("recall", raise_errors=self.raise_errors):
            found = events.recall(self._memory, request.query, k=self.k, except_texts=request.known)
            self._asked = _Asked(request.query, self._memory.version, found)
        return found

    async def _afound(self, request: Request | None) -> Recollection | None:
        if request is None or not request.query:
            return None
        if found := self._known(request):
            return found
        with events.log_failures("recall", raise_errors=self.raise_errors):
            found = await events.arecall(self._memory, request.query, k=self.k, except_texts=request.known)
            self._asked = _Asked(request.query, self._memory.version, found)
        return found

    def _known(self, request: Request) -> Recollection | None:
        """What was recalled for this question already."""
        asked = self._asked
        return asked.found if asked and asked[:2] == (request.query, self._memory.version) else None

    def _turns(self, messages: Iterable[ChatMessage]) -> list[Turn]:
        return [turn for message in messages if (turn := turn_of(message, self.session_id, self.roles))]

    def _trusted(self, found: Recollection | None) -> Recollection | None:
        return found if found and found.reaches(self.min_confidence) else None

    def _request(
        self, question: str | ChatMessage | None, initial_token_count: int, history: list[ChatMessage] | None = None
    ) -> Request:
        room = self.token_limit - initial_token_count
        if room < 0:
            raise InvalidQueryError(
                f"Initial token count exceeds token limit ({initial_token_count} > {self.token_limit}): "
                "shorten the system prompt or raise `token_limit`."
            )
        history = list(self._messages) if history is None else history
        return Request(history, question, room, self.tokenizer_fn, self.recall_token_limit, self.template)
