"""A chat memory that memorizes every message and recalls what the conversation at hand no longer holds."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import titans_core
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.memory.types import BaseMemory
from llama_index.core.utils import get_tokenizer
from titans_core import Confidence, Recollection, Turn

from titans_llamaindex.messages import insert, quote, turn_of, window, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llama_index.core.llms.llm import LLM

_TOKEN_LIMIT = 3000  # what LlamaIndex takes where it does not know the model
_HISTORY_SHARE = 0.75  # of the model's context window; the rest is for prompts and the answer
_RECALL_SHARE = 0.25  # of the token limit, at most


@dataclass(frozen=True, slots=True)
class _Request:
    """One `get`: the history as it was then, and what is asked of the memory."""

    history: list[ChatMessage]
    kept: list[ChatMessage]  # the history, if recalls come in front of it
    room: int  # tokens for everything
    query: str
    asks_next: bool

    @property
    def known(self) -> set[str]:
        return {self.query, *((message.content or "").strip() for message in self.kept)}


class TitansChatMemory(BaseMemory):
    """The memory of a chat engine or agent: the conversation at hand, and recalls from everything said before.

    `put` memorizes what the user and the assistant say; `get` returns the newest messages of this conversation
    within the token limit, with a block of recalls for the question. Other messages (system, tools, no text) are
    kept in the conversation only. Recalls under the label `none` are left out, under `low` they say so.

    The block stands in the user message with the question; or, for engines that add the question afterwards, in an
    exchange of its own at the end. There is never a second system message. What `get` returns is a copy: nothing
    that an engine does to it reaches the memory.

    One object is one conversation. Build it with `from_defaults`.

    Attributes:
        session_id: names the conversation in the memory; a new one each time unless given.
        token_limit: tokens of history and recalls together, >= 1. A last turn that is longer comes back whole.
        k: recalls at most, >= 1; they take a quarter of the token limit at most.
        tokenizer_fn: text to tokens, for counting. Pass your model's own where the count must be exact.
    """

    session_id: str = Field(default_factory=lambda: str(uuid4()), min_length=1)
    token_limit: int = Field(default=_TOKEN_LIMIT, ge=1)
    k: int = Field(default=5, ge=1)
    tokenizer_fn: Callable[[str], list] = Field(default_factory=get_tokenizer, exclude=True)

    _memory: titans_core.TitansMemory = PrivateAttr()
    # Only ever changed by one list operation at a time, which are atomic: engines stream in threads.
    _messages: list[ChatMessage] = PrivateAttr(default_factory=list)

    def __init__(self, *, memory: titans_core.TitansMemory, **data: Any) -> None:
        super().__init__(**data)
        self._memory = memory

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex saves it."""
        return "TitansChatMemory"

    @classmethod
    def from_defaults(  # type: ignore[override]  # a misspelt option is an error, not a silent **kwargs
        cls,
        memory: titans_core.TitansMemory | None = None,
        *,
        session_id: str | None = None,
        chat_history: Sequence[ChatMessage] | None = None,
        token_limit: int | None = None,
        llm: LLM | None = None,
        tokenizer_fn: Callable[[str], list] | None = None,
        k: int = 5,
    ) -> Self:
        """Build a chat memory over an open memory.

        Args:
            memory: an open memory of one tenant; stays the caller's to close.
            session_id: a name for this conversation, the same one when it goes on in another process; None makes one.
            chat_history: messages to begin with. Those that the session has not memorized yet are memorized.
            token_limit: see the class; None takes three quarters of the model's context window, or 3000 tokens.
            llm: the model that will be given the history; only for its context window.
            tokenizer_fn: see the class; None takes LlamaIndex's global tokenizer.
            k: see the class.

        Raises:
            TypeError: `memory` is missing.
        """
        if memory is None:
            raise TypeError(
                f"{cls.__name__} needs a memory. Build it with from_defaults(memory=TitansMemory.open(path, tenant=...)) "
                "and give it to the engine as `memory=`, not as `memory_cls=`."
            )
        if token_limit is None:
            token_limit = int(llm.metadata.context_window * _HISTORY_SHARE) if llm else _TOKEN_LIMIT
        options: dict[str, Any] = {"session_id": session_id, "tokenizer_fn": tokenizer_fn}
        given = {name: value for name, value in options.items() if value is not None}
        made = cls(memory=memory, token_limit=token_limit, k=k, **given)
        if chat_history:
            made.set(list(chat_history))
        return made

    @property
    def memory(self) -> titans_core.TitansMemory:
        """The long-term memory underneath: to forget, update or close it."""
        return self._memory

    def put(self, message: ChatMessage) -> None:
        """Memorize a message and add it to the conversation; on an error neither has happened."""
        self.put_messages([message])

    async def aput(self, message: ChatMessage) -> None:
        """The same as `put`, off the event loop."""
        await self.aput_messages([message])

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """`put` for several messages, in order; faster than one by one."""
        messages = copy.deepcopy(messages)
        if turns := self._turns(messages):
            self._memory.memorize_many(turns)
        self._messages.extend(messages)

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """The same as `put_messages`, off the event loop."""
        messages = copy.deepcopy(messages)
        if turns := self._turns(messages):
            await self._memory.amemorize_many(turns)
        self._messages.extend(messages)

    def get(  # type: ignore[override]  # LlamaIndex's own memories take messages as well
        self,
        input: str | ChatMessage | None = None,  # noqa: A002  # LlamaIndex's name
        initial_token_count: int = 0,
        **_kwargs: Any,
    ) -> list[ChatMessage]:
        """The conversation within the token limit, with recalls. Changes nothing.

        Args:
            input: the question to recall for; None takes the last user message.
            initial_token_count: tokens of the limit that are already taken, by a system prompt, say.

        Returns:
            Copies, oldest first. Nothing that the returned history still holds is recalled a second time.

        Raises:
            ValueError: `initial_token_count` exceeds the limit.
        """
        request = self._request(input, initial_token_count)
        found = self._memory.recall(request.query, k=self._wanted(request)) if request.query else None
        return self._respond(request, found)

    async def aget(  # type: ignore[override]  # as `get`
        self,
        input: str | ChatMessage | None = None,  # noqa: A002  # LlamaIndex's name
        initial_token_count: int = 0,
        **_kwargs: Any,
    ) -> list[ChatMessage]:
        """The same as `get`, off the event loop."""
        request = self._request(input, initial_token_count)
        found = await self._memory.arecall(request.query, k=self._wanted(request)) if request.query else None
        return self._respond(request, found)

    def get_all(self) -> list[ChatMessage]:
        """The whole conversation, without recalls; copies."""
        return copy.deepcopy(list(self._messages))

    async def aget_all(self) -> list[ChatMessage]:
        """The same as `get_all`; nothing here waits."""
        return self.get_all()

    def set(self, messages: list[ChatMessage]) -> None:
        """Replace the conversation. Only what this session has not memorized yet is memorized."""
        messages = copy.deepcopy(messages)
        if turns := self._turns(messages):
            self._memory.memorize_many(_unseen(turns, self._memory.turns(session=self.session_id)))
        self._messages[:] = messages

    async def aset(self, messages: list[ChatMessage]) -> None:
        """The same as `set`, off the event loop."""
        messages = copy.deepcopy(messages)
        if turns := self._turns(messages):
            stored = await self._memory.aturns(session=self.session_id)
            await self._memory.amemorize_many(_unseen(turns, stored))
        self._messages[:] = messages

    def reset(self) -> None:
        """Clear the conversation. What was memorized stays; `memory.forget` erases it."""
        self._messages.clear()

    async def areset(self) -> None:
        """The same as `reset`; nothing here waits."""
        self.reset()

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """Where the memory is, the limits and the conversation, as JSON values. A tokenizer is not saved.

        Raises:
            ValueError: the memory is at ":memory:" and would be empty when it is loaded.
        """
        if self._memory.url == ":memory:":
            raise ValueError(
                'A memory at ":memory:" ends with its process and cannot be saved. Open it at a path.'
            )
        return {
            **super().to_dict(**kwargs),
            "url": self._memory.url,
            "tenant": self._memory.tenant,
            "chat_history": [message.model_dump(mode="json") for message in self._messages],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        """Load what `to_dict` made, reopening the memory from its file.

        Args:
            data: left unchanged.
            kwargs: replace values of it; `memory=` takes an open memory instead of opening one.

        Raises:
            ValueError: it was not made by `to_dict`.
            FileNotFoundError: the memory's file is gone.
        """
        data = {**data, **kwargs}
        data.pop("class_name", None)
        url, tenant = data.pop("url", None), data.pop("tenant", None)
        history = [ChatMessage.model_validate(message) for message in data.pop("chat_history", [])]
        if not data.get("memory"):
            if not url or not tenant:
                raise ValueError(
                    "This does not say where the memory is. Save with `to_dict`, or pass `memory=`."
                )
            if "://" not in url and not Path(url).exists():
                raise FileNotFoundError(f"The memory {url!r} is gone. Restore the file, or pass `memory=`.")
            data["memory"] = titans_core.TitansMemory.open(url, tenant=tenant)
        made = cls(**data)
        made._messages = history
        return made

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # A workflow copies its state with all that is in it; a copied memory would be a second, diverging one.
        return self

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], Self], tuple[dict[str, Any]]]:
        # Pickling by value would drop the open file without a word.
        return type(self).from_dict, (self.to_dict(),)

    def _turns(self, messages: Iterable[ChatMessage]) -> list[Turn]:
        return [turn for message in messages if (turn := turn_of(message, self.session_id))]

    def _tokens(self, message: ChatMessage) -> int:
        return len(self.tokenizer_fn(words(message)))

    def _request(self, question: str | ChatMessage | None, initial_token_count: int) -> _Request:
        room = self.token_limit - initial_token_count
        if room < 0:
            raise ValueError(
                f"Initial token count exceeds token limit: {initial_token_count} > {self.token_limit}. "
                "Shorten the system prompt or raise `token_limit`."
            )
        history = list(self._messages)
        kept = window(history, room - int(room * _RECALL_SHARE), self._tokens)
        asks_next = question is not None
        if question is None:
            question = next(
                (message for message in reversed(history) if message.role == MessageRole.USER), ""
            )
        query = question if isinstance(question, str) else question.content or ""
        return _Request(history, kept, room, query.strip(), asks_next)

    def _wanted(self, request: _Request) -> int:
        # The question itself and the rest of the history are the best matches, and are taken out again.
        return self.k + len(request.known)

    def _respond(self, request: _Request, found: Recollection | None) -> list[ChatMessage]:
        block = self._recalled(found, request) if found else ""
        if not block:
            return copy.deepcopy(window(request.history, request.room, self._tokens))
        return insert(copy.deepcopy(request.kept), block, asks_next=request.asks_next)

    def _recalled(self, found: Recollection, request: _Request) -> str:
        known = request.known
        new = [recall for recall in found if recall.text.strip() not in known]
        if not new:
            return ""
        # The label was for the question's own turn; without the history it is for the first that is left.
        label = found.confidence
        if len(new) < len(found):
            label = found.strategy.label([recall.similarity for recall in new])
        if label is Confidence.NONE:
            return ""
        budget = int(request.room * _RECALL_SHARE)
        return quote(new[: self.k], label, lambda block: len(self.tokenizer_fn(block)) <= budget)


def _unseen(turns: Iterable[Turn], stored: Iterable[Turn]) -> list[Turn]:
    seen = Counter((turn.speaker, turn.text) for turn in stored)
    new = []
    for turn in turns:
        said = (turn.speaker, turn.text)
        if seen[said]:
            seen[said] -= 1
        else:
            new.append(turn)
    return new
