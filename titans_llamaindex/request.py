"""One `get` of a chat memory: what to recall for, and what to give to the model."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from titans_llamaindex.messages import insert, quote, window, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from titans_core import Recollection

_RECALL_SHARE = 0.25
"""What recalls may take of the tokens, at most."""


@dataclass(frozen=True)
class Request:
    """A question to a conversation, as it is now.

    Attributes:
        history: the whole conversation; not changed.
        question: what the caller named; None for the last user message.
        room: tokens for history and recalls together, >= 0.
        tokenizer: text to tokens, for counting.
    """

    history: list[ChatMessage]
    question: str | ChatMessage | None
    room: int
    tokenizer: Callable[[str], list[Any]]

    @cached_property
    def query(self) -> str:
        """What to recall for; "" for nothing."""
        question = self.question
        if question is None:
            question = next((said for said in reversed(self.history) if said.role == MessageRole.USER), "")
        return (question if isinstance(question, str) else question.content or "").strip()

    @cached_property
    def known(self) -> list[str]:
        """Texts that must not be recalled: the model is given them anyway."""
        return [self.query, *(message.content for message in self._kept if message.content)]

    def respond(self, found: Recollection | None) -> list[ChatMessage]:
        """Copies of the newest messages that fit, with the recalls that they do not hold themselves.

        Args:
            found: the recalls for `query` without `known`, or None if that is "".
        """
        block = quote(found, lambda block: len(self.tokenizer(block)) <= self._budget) if found is not None else ""
        if not block:
            return copy.deepcopy(window(self.history, self.room, self._tokens))
        return insert(copy.deepcopy(self._kept), block, asks_next=self.question is not None)

    @cached_property
    def _kept(self) -> list[ChatMessage]:
        return window(self.history, self.room - self._budget, self._tokens)

    @property
    def _budget(self) -> int:
        return int(self.room * _RECALL_SHARE)

    def _tokens(self, message: ChatMessage) -> int:
        return len(self.tokenizer(words(message)))
