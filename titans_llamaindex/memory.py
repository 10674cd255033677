"""A chat memory that memorizes every message and recalls what the conversation at hand no longer holds."""

from __future__ import annotations

import copy
from collections.abc import Callable  # noqa: TC003  # pydantic reads it
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.memory.types import BaseMemory
from llama_index.core.utils import get_tokenizer

import titans_core
from titans_core.errors import InvalidQueryError, StorageError, UnsupportedUrlError
from titans_llamaindex.messages import turn_of, unseen
from titans_llamaindex.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llama_index.core.llms.llm import LLM

    from titans_core import TitansMemory, Turn

_TOKEN_LIMIT = 3000  # what LlamaIndex takes where it does not know the model
_HISTORY_SHARE = 0.75  # of the model's context window; the rest is for prompts and the answer


class TitansChatMemory(BaseMemory):
    """The memory of a chat engine or agent: the conversation at hand, and recalls from all before it.

    `put` memorizes what the user and the assistant say. `get` returns the newest messages of this conversation
    within the token limit, with a block of recalls for the question; under the label `none` there is no block,
    under `low` the block says so. Messages of other roles, or without text, are kept in the conversation only.

    The block stands in the message with the question; for engines that add the question afterwards, in an exchange
    of its own at the end. There is never a second system message. What `get` returns is a copy: nothing that an
    engine does to it reaches the memory.

    One object is one conversation. Build it with `from_defaults`.

    Attributes:
        session_id: names the conversation in the memory; not empty.
        token_limit: tokens of history and recalls together, >= 1. A longer last turn comes back whole.
        k: recalls at most, >= 1; together they take at most a quarter of the token limit.
        tokenizer_fn: text to tokens, for counting.
    """

    session_id: str = Field(default_factory=lambda: str(uuid4()), min_length=1)
    token_limit: int = Field(default=_TOKEN_LIMIT, ge=1)
    k: int = Field(default=5, ge=1)
    tokenizer_fn: Callable[[str], list[Any]] = Field(default_factory=get_tokenizer, exclude=True)

    _memory: TitansMemory = PrivateAttr()
    # Changed by one list operation at a time, which is atomic: engines put streamed answers from a thread.
    _messages: list[ChatMessage] = PrivateAttr(default_factory=list)

    def __init__(self, *, memory: TitansMemory, **data: Any) -> None:
        super().__init__(**data)
        self._memory = memory

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex saves it under."""
        return "TitansChatMemory"

    @classmethod
    def from_defaults(  # type: ignore[override]  # a misspelt option is an error, not lost in **kwargs
        cls,
        memory: TitansMemory | None = None,
        *,
        session_id: str | None = None,
        chat_history: Sequence[ChatMessage] | None = None,
        token_limit: int | None = None,
        llm: LLM | None = None,
        tokenizer_fn: Callable[[str], list[Any]] | None = None,
        k: int = 5,
    ) -> Self:
        """Build a chat memory over an open memory.

        Args:
            memory: of one tenant; stays the caller's to close.
            session_id: names this conversation; give the same one when it goes on later. None makes one.
            chat_history: messages to begin with; those new to the session are memorized.
            token_limit: see the class; None takes three quarters of the model's context, or 3000 tokens.
            llm: the model that will be given the history, for its context window.
            tokenizer_fn: see the class; None takes LlamaIndex's, which differs from most local models'.
            k: see the class.

        Raises:
            TypeError: `memory` is missing.
        """
        if memory is None:
            raise TypeError(
                f"{cls.__name__} needs a memory: pass from_defaults(memory=TitansMemory.open(...)), and "
                "give an engine the result as `memory=`, not the class as `memory_cls=`."
            )
        if token_limit is None:
            token_limit = int(llm.metadata.context_window * _HISTORY_SHARE) if llm else _TOKEN_LIMIT
        options = {"session_id": session_id, "tokenizer_fn": tokenizer_fn}
        given = {name: value for name, value in options.items() if value is not None}
        made = cls(memory=memory, token_limit=token_limit, k=k, **given)
        if chat_history:
            made.set(list(chat_history))
        return made

    @property
    def memory(self) -> TitansMemory:
        """The long-term memory underneath: to forget, update or close it."""
        return self._memory

    def put(self, message: ChatMessage) -> None:
        """Memorize a message and add it to the conversation; on an error neither has happened."""
        self.put_messages([message])

    async def aput(self, message: ChatMessage) -> None:
        """`put` off the event loop."""
        await self.aput_messages([message])

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """`put` for several messages; faster than one by one."""
        messages = copy.deepcopy(messages)
        self._memory.memorize_many(self._turns(messages))
        self._messages.extend(messages)

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """`put_messages` off the event loop."""
        messages = copy.deepcopy(messages)
        await self._memory.amemorize_many(self._turns(messages))
        self._messages.extend(messages)

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
        if not request.query:
            return request.respond(None)
        return request.respond(self._memory.recall(request.query, k=self.k, except_texts=request.known))

    async def aget(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002  # LlamaIndex's name
        initial_token_count: int = 0,
        **_kwargs: Any,
    ) -> list[ChatMessage]:
        """`get` off the event loop."""
        request = self._request(input, initial_token_count)
        if not request.query:
            return request.respond(None)
        return request.respond(await self._memory.arecall(request.query, k=self.k, except_texts=request.known))

    def get_all(self) -> list[ChatMessage]:
        """The whole conversation, without recalls; copies."""
        return copy.deepcopy(list(self._messages))

    async def aget_all(self) -> list[ChatMessage]:
        """`get_all`; nothing in it waits."""
        return self.get_all()

    def set(self, messages: list[ChatMessage]) -> None:
        """Replace the conversation; what is new to the session is memorized."""
        messages = copy.deepcopy(messages)
        stored = self._memory.turns(session=self.session_id)
        self._memory.memorize_many(unseen(self._turns(messages), stored))
        self._messages[:] = messages

    async def aset(self, messages: list[ChatMessage]) -> None:
        """`set` off the event loop."""
        messages = copy.deepcopy(messages)
        stored = await self._memory.aturns(session=self.session_id)
        await self._memory.amemorize_many(unseen(self._turns(messages), stored))
        self._messages[:] = messages

    def reset(self) -> None:
        """Clear the conversation. What was memorized stays; `memory.forget` erases it."""
        self._messages.clear()

    async def areset(self) -> None:
        """`reset`; nothing in it waits."""
        self.reset()

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Where the memory is, the limits and the conversation, as JSON values; not the tokenizer.

        Raises:
            UnsupportedUrlError: a memory at ":memory:" would be empty when it is loaded.
        """
        if self._memory.url == ":memory:":
            raise UnsupportedUrlError('A memory at ":memory:" ends with its process; to save it, open a path.')
        return {
            **super().to_dict(**kwargs),
            "url": str(Path(self._memory.url).absolute()),
            "tenant": self._memory.tenant,
            "chat_history": [message.model_dump(mode="json") for message in self._messages],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """Load what `to_dict` made; opens the memory's file, with the default reader.

        Args:
            data: left unchanged.
            kwargs: replace values of `data`; `memory=` is used instead of opening the file.

        Raises:
            StorageError: `data` does not say where the memory is, or its file is gone.
        """
        data = {**data, **kwargs}
        data.pop("class_name", None)
        url, tenant = data.pop("url", None), data.pop("tenant", None)
        history = [ChatMessage.model_validate(message) for message in data.pop("chat_history", [])]
        if "memory" not in data:
            # Opening would begin an empty memory without a word.
            if not url or not Path(url).exists():
                raise StorageError(f"No memory is at {url!r}: restore its file, or pass `memory=`.")
            data["memory"] = titans_core.TitansMemory.open(url, tenant=tenant)
        made = cls(**data)
        made._messages = history
        return made

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Workflows copy their state with all that is in it; this must stay the one memory.
        return self

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], Self], tuple[dict[str, Any]]]:
        # Pickling by value would drop the open file without a word.
        return type(self).from_dict, (self.to_dict(),)

    def _turns(self, messages: Iterable[ChatMessage]) -> list[Turn]:
        return [turn for message in messages if (turn := turn_of(message, self.session_id))]

    def _request(self, question: str | ChatMessage | None, initial_token_count: int) -> Request:
        room = self.token_limit - initial_token_count
        if room < 0:
            raise InvalidQueryError(
                f"Initial token count exceeds token limit ({initial_token_count} > {self.token_limit}): "
                "shorten the system prompt or raise `token_limit`."
            )
        return Request(list(self._messages), question, room, self.tokenizer_fn)
