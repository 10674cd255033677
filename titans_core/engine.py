"""An engine that answers questions with a frozen language model and a memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from titans_core._utils.async_twin import async_twin
from titans_core.errors import InvalidQueryError
from titans_core.recitation.prompts import reminder_prompt
from titans_core.retrieval.english import question_share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from titans_core.memory.memory import TitansMemory
    from titans_core.readers import CausalReader
    from titans_core.recitation.baselines.soft_prompt import SoftPromptMemory
    from titans_core.recitation.recitation import Recitation, Recited
    from titans_core.types import Recollection, Turn

__all__ = ["MAX_QUESTION_SHARE", "MODES", "HybridEngine", "Mode", "Reply", "statements"]

Mode: TypeAlias = Literal["context", "recite", "soft_prompt"]

MODES: tuple[Mode, ...] = get_args(Mode)

MAX_QUESTION_SHARE = 0.5
"""A turn is a statement if its questions are less than this share of its characters."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the language model, and what the memory gave it.

    Attributes:
        text: The answer.
        mode: The mode of the memory.
        recollection: What the memory recalled in the mode "context"; None in other modes. Under the label `none` the
            model did not see it.
        recited: What the recitation recited in the mode "recite"; None in other modes.
    """

    text: str
    mode: Mode
    recollection: Recollection | None = None
    recited: Recited | None = None


class HybridEngine:
    """Answers questions with a frozen language model and a memory.

    There are three modes:

    * "context": the prompt has the turns that the memory recalls, under their label, before the question. Under the
      label `none` the model gets the plain prompt.
    * "recite": the prompt has the fact that a `Recitation` recites from its weights before the question. No stored text
      is looked up. If the gate stays closed, the model gets the plain prompt. Before each question, the weights learn
      the turns that are new in the log.
    * "soft_prompt": a trained `SoftPromptMemory` writes the answer. This is the baseline for the other two modes.

    The engine memorizes nothing. The caller decides what to memorize, and when.

    Attributes:
        llm: The language model.
        memory: The memory.

    Example:
        ```python
        with TitansMemory.open("memory.db", tenant="alice") as memory:
            memory.memorize("My dog is called Biscuit.", speaker="user")
            engine = HybridEngine(CausalReader(), memory)
            print(engine.generate("What is my dog's name?", max_new_tokens=16).text)
        ```
    """

    def __init__(
        self,
        llm: CausalReader,
        memory: TitansMemory,
        *,
        recitation: Recitation | None = None,
        soft_prompt: SoftPromptMemory | None = None,
        recalls: int = 1,
    ) -> None:
        """Make an engine.

        Args:
            llm: The language model.
            memory: The open memory. The caller closes it.
            recitation: Facts in weights, for the mode "recite". Only this engine may teach it.
            soft_prompt: A soft prompt, for the mode "soft_prompt". The caller trains it, which takes minutes.
            recalls: Most turns before a question in the mode "context", at least 1. A second turn misleads a small
                model; a larger model can use five.
        """
        self.llm = llm
        self.memory = memory
        self._recitation = recitation
        self._soft_prompt = soft_prompt
        self._recalls = recalls

    def generate(
        self,
        prompt: str,
        *,
        mode: Mode = "context",
        max_new_tokens: int = 64,
        on_text: Callable[[str], bool] | None = None,
    ) -> Reply:
        """Answer one question.

        Args:
            prompt: The question, or any other message of a user.
            mode: The mode of the memory.
            max_new_tokens: Most tokens to write, at least 1.
            on_text: Called with each piece of text as soon as it is written. When it returns False, writing ends. In
                the mode "soft_prompt" it is called once.

        Returns:
            The answer, and what the memory gave the model.

        Raises:
            InvalidQueryError: The prompt is empty, the mode is unknown, or the engine lacks what the mode needs.
            TitansError: The memory or the recitation failed.
        """
        return self.chat(
            [{"role": "user", "content": prompt}], mode=mode, max_new_tokens=max_new_tokens, on_text=on_text
        )

    def chat(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        mode: Mode = "context",
        max_new_tokens: int = 64,
        on_text: Callable[[str], bool] | None = None,
    ) -> Reply:
        """Answer the last message of the user.

        Args:
            messages: The conversation, oldest first. Each message is a dict like `{"role": "user", "content": "…"}`.
                The memory is asked about the user's last message.
            mode: The mode of the memory.
            max_new_tokens: Most tokens to write, at least 1.
            on_text: Called with each piece of text, as in `generate`.

        Returns:
            The answer, and what the memory gave the model.

        Raises:
            InvalidQueryError: The user's last message is missing or empty, the mode is unknown, or the engine lacks
                what the mode needs.
            TitansError: The memory or the recitation failed.
        """
        place = _last_question(messages)
        question = messages[place]["content"]
        reminder, sources = self._reminder(question, mode)
        prompt, plain = reminder_prompt(self.llm, messages, place, reminder)
        if mode == "context":
            plain = None  # recalls can be irrelevant; only what was recited is sure enough for the model to rely on it
        pieces: list[str] = []

        def take(text: str) -> bool:
            pieces.append(text)
            return on_text is None or on_text(text)

        if mode == "soft_prompt":
            take(self._require_soft_prompt().generate(prompt, max_new_tokens=max_new_tokens))
        else:
            self.llm.lm.generate(prompt, max_new_tokens=max_new_tokens, unconditional_prompt=plain, on_text=take)
        return Reply("".join(pieces), mode, **sources)

    agenerate = async_twin(generate)
    achat = async_twin(chat)

    def _reminder(self, question: str, mode: Mode) -> tuple[str, dict[str, Any]]:
        """The text to put before the question, which may be empty; and the fields of the reply that show its source."""
        match mode:
            case "context":
                # An earlier turn with the same question does not answer it.
                found = self.memory.recall(question, k=self._recalls, except_texts=[question])
                # Only the passage: a small model would take the speaker and the date for a part of the answer.
                return found.as_text("{passage}"), {"recollection": found}
            case "recite":
                if self._recitation is None:
                    raise InvalidQueryError('The mode "recite" needs a Recitation; give it to HybridEngine.')
                self._recitation.learn(statements(self.memory.turns()))
                recited = self._recitation.ask(question)
                return recited.text or "", {"recited": recited}
            case "soft_prompt":
                self._require_soft_prompt()
                return "", {}
            case _:
                raise InvalidQueryError(f"There is no mode {mode!r}; choose one of {', '.join(MODES)}.")

    def _require_soft_prompt(self) -> SoftPromptMemory:
        if self._soft_prompt is None:
            raise InvalidQueryError(
                'The mode "soft_prompt" needs a SoftPromptMemory; train one (`train`, it takes minutes) and give it to '
                "HybridEngine."
            )
        return self._soft_prompt


def statements(turns: Iterable[Turn]) -> list[str]:
    """Select the turns of a conversation that a recitation can learn: those that state something.

    Questions state nothing. The turns of an assistant are left out too, because the assistant may have invented them.

    Args:
        turns: The conversation.

    Returns:
        The texts of these turns, in their order.
    """
    return [
        turn.text for turn in turns if turn.speaker != "assistant" and question_share(turn.text) < MAX_QUESTION_SHARE
    ]


def _last_question(messages: Sequence[Mapping[str, str]]) -> int:
    """The index of the user's last message."""
    place = next((place for place in reversed(range(len(messages))) if messages[place]["role"] == "user"), None)
    if place is None or not messages[place]["content"].strip():
        raise InvalidQueryError("There is nothing to answer: the last message of the user is missing or empty.")
    return place
