"""The prompt of a question, with the memory's knowledge before the question."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from titans_core.readers import CausalReader

INSTRUCTION = "Answer in one short sentence."
"""The system message of a prompt with a reminder. A small model that writes a lot forgets what it has read."""


def reminder_prompt(
    llm: CausalReader, messages: Sequence[Mapping[str, str]], place: int, reminder: str
) -> tuple[str, str | None]:
    """Make the prompt of a conversation, with a reminder before the question.

    The prompt tells the model to be brief, unless the conversation has a system message.

    Args:
        llm: The language model, which has the chat template.
        messages: The conversation, oldest first.
        place: Index of the question in `messages`.
        reminder: What the memory knows; empty if it knows nothing.

    Returns:
        The prompt, and the same prompt without the reminder for `unconditional_prompt` of `CausalLM.generate`. If the
        reminder is empty: the plain prompt of the conversation, and None.
    """
    if not reminder:
        return llm.chat_prompt(messages), None
    has_system_message = any(message["role"] == "system" for message in messages)
    instruction = [] if has_system_message else [{"role": "system", "content": INSTRUCTION}]
    before = [*instruction, *messages[:place]]
    question, after = messages[place], messages[place + 1 :]
    reminded = {**question, "content": f"{reminder}\n{question['content']}"}
    return llm.chat_prompt([*before, reminded, *after]), llm.chat_prompt([*before, question, *after])
