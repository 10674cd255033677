"""A memory as a block of LlamaIndex's `Memory`, and a `Memory` that lets it learn every turn."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003  # pydantic reads it
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.memory import BaseMemoryBlock, Memory
from llama_index.core.utils import get_tokenizer

from titans_llamaindex import events
from titans_llamaindex.messages import said_in, turn_of, unseen
from titans_llamaindex.owner import Owner

if TYPE_CHECKING:
    from titans_core import Turn
    from titans_core.integration import MemorySource

_END = "\n</memory>"  # of a block of recalls
_NEXT = "\n- "  # before each recall in it; lines of a stored text are indented


class TitansMemoryBlock(BaseMemoryBlock[str]):
    """A block that recalls for the user's last message, and memorizes what leaves the short-term memory.

    Usage:

    ```python
    block = TitansMemoryBlock(MemoryBank("memory.db"), user_id="alice")
    memory = LearningMemory.from_defaults(session_id="monday", memory_blocks=[block])
    SimpleChatEngine.from_defaults(llm=llm, memory=memory)
    ```

    What it gives is a labelled block of recalls, without what the conversation at hand holds, or "" if nothing
    relevant is known. What it is given it memorizes under the `Memory`'s session, unless the session has it already.

    `Memory` gives its blocks only what overflows its `token_limit` (21000 tokens by default, of messages), so that of
    a short conversation nothing is learned. `LearningMemory` gives this block every message at once.

    A block is one user's. `Memory` objects of one user, each with a session of its own, may share it; another user
    needs another block.

    A memory that fails is logged as a warning of the logger "titans_llamaindex" and told as a `TitansFailureEvent`;
    the conversation goes on without it.

    Args:
        memory: a bank for many users, or the open memory of one; stays the caller's to close.

    Attributes:
        name: of the tag around the block in the prompt.
        priority: 0 is never truncated; from 1 on, the recalls with the lowest scores are dropped first.
        user_id: whose memory; a bank needs it.
        k: recalls at most, >= 1.
        min_confidence: "high" recalls only what can be trusted, "low" also what may be relevant, under that label.
        raise_errors: whether a memory that fails raises.
        tokenizer_fn: text to tokens, for truncating; the `Memory`'s own.

    Raises:
        InvalidTenantError: the user is missing, or another than the memory's.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = "titans"
    priority: int = 0
    user_id: str | None = None
    k: int = Field(default=5, ge=1)
    min_confidence: Literal["high", "low"] = "low"
    raise_errors: bool = False
    tokenizer_fn: Callable[[str], list[Any]] = Field(default_factory=get_tokenizer, exclude=True)

    _owner: Owner = PrivateAttr()

    def __init__(self, memory: MemorySource, **data: Any) -> None:
        super().__init__(**data)
        self._owner = Owner(memory, self.user_id)

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        messages = messages or []
        asked = block_kwargs.get("input") or next((said for said in reversed(messages) if _is_users(said)), "")
        query = (asked if isinstance(asked, str) else said_in(asked)).strip()
        if not query:
            return ""
        known = [query, *filter(None, map(said_in, messages))]
        with events.log_failures("recall", raise_errors=self.raise_errors):
            memory = await self._owner.amemory()
            found = await events.arecall(memory, query, k=self.k, except_texts=known)
            if found.reaches(self.min_confidence):
                return found.as_text()
        return ""

    async def aput(
        self, messages: list[ChatMessage], from_short_term_memory: bool = False, session_id: str | None = None
    ) -> None:
        """Memorize what the user and the assistant say, unless the session has it already.

        Args:
            messages: left as they are; LlamaIndex's own blocks write the session into them, and take it out again.
            from_short_term_memory: whether they were pushed out of it.
            session_id: the session; without it the one that is written into the first message, if there is one.
        """
        if not messages or (from_short_term_memory and not self.accept_short_term_memory):
            return
        session = session_id or messages[0].additional_kwargs.get("session_id")
        with events.log_failures("memorize", raise_errors=self.raise_errors):
            memory = await self._owner.amemory()
            stored = await memory.aturns(session=session)
            await events.amemorize(memory, unseen(_turns(messages, session), stored))

    async def _aput(self, messages: list[ChatMessage]) -> None:
        await self.aput(messages)

    async def alearn(self, messages: list[ChatMessage], session_id: str) -> None:
        """Memorize what was just said, even if it was said before in this session.

        Args:
            messages: left as they are.
            session_id: the session.
        """
        with events.log_failures("memorize", raise_errors=self.raise_errors):
            await events.amemorize(await self._owner.amemory(), _turns(messages, session_id))

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """Drop the recalls with the lowest scores until the block is short enough.

        Args:
            content: what `aget` gave.
            tokens_to_truncate: so many at least.

        Returns:
            The block with what is left, or None if not even the best recall fits.
        """
        if not content:  # `Memory` asks for a block that gave nothing, too
            return None
        limit = len(self.tokenizer_fn(content)) - tokens_to_truncate
        head, *recalls = content.removesuffix(_END).split(_NEXT)
        shorter = (_NEXT.join([head, *recalls[:kept]]) + _END for kept in range(len(recalls) - 1, 0, -1))
        return next((block for block in shorter if len(self.tokenizer_fn(block)) <= limit), None)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Workflows copy their state with all that is in it; this must stay the block of the one memory.
        return self


class LearningMemory(Memory):
    """LlamaIndex's `Memory`, whose Titans blocks learn each message as it is put, not only what overflows.

    All else is as in `Memory`, with two additions: a history that is set is learned as far as the session does not
    have it yet, and a question may be given to `get` as a message, which `Memory` would not show its blocks.
    """

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex knows it by."""
        return "LearningMemory"

    @classmethod
    def from_defaults(  # type: ignore[override]  # the other options are Memory's, and stay so
        cls, session_id: str | None = None, chat_history: list[ChatMessage] | None = None, **options: Any
    ) -> Self:
        """Build it as `Memory.from_defaults` does; what of the history is new to the session is learned."""
        made = cast("Self", super().from_defaults(session_id, **options))
        if chat_history:
            made.set(chat_history)
        return made

    async def aput(self, message: ChatMessage) -> None:
        """Learn a message and add it."""
        await self._alearn([message])
        await super().aput(message)

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Learn messages and add them."""
        await self._alearn(messages)  # first: what overflows at once must be known as learned
        await super().aput_messages(messages)

    async def aset(self, messages: list[ChatMessage]) -> None:
        """Replace the history; what of it is new to the session is learned."""
        for block in self._learners():
            await block.aput(messages, session_id=self.session_id)
        await super().aset(messages)

    async def aget(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002  # LlamaIndex's name
        **block_kwargs: Any,
    ) -> list[ChatMessage]:
        """The messages, with what the blocks recall for the question."""
        return await super().aget(said_in(input) if isinstance(input, ChatMessage) else input, **block_kwargs)

    async def _alearn(self, messages: list[ChatMessage]) -> None:
        for block in self._learners():
            await block.alearn(messages, self.session_id)

    def _learners(self) -> list[TitansMemoryBlock]:
        return [block for block in self.memory_blocks if isinstance(block, TitansMemoryBlock)]


def _is_users(message: ChatMessage) -> bool:
    return message.role == MessageRole.USER


def _turns(messages: list[ChatMessage], session: str | None) -> list[Turn]:
    return [turn for message in messages if (turn := turn_of(message, session))]
