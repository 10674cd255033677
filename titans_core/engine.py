"""A frozen language model that answers with what a memory knows."""

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

Mode: TypeAlias = Literal["context", "recite", "soft_prompt"]

MODES: tuple[Mode, ...] = get_args(Mode)

QUESTION = 0.5
"""A turn of which this share asks, in characters, states nothing."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the language model wrote, and what it was given for it.

    Attributes:
        text: what it wrote.
        mode: how the memory took part.
        recollection: in mode "context": what was recalled; under the label `none` the model saw nothing of it.
        recited: in mode "recite": what was recited, or that nothing was.
    """

    text: str
    mode: Mode
    recollection: Recollection | None = None
    recited: Recited | None = None


class HybridEngine:
    """Answers questions with a frozen language model and a memory.

    The memory takes part in one of three ways, its modes:

    * "context": the turns that the memory recalls, under their label, stand before the question. Under the label
      `none` the model gets the plain prompt.
    * "recite": the fact that a `Recitation` recites from its weights stands before the question; no stored text is
      looked up. If its gate stays closed, the model gets the plain prompt. The weights learn whatever the log has
      heard since the last question.
    * "soft_prompt": a trained `SoftPromptMemory` writes instead of the model; the baseline of the other two.

    The engine memorizes nothing: what is worth it, and when, the caller knows.

    Usage:

    ```python
    with TitansMemory.open("memory.db", tenant="alice") as memory:
        memory.memorize("My dog is called Biscuit.", speaker="user")
        engine = HybridEngine(CausalReader(), memory)
        print(engine.generate("What is my dog's name?", max_new_tokens=16).text)
    ```

    Args:
        llm: the language model.
        memory: the open memory. Stays the caller's to close.
        recitation: for the mode "recite"; nobody else may teach it.
        soft_prompt: for the mode "soft_prompt"; trained by the caller, which takes minutes.
        recalls: for the mode "context": turns at most that stand before a question, at least 1. A small model is led
            astray by the second; a larger one may have five.

    Attributes:
        llm: the language model.
        memory: the memory.
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
            prompt: the question, or anything that a user says.
            mode: how the memory takes part.
            max_new_tokens: at most so many tokens, at least 1.
            on_text: called with each piece of text as soon as it is written; once it answers False, no more is. In
                the mode "soft_prompt" it is called once.

        Raises:
            InvalidQueryError: there is no prompt or no such mode, or what the mode needs is missing.
            TitansError: whatever the memory and the recitation raise.
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
            messages: the conversation, oldest first, each as `{"role": "user", "content": "…"}`. The memory is asked
                for the last one of the user.
            mode: as in `generate`.
            max_new_tokens: likewise.
            on_text: likewise.

        Raises:
            InvalidQueryError: there is no message of the user, or as `generate`.
            TitansError: as `generate`.
        """
        place = _last_question(messages)
        question = messages[place]["content"]
        reminder, known = self._reminder(question, mode)
        prompt, plain = reminder_prompt(self.llm, messages, place, reminder)
        if mode == "context":
            plain = None  # a recall may be irrelevant; what was recited is right or not said at all, and is relied on
        pieces: list[str] = []

        def take(text: str) -> bool:
            pieces.append(text)
            return on_text is None or on_text(text)

        if mode == "soft_prompt":
            take(self._trained().generate(prompt, max_new_tokens=max_new_tokens))
        else:
            self.llm.lm.generate(prompt, max_new_tokens=max_new_tokens, unconditional_prompt=plain, on_text=take)
        return Reply("".join(pieces), mode, **known)

    agenerate = async_twin(generate)
    achat = async_twin(chat)

    def _reminder(self, question: str, mode: Mode) -> tuple[str, dict[str, Any]]:
        """What is put before the question, empty for nothing; and what the reply tells of it."""
        match mode:
            case "context":
                # The same question, asked before, answers nothing.
                found = self.memory.recall(question, k=self._recalls, except_texts=[question])
                # The bare passage: a small model takes speaker and date for part of the answer.
                return found.as_text("{passage}"), {"recollection": found}
            case "recite":
                if self._recitation is None:
                    raise InvalidQueryError('The mode "recite" needs a Recitation; give it to HybridEngine.')
                self._recitation.learn(statements(self.memory.turns()))
                recited = self._recitation.ask(question)
                return recited.text or "", {"recited": recited}
            case "soft_prompt":
                self._trained()
                return "", {}
            case _:
                raise InvalidQueryError(f"There is no mode {mode!r}; choose one of {', '.join(MODES)}.")

    def _trained(self) -> SoftPromptMemory:
        if self._soft_prompt is None:
            raise InvalidQueryError(
                'The mode "soft_prompt" needs a SoftPromptMemory; train one (`train`, it takes minutes) and give it to '
                "HybridEngine."
            )
        return self._soft_prompt


def statements(turns: Iterable[Turn]) -> list[str]:
    """What can be recited of a conversation: the texts that state something, in their order.

    Questions state nothing, and an assistant's words are no facts: it may have made them up.

    Args:
        turns: the conversation.
    """
    return [turn.text for turn in turns if turn.speaker != "assistant" and question_share(turn.text) < QUESTION]


def _last_question(messages: Sequence[Mapping[str, str]]) -> int:
    """Where the user's last message is."""
    place = next((place for place in reversed(range(len(messages))) if messages[place]["role"] == "user"), None)
    if place is None or not messages[place]["content"].strip():
        raise InvalidQueryError("There is nothing to answer: the last message of the user is missing or empty.")
    return place
