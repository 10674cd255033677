"""One session of a memory as a LangChain chat history."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from langchain_core.chat_history import BaseChatMessageHistory
from typing_extensions import override

from titans_core.errors import InvalidQueryError
from titans_langchain.conversation import to_turns
from titans_langchain.messages import to_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

    from titans_core import TitansMemory


class TitansChatMessageHistory(BaseChatMessageHistory):
    """The exact transcript of one session; every message of it is memorized.

    `messages` returns the messages in the order in which they were added, equal to what was added. A message can be
    recalled as soon as it is added, in this session and in the tenant's other sessions, by `TitansRetriever` or by
    the memory itself.

    A message becomes one turn. Its text becomes the text of the turn; its type, tool calls, images and ids are kept in
    the turn's metadata. A message without text, such as a tool call, gets a short description as the text of its turn
    (`Called weather({"city": "Rome"})`), so that it can be recalled; `messages` returns it unchanged. Values that
    JSON cannot hold, such as objects in a tool's artifact, come back as the nearest JSON value or as their text.

    The id of a message becomes the id of its turn, so that a message with an id that is added again after a failure is
    not memorized twice. A message without an id is memorized again. If the id belongs to another session of the tenant
    (a copied transcript), the turn's id becomes `<session_id>/<message id>`.

    LangChain marks this interface as deprecated until version 2.0; `RunnableWithMessageHistory` needs it.

    Every method raises the errors of the memory. Examples are `DuplicateTurnError` if a message with the same id but
    another text is in this session, and `ClosedMemoryError` after the memory was closed.

    Attributes:
        memory: Memory of the tenant.
        session_id: Id of the session.

    Example:
        ```python
        history = TitansChatMessageHistory(memory, session_id="monday")
        history.add_messages([HumanMessage("My code is X-8-DELTA-9."), AIMessage("Noted.")])
        history.messages
        ```
    """

    def __init__(self, memory: TitansMemory, session_id: str) -> None:
        """Open the transcript of a session.

        Args:
            memory: Open memory of the tenant. The caller closes it.
            session_id: Id of the session; not blank.

        Raises:
            InvalidQueryError: `session_id` is blank or not a string.
        """
        # Without a session, the filters below would read the turns of all sessions, and `clear` would delete them.
        if not isinstance(session_id, str) or not session_id.strip():
            raise InvalidQueryError(f"`session_id` must be the name of a conversation, not {session_id!r}.")
        super().__init__()
        self.memory = memory
        self.session_id = session_id

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # the interface allows a property
        """The session's messages, oldest first, in a new list."""
        return [to_message(turn) for turn in self.memory.turns(session=self.session_id)]

    @override
    async def aget_messages(self) -> list[BaseMessage]:
        """Return the session's messages, oldest first, without blocking the event loop."""
        return [to_message(turn) for turn in await self.memory.aturns(session=self.session_id)]

    @override
    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Memorize messages at the end of the session.

        Args:
            messages: LangChain messages of any type, in the order of the conversation.

        Raises:
            TurnError: A message cannot be stored.
        """
        self.memory.memorize_many(to_turns(self.memory, messages, self.session_id))

    @override
    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Like `add_messages`, without blocking the event loop."""
        turns = await asyncio.to_thread(to_turns, self.memory, messages, self.session_id)
        await self.memory.amemorize_many(turns)

    @override
    def clear(self) -> None:
        """Delete this session. The tenant's other sessions stay."""
        self.memory.forget(session=self.session_id)

    @override
    async def aclear(self) -> None:
        """Like `clear`, without blocking the event loop."""
        await self.memory.aforget(session=self.session_id)
