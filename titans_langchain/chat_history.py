"""One session of a memory as a LangChain chat history."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from langchain_core.chat_history import BaseChatMessageHistory
from typing_extensions import override

from titans_core.errors import InvalidQueryError
from titans_langchain.conversation import turns_of
from titans_langchain.messages import to_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

    from titans_core import TitansMemory


class TitansChatMessageHistory(BaseChatMessageHistory):
    """The exact transcript of one session; every message in it is memorized as well.

    `messages` are the messages that were added, in that order, equal to what was added. What is added
    can at once be recalled, in this session and in the tenant's others, by `TitansRetriever` or the
    memory itself.

    A message becomes one turn. The text of its content is the turn's text; its kind, tool calls, images
    and ids are kept beside it. A message that says nothing, such as a bare tool call, gets a short
    description as its turn's text (`Called weather({"city": "Rome"})`), so that it can be recalled; in
    `messages` it is as it was. Values that JSON does not hold, such as objects in a tool's artifact,
    come back as JSON's nearest or as their text.

    A message's id is its turn's id, so a message that is added again after a failure is not memorized
    twice; one without an id is. If another session of the tenant has the id already (a copied
    transcript), the turn's id is `<session_id>/<message id>`.

    LangChain marks the interface as deprecated until its 2.0; it is what `RunnableWithMessageHistory`
    needs.

    Usage:

    ```python
    history = TitansChatMessageHistory(memory, session_id="monday")
    history.add_messages([HumanMessage("My code is X-8-DELTA-9."), AIMessage("Noted.")])
    history.messages
    ```

    Args:
        memory: the tenant's open memory. The history does not close it.
        session_id: the conversation; not blank.

    Attributes:
        memory: the tenant's memory.
        session_id: the conversation.

    Raises:
        InvalidQueryError: if `session_id` is blank or no string.
        TitansError: by any method, whatever the memory raises: for example `DuplicateTurnError` if
            another text has the message's id in this session, `ClosedMemoryError` once the memory is
            closed.
    """

    def __init__(self, memory: TitansMemory, session_id: str) -> None:
        # Without a session the filters below would let the whole tenant through, and clear would forget it.
        if not isinstance(session_id, str) or not session_id.strip():
            raise InvalidQueryError(f"session_id must name one conversation, not {session_id!r}; give it a name")
        super().__init__()
        self.memory = memory
        self.session_id = session_id

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]  # the interface means either
        """The session's messages, oldest first, in a new list."""
        return [to_message(turn) for turn in self.memory.turns(session=self.session_id)]

    @override
    async def aget_messages(self) -> list[BaseMessage]:
        """Give the session's messages, oldest first, without blocking the event loop."""
        return [to_message(turn) for turn in await self.memory.aturns(session=self.session_id)]

    @override
    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Memorize messages at the end of the session.

        Args:
            messages: any LangChain messages, in the order of the conversation.

        Raises:
            TurnError: if a message cannot be stored.
        """
        self.memory.memorize_many(turns_of(self.memory, messages, self.session_id))

    @override
    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Memorize messages at the end of the session, without blocking the event loop.

        Args:
            messages: any LangChain messages, in the order of the conversation.

        Raises:
            TurnError: if a message cannot be stored.
        """
        turns = await asyncio.to_thread(turns_of, self.memory, messages, self.session_id)
        await self.memory.amemorize_many(turns)

    @override
    def clear(self) -> None:
        """Forget this session; the tenant's other sessions stay."""
        self.memory.forget(session=self.session_id)

    @override
    async def aclear(self) -> None:
        """Forget this session, without blocking the event loop."""
        await self.memory.aforget(session=self.session_id)
