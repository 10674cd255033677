"""The prompt in which what a memory knows stands before the question."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from titans_core.readers import CausalReader

INSTRUCTION = "Answer in one short sentence."
"""The system message when something stands before the question: a small model that writes much forgets what it read."""


def reminder_prompt(
    llm: CausalReader, messages: Sequence[Mapping[str, str]], place: int, reminder: str
) -> tuple[str, str | None]:
    """The prompt for a conversation in which something stands before a question.

    Args:
        llm: the language model, for its chat template.
        messages: the conversation.
        place: of the question in it.
        reminder: what the memory knows; empty for nothing.

    Returns:
        The prompt, and the same without the reminder, for `plain` of `CausalLM.generate`. The model is told to be brief
        unless a system message tells it anything. Without a reminder: the plain prompt of the conversation, and None.
    """
    if not reminder:
        return llm.chat_prompt(messages), None
    told = any(message["role"] == "system" for message in messages)
    before = [*([] if told else [{"role": "system", "content": INSTRUCTION}]), *messages[:place]]
    question, after = messages[place], messages[place + 1 :]
    asked = {**question, "content": f"{reminder}\n{question['content']}"}
    return llm.chat_prompt([*before, asked, *after]), llm.chat_prompt([*before, question, *after])
