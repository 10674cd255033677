"""One `get` of a chat memory: the query to recall for, and the messages for the model."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from titans_core.integration import join_blocks, profile_beside
from titans_llamaindex.messages import (
    begins_conversation,
    counted_text,
    format_recalls,
    insert_block,
    text_of,
    trim_history,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from titans_core import Recollection

_RECALL_SHARE = 0.25
"""Maximum share of the tokens that recalls take, unless the application sets a limit."""


class CachedRecall(NamedTuple):
    """The recollection for a question, kept until something else is said.

    A question that is memorized changes the result of its own recall, because its words are no longer new to the
    memory. Simple engines and agents put the question before they get the history. Therefore the recall happens before
    the question is memorized. Agents get the history several times for one question.

    Attributes:
        query: The question.
        version: Version of the memory; includes the question's own turn once that is memorized.
        found: Result of the recall.
        profile: What the user has told about as a whole; None if the question does not begin the conversation.
    """

    query: str
    version: tuple[int, int]
    found: Recollection
    profile: Recollection | None


@dataclass(frozen=True)
class Request:
    """A question to a conversation in its present state.

    Attributes:
        history: The whole conversation; not changed.
        question: The question that the caller passed; None for the last user message.
        token_limit: Maximum number of tokens of history, profile and recalls together, >= 0.
        tokenizer: Splits a text into tokens, which are counted.
        recall_token_limit: Maximum number of tokens of the recalls, within `token_limit`; None for a quarter.
        profile_token_limit: Maximum number of tokens of the profile, within `token_limit`; None for no profile.
        template: Template for one recall.
    """

    history: list[ChatMessage]
    question: str | ChatMessage | None
    token_limit: int
    tokenizer: Callable[[str], list[Any]]
    recall_token_limit: int | None
    profile_token_limit: int | None
    template: str

    @cached_property
    def query(self) -> str:
        """The text to recall for, or "" if there is no question."""
        question = self.question
        if question is None:
            question = next((message for message in reversed(self.history) if message.role == MessageRole.USER), "")
        return (question if isinstance(question, str) else question.content or "").strip()

    @cached_property
    def excluded_texts(self) -> list[str]:
        """Texts that must not be recalled, because the model receives them anyway."""
        return [self.query, *filter(None, map(text_of, self._history_beside_recalls))]

    @cached_property
    def wants_profile(self) -> bool:
        """Whether a profile belongs to the question, because it begins the conversation."""
        return self.profile_token_limit is not None and begins_conversation(
            self.history, question_follows=self.question is not None
        )

    def build_messages(self, found: Recollection | None, profile: Recollection | None) -> list[ChatMessage]:
        """Copy the newest messages that fit, and add the profile and the recalls that the messages do not contain.

        Args:
            found: Recalls for `query` without `excluded_texts`, or None if there are none.
            profile: Answer of `TitansMemory.profile`, or None for no profile.
        """
        blocks = []
        if profile is not None:
            profile = profile_beside(profile, self.excluded_texts)
            blocks.append(self._format(profile, self._profile_tokens))
        if found is not None:
            # The recall may be older than the last messages of the history.
            found = replace(found, recalls=tuple(recall for recall in found if recall.text not in self.excluded_texts))
            blocks.append(self._format(found, self._recall_tokens))
        block = join_blocks(*blocks)
        if not block:
            return copy.deepcopy(trim_history(self.history, self.token_limit, self._count_tokens))
        history = copy.deepcopy(self._history_beside_recalls)
        return insert_block(history, block, question_follows=self.question is not None)

    @cached_property
    def _history_beside_recalls(self) -> list[ChatMessage]:
        """The newest messages that fit if profile and recalls take all tokens that they may take."""
        limit = self.token_limit - self._recall_tokens - self._profile_tokens
        return trim_history(self.history, limit, self._count_tokens)

    @property
    def _recall_tokens(self) -> int:
        if self.recall_token_limit is None:
            return int(self.token_limit * _RECALL_SHARE)
        return min(self.recall_token_limit, self.token_limit)

    @property
    def _profile_tokens(self) -> int:
        if self.profile_token_limit is None or not self.wants_profile:
            return 0
        return min(self.profile_token_limit, self.token_limit - self._recall_tokens)

    def _format(self, found: Recollection, limit: int) -> str:
        return format_recalls(found, lambda block: len(self.tokenizer(block)) <= limit, self.template)

    def _count_tokens(self, message: ChatMessage) -> int:
        return len(self.tokenizer(counted_text(message)))
