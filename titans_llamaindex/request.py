"""One `get` of a chat memory: what to recall for, and what to give to the model."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from titans_llamaindex.messages import insert, quote, said_in, window, words

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
        budget: of the room, for recalls; None for a quarter.
        template: for one recall.
    """

    history: list[ChatMessage]
    question: str | ChatMessage | None
    room: int
    tokenizer: Callable[[str], list[Any]]
    budget: int | None
    template: str

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
        return [self.query, *filter(None, map(said_in, self._kept))]

    def respond(self, found: Recollection | None) -> list[ChatMessage]:
        """Copies of the newest messages that fit, with the recalls that they do not hold themselves.

        Args:
            found: the recalls for `query` without `known`, or None if that is "".
        """
        if found is not None:
            # It may have been found before the history was as it is now.
            found = replace(found, recalls=tuple(recall for recall in found if recall.text not in self.known))
        block = quote(found, self._fits, self.template) if found is not None else ""
        if not block:
            return copy.deepcopy(window(self.history, self.room, self._tokens))
        return insert(copy.deepcopy(self._kept), block, asks_next=self.question is not None)

    @cached_property
    def _kept(self) -> list[ChatMessage]:
        return window(self.history, self.room - self._budget, self._tokens)

    @property
    def _budget(self) -> int:
        return int(self.room * _RECALL_SHARE) if self.budget is None else min(self.budget, self.room)

    def _fits(self, block: str) -> bool:
        return len(self.tokenizer(block)) <= self._budget

    def _tokens(self, message: ChatMessage) -> int:
        return len(self.tokenizer(words(message)))
