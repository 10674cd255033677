"""A memory as a block of LlamaIndex's `Memory`, and a `Memory` whose blocks learn every message."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003  # pydantic reads the fields' types at run time
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr
from llama_index.core.memory import BaseMemoryBlock, Memory
from llama_index.core.utils import get_tokenizer

from titans_core.integration import PROFILE, check_zone, join_blocks, profile_beside
from titans_llamaindex import events
from titans_llamaindex.messages import begins_conversation, drop_stored, format_recalls, text_of, to_turn
from titans_llamaindex.owner import Owner

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from titans_core import TitansMemory, Turn
    from titans_core.integration import MemorySource

_BLOCK_END = "\n</memory>"
_BETWEEN_BLOCKS = f"{_BLOCK_END}\n\n"
_RECALL_START = "\n- "  # unambiguous, because the further lines of a stored text are indented


class TitansMemoryBlock(BaseMemoryBlock[str]):
    """A block that recalls for the user's last message, and memorizes what leaves the short-term memory.

    The content of the block is a labelled list of recalls, without the texts of the present conversation. It is "" if
    the memory holds nothing relevant. The block memorizes messages under the session of the `Memory`, unless the
    session already contains them.

    With `profile_tokens`, a list of what the user has told about as a whole stands before the recalls, as long as no
    answer stands before the question: then little was asked yet that could be recalled for.

    `Memory` hands over only the messages that exceed its `token_limit` (21000 tokens of messages by default), so that
    it learns nothing from a short conversation. `LearningMemory` hands over every message at once.

    A block belongs to one user. Several `Memory` objects of one user, each with a session of its own, may share a
    block. Each further user needs another block.

    If the memory fails, the logger "titans_llamaindex" logs a warning, a `TitansFailureEvent` is sent, and the
    conversation continues without the memory.

    Attributes:
        name: Name of the tag around the block in the prompt.
        priority: 0 for a block that is never truncated. From 1 on, the profile is dropped first, from its end, and then
            the recalls with the lowest scores.
        user_id: Id of the user; required with a bank.
        k: Maximum number of recalls, >= 1.
        min_confidence: "high" recalls only under that label; "likely" also recalls what probably answers with one of
            the first three; "low" also recalls what may be relevant, under that label.
        profile_tokens: Maximum number of tokens of the profile, >= 1; None for no profile. A profile has the label
            `low`, also if `min_confidence` is "high".
        timezone: Time zone of the user as an IANA name, such as "Europe/Berlin", for the days in the block and in
            questions; None for this machine's.
        raise_errors: Whether an error of the memory is raised.
        tokenizer_fn: Splits a text into tokens, which are counted. The default is the tokenizer of `Memory`.

    Example:
        ```python
        block = TitansMemoryBlock(MemoryBank("memory.db"), user_id="alice")
        memory = LearningMemory.from_defaults(session_id="monday", memory_blocks=[block])
        SimpleChatEngine.from_defaults(llm=llm, memory=memory)
        ```
    """

    model_config = ConfigDict(extra="forbid")

    name: str = "titans"
    priority: int = 0
    user_id: str | None = None
    k: int = Field(default=5, ge=1)
    min_confidence: Literal["high", "likely", "low"] = "low"
    profile_tokens: int | None = Field(default=None, ge=1)
    timezone: str | None = None
    raise_errors: bool = False
    tokenizer_fn: Callable[[str], list[Any]] = Field(default_factory=get_tokenizer, exclude=True)

    _owner: Owner = PrivateAttr()

    def __init__(self, memory: MemorySource, **data: Any) -> None:
        """Make a block over the memory of one user.

        Args:
            memory: Bank for many users, or the open memory of one user. The caller closes it.
            **data: Attributes of the class.

        Raises:
            InvalidTenantError: The user is missing, or the memory belongs to another user.
            ValueError: An attribute is unknown or out of range, or there is no such time zone.
        """
        super().__init__(**data)
        check_zone(self.timezone)
        self._owner = Owner(memory, self.user_id)

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        messages = messages or []
        question = block_kwargs.get("input") or next(filter(_is_from_user, reversed(messages)), "")
        query = (question if isinstance(question, str) else text_of(question)).strip()
        if not query:
            return ""
        excluded_texts = [query, *filter(None, map(text_of, messages))]
        with events.report_failures("recall", raise_errors=self.raise_errors):
            memory, profile = await self._owner.amemory(), ""
            found = await events.arecall(
                memory, query, k=self.k, context="reply", timezone=self.timezone, except_texts=excluded_texts
            )
            if begins_conversation(messages, question_follows=bool(block_kwargs.get("input"))):
                profile = await self._aprofile(memory, excluded_texts)
            return join_blocks(profile, found.as_text() if found.reaches(self.min_confidence) else "")
        return ""

    async def _aprofile(self, memory: TitansMemory, excluded_texts: Collection[str]) -> str:
        """Return the profile as a block, "" if there is none."""
        if (limit := self.profile_tokens) is None:
            return ""
        with events.report_failures(PROFILE, raise_errors=self.raise_errors):
            profile = profile_beside(await memory.aprofile(timezone=self.timezone), excluded_texts)
            return format_recalls(profile, lambda block: len(self.tokenizer_fn(block)) <= limit)
        return ""

    async def aput(
        self, messages: list[ChatMessage], from_short_term_memory: bool = False, session_id: str | None = None
    ) -> None:
        """Memorize the messages of user and assistant, unless the session already contains them.

        Args:
            messages: Messages to memorize; not changed.
            from_short_term_memory: Whether the messages were pushed out of the short-term memory.
            session_id: Id of the session. None for the id that LlamaIndex's blocks write into the first message, if
                there is one.
        """
        if not messages or (from_short_term_memory and not self.accept_short_term_memory):
            return
        session = session_id or messages[0].additional_kwargs.get("session_id")
        with events.report_failures("memorize", raise_errors=self.raise_errors):
            memory = await self._owner.amemory()
            stored = await memory.aturns(session=session)
            await events.amemorize(memory, drop_stored(_to_turns(messages, session), stored))

    async def _aput(self, messages: list[ChatMessage]) -> None:
        await self.aput(messages)

    async def alearn(self, messages: list[ChatMessage], session_id: str) -> None:
        """Memorize the messages of user and assistant, even if the session already contains them.

        Args:
            messages: New messages; not changed.
            session_id: Id of the session.
        """
        with events.report_failures("memorize", raise_errors=self.raise_errors):
            await events.amemorize(await self._owner.amemory(), _to_turns(messages, session_id))

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """Drop the profile, and then the recalls with the lowest scores, until the block is short enough.

        Args:
            content: Content of the block, as `aget` returned it.
            tokens_to_truncate: Minimum number of tokens to drop, >= 1.

        Returns:
            The shortened block, or None if not even the best recall fits.
        """
        if not content:  # `Memory` also truncates a block without content
            return None
        limit = len(self.tokenizer_fn(content)) - tokens_to_truncate
        profile, between, recalls = content.rpartition(_BETWEEN_BLOCKS)
        shorter = [*_shorten(recalls)]
        if between:
            shorter = [*(f"{block}\n\n{recalls}" for block in _shorten(profile)), recalls, *shorter]
        return next((block for block in shorter if len(self.tokenizer_fn(block)) <= limit), None)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Workflows copy their whole state. A copy of the block would be a second block over the same memory.
        return self


class LearningMemory(Memory):
    """LlamaIndex's `Memory`, whose Titans blocks learn each message at once, not only messages that overflow.

    Two further differences to `Memory`: the blocks learn the messages of a replaced history that are new to the
    session, and the question for `get` may be a message, which `Memory` would not pass to its blocks.

    Example:
        ```python
        block = TitansMemoryBlock(MemoryBank("memory.db"), user_id="alice")
        memory = LearningMemory.from_defaults(session_id="monday", memory_blocks=[block])
        await memory.aput(ChatMessage("I am allergic to nuts.", role="user"))
        ```
    """

    @classmethod
    def class_name(cls) -> str:
        """Return the name under which LlamaIndex knows the class."""
        return "LearningMemory"

    @classmethod
    def from_defaults(  # type: ignore[override]  # `**options` are the other options of `Memory`
        cls, session_id: str | None = None, chat_history: list[ChatMessage] | None = None, **options: Any
    ) -> Self:
        """Build a memory like `Memory.from_defaults`, and learn the messages that are new to the session.

        Args:
            session_id: Id of the session; None for a new id.
            chat_history: Messages with which the conversation begins.
            **options: Options of `Memory.from_defaults`.
        """
        memory = cast("Self", super().from_defaults(session_id, **options))
        if chat_history:
            memory.set(chat_history)
        return memory

    async def aput(self, message: ChatMessage) -> None:
        """Learn a message and add it to the conversation.

        Args:
            message: Message of any role.
        """
        await self._alearn([message])
        await super().aput(message)

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Learn messages and add them to the conversation.

        Args:
            messages: Messages of any role, oldest first; at least one.
        """
        # Learn first: a message that overflows at once must already be in the session.
        await self._alearn(messages)
        await super().aput_messages(messages)

    async def aset(self, messages: list[ChatMessage]) -> None:
        """Replace the conversation, and learn the messages that are new to the session.

        Args:
            messages: The new conversation, oldest first.
        """
        for block in self._titans_blocks():
            await block.aput(messages, session_id=self.session_id)
        await super().aset(messages)

    async def aget(
        self,
        input: str | ChatMessage | None = None,  # noqa: A002  # LlamaIndex's name
        **block_kwargs: Any,
    ) -> list[ChatMessage]:
        """Return the messages of the conversation, with the content of the blocks.

        Args:
            input: The question to recall for; None for the last user message.
            **block_kwargs: Further arguments for the blocks.
        """
        return await super().aget(text_of(input) if isinstance(input, ChatMessage) else input, **block_kwargs)

    async def _alearn(self, messages: list[ChatMessage]) -> None:
        for block in self._titans_blocks():
            await block.alearn(messages, self.session_id)

    def _titans_blocks(self) -> list[TitansMemoryBlock]:
        return [block for block in self.memory_blocks if isinstance(block, TitansMemoryBlock)]


def _shorten(block: str) -> Iterator[str]:
    """Yield a block without its last line, without its last two, and so on, as long as one line is left."""
    head, *recalls = block.removesuffix(_BLOCK_END).split(_RECALL_START)
    for count in range(len(recalls) - 1, 0, -1):
        yield _RECALL_START.join([head, *recalls[:count]]) + _BLOCK_END


def _is_from_user(message: ChatMessage) -> bool:
    return message.role == MessageRole.USER


def _to_turns(messages: list[ChatMessage], session: str | None) -> list[Turn]:
    return [turn for message in messages if (turn := to_turn(message, session))]
