"""`titans chat`: a conversation in the terminal with a language model that has a memory."""

from __future__ import annotations

import signal
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from titans_core.engine import MODES, HybridEngine, Mode, statements
from titans_core.errors import InvalidQueryError, TitansError, UnknownTurnError
from titans_core.readers import CausalReader, load_reader
from titans_core.recitation.baselines.soft_prompt import SoftPromptMemory
from titans_core.recitation.recitation import Recitation
from titans_core.rendering import strip_invisible
from titans_core.types import Confidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from titans_core.engine import Reply
    from titans_core.memory.memory import TitansMemory
    from titans_core.types import Memorized, Turn

COMMANDS = {
    "list": ("[n]", "the last n turns of the memory, 10 by default, with their ids"),
    "forget": ("ID", "forget a turn; the beginning of its id is enough"),
    "clear": ("", "begin a new conversation; the memory stays"),
    "mode": ("NAME", "how the memory takes part: context, recite or soft_prompt"),
    "save": ("PATH", "write the turns to a file; in the mode recite the weights beside it"),
    "help": ("", "this list"),
    "quit": ("", "or Ctrl-D; Ctrl-C stops a reply"),
}

COLORS = {Confidence.HIGH: "green", Confidence.LOW: "yellow", Confidence.NONE: "red"}

HISTORY = 6
"""Messages that the model sees of the conversation; what was said before them is the memory's to know."""

ID = 8
"""Characters that are shown of an id."""

TRAINING_STEPS_PER_FACT = 150
"""Training steps a fact for the soft prompt; the tutorials take 600, which is half a minute a fact more."""


class Chat:
    """A conversation in a terminal with a language model that has a memory.

    What the user says is answered with the help of the memory, then memorized, and so is the answer. Below each
    answer stands what the memory knew. Lines that begin with a slash are commands; `/help` lists them.

    Usage:

    ```python
    with TitansMemory.open("memory.db", tenant="alice") as memory:
        Chat(CausalReader(), memory, Console(highlight=False)).run()
    ```

    Args:
        llm: the language model.
        memory: the open memory. Stays the caller's to close.
        console: where everything is shown.
        mode: how the memory takes part at first, see `HybridEngine`.
        max_new_tokens: the most that a reply may have, at least 1.

    Raises:
        InvalidQueryError: there is no such mode, or nothing to train a soft prompt on.

    Attributes:
        engine: answers; replaced when a mode needs more than it has.
        mode: how the memory takes part.
        history: the messages that the model sees of the conversation, oldest first.
    """

    def __init__(
        self,
        llm: CausalReader,
        memory: TitansMemory,
        console: Console,
        *,
        mode: str = "context",
        max_new_tokens: int = 64,
    ) -> None:
        self.engine = HybridEngine(llm, memory)
        self.mode: Mode = "context"
        self.history: list[dict[str, str]] = []
        self._memory = memory
        self._console = console
        self._max_new_tokens = max_new_tokens
        self._recitation: Recitation | None = None
        self._session = _new_session()
        self._enter(mode)

    def run(self) -> None:
        """Take lines from the terminal, in the main thread, until the user has had enough."""
        with suppress(ImportError):
            import readline  # noqa: F401 - lines can be edited, and the arrow keys bring earlier ones back
        turns = self._memory.stats().turns
        self._say("memory", escape(f"{self._memory.url}, {turns} turns of {self._memory.tenant}"))
        self._say("model", escape(self.engine.llm.lm.name))
        self._say("mode", f"{self.mode}; /help lists the commands, Ctrl-D quits")
        log_failures = True
        while log_failures:
            self._console.print()
            try:
                log_failures = self.take(input("you> "))
            except EOFError:
                self._console.print()
                log_failures = False
            except KeyboardInterrupt:
                self._console.print()
                self._say("", "Ctrl-D or /quit quits.")

    def take(self, line: str) -> bool:
        """Do what a line says: answer it, or obey it.

        Returns:
            Whether the chat goes on.
        """
        line = line.strip()
        try:
            if line.startswith("/"):
                return self._obey(line)
            if line:
                self._converse(line)
        except TitansError as error:
            self._console.print(f"[red]problem[/]  {escape(str(error))}")
        return True

    def _converse(self, text: str) -> None:
        messages = [*self.history, {"role": "user", "content": text}]
        with _interrupts() as stopped:
            try:
                reply = self._reply(messages, stopped)
            finally:
                # Even if nothing could be said to it, it was said; and after the recall, which must not find it.
                learned = self._memory.memorize(text, speaker="user", session=self._session)
            if reply.text.strip():
                self._memory.memorize(reply.text, speaker="assistant", session=self._session)
                self.history = [*messages, {"role": "assistant", "content": reply.text}][-HISTORY:]
        self._explain(reply, learned)

    def _reply(self, messages: list[dict[str, str]], stopped: Callable[[], bool]) -> Reply:
        """The engine's reply, shown while it is written."""

        def show(text: str) -> bool:
            if text := strip_invisible(text if pieces else text.lstrip()):
                if not pieces:
                    waiting.stop()
                    self._console.print("[bold]titans>[/] ", end="")
                pieces.append(text)
                self._console.print(text, end="", markup=False, soft_wrap=True)
            return not stopped()

        pieces: list[str] = []
        with self._console.status("remembering …") as waiting:
            reply = self.engine.chat(messages, mode=self.mode, max_new_tokens=self._max_new_tokens, on_text=show)
        self._console.print(" [dim](stopped)" if stopped() else "" if pieces else "[dim](no words)")
        return reply

    def _explain(self, reply: Reply, learned: Memorized) -> None:
        """What the memory had to do with a reply, dimmed below it."""
        if found := reply.recollection:
            color = COLORS[found.confidence]
            recalls = found.recalls if found.confidence is not Confidence.NONE else ()
            self._say("recalled", f"[{color}]{found.confidence}[/]" + ("" if recalls else ", nothing is known"))
            for recall in recalls:
                self._say(f"{recall.score:.2f}", _line(recall.turn, recall.passage), cut=True)
        if recited := reply.recited:
            text = "nothing" if recited.text is None else f'"{strip_invisible(recited.text)}"'
            color = "red" if recited.text is None else "green"
            self._say("recited", escape(text))
            self._say("", f"familiarity [{color}]{recited.familiarity:.2f}[/], 1 opens the gate")
        self._say("surprise", f"{learned.surprise:.2f}" + (", heard before" if learned.duplicate_of else ""))

    def _say(self, name: str, text: str, *, cut: bool = False) -> None:
        """A dimmed line of markup; `cut` where the terminal ends."""
        how: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"} if cut else {"soft_wrap": True}
        self._console.print(f"[dim]{name:>9}  {text}[/]", **how)

    def _obey(self, line: str) -> bool:
        name, _, argument = line[1:].partition(" ")
        if name not in COMMANDS:
            known = ", ".join(f"/{command}" for command in COMMANDS)
            raise InvalidQueryError(f"There is no command /{name}; there are {known}.")
        if name == "quit":
            return False
        obey: Callable[[str], None] = getattr(self, f"_{name}")
        obey(argument.strip())
        return True

    def _help(self, _: str) -> None:
        for name, (argument, what) in COMMANDS.items():
            self._console.print(f"  [bold]/{name}[/] {escape(argument):<7}{' ' * (7 - len(name))} {what}")

    def _list(self, number: str) -> None:
        if number and not number.isdecimal():
            raise InvalidQueryError(f"/list takes a number of turns, such as /list 20, not {number!r}.")
        turns = self._memory.turns()
        for turn in turns[-int(number or 10) :] if number != "0" else []:
            self._say("", _line(turn), cut=True)
        self._say("", f"{len(turns)} turns in all" if turns else "Nothing was told yet.")

    def _forget(self, beginning: str) -> None:
        fitting = [turn for turn in self._memory.turns() if beginning and str(turn.id).startswith(beginning)]
        if not fitting:
            raise UnknownTurnError(f"No turn has an id that begins with {beginning!r}; /list shows them.")
        if len(fitting) > 1:
            raise InvalidQueryError(f"{len(fitting)} turns have ids that begin with {beginning!r}; give more of it.")
        [turn] = fitting
        self._memory.forget(turn.id)
        self._say("forgotten", _line(turn), cut=True)
        self._clear("")

    def _clear(self, _: str) -> None:
        self.history = []
        self._session = _new_session()
        self._say("", "A new conversation; the model sees nothing of the one before.")

    def _mode(self, name: str) -> None:
        try:
            self._enter(name)
        except KeyboardInterrupt:
            self._say("", "Stopped.")
        self._say("mode", self.mode)

    def _enter(self, mode: str) -> None:
        if mode not in MODES:
            raise InvalidQueryError(f"There is no mode {mode!r}; choose one of {', '.join(MODES)}.")
        self.mode = "context"  # unless all that the other needs is done
        if mode == "recite":
            self._learn()
        elif mode == "soft_prompt":
            self._train()

    def _learn(self) -> None:
        # One that is stopped while it learns is not used any more.
        recitation, self._recitation = self._recitation, None
        if recitation is None:
            with self._console.status("preparing the weights …"):
                recitation = Recitation(self.engine.llm, load_reader())
        recitation.learn(statements(self._memory.turns()), progress=self._console.is_terminal)
        self._recitation, self.mode = recitation, "recite"
        self.engine = HybridEngine(self.engine.llm, self._memory, recitation=recitation)

    def _train(self) -> None:
        facts = statements(self._memory.turns())
        if not facts:
            raise InvalidQueryError("There is nothing to train a soft prompt on; tell me something first.")
        steps = TRAINING_STEPS_PER_FACT * len(facts)
        self._say("training", f"{steps} steps of about a second, on {len(facts)} statements; Ctrl-C ends it early")
        # In float: some processors pack 4-bit weights, and no gradient passes those.
        soft_prompt = SoftPromptMemory(CausalReader(self.engine.llm.lm.name, quantization=None))
        with suppress(KeyboardInterrupt):  # what it has learned by then is used
            if soft_prompt.train(facts, steps=steps, progress=self._console.is_terminal).diverged:
                self._say("", "It diverged: what it writes will make no sense.")
        self.engine, self.mode = HybridEngine(self.engine.llm, self._memory, soft_prompt=soft_prompt), "soft_prompt"

    def _save(self, path: str) -> None:
        if not path:
            raise InvalidQueryError("Give /save the path of a file.")
        file = Path(path).expanduser()
        number = self._memory.export(file)
        self._say("saved", f"{number} turns in {escape(str(file))}")
        if self.mode == "recite" and self._recitation:
            weights = f"{file}.safetensors"
            self._recitation.save(weights)
            self._say("", f"the weights in {escape(weights)}")


def _line(turn: Turn, passage: str | None = None) -> str:
    """A turn in a line, or a passage of it, with its id and who said it."""
    text = " ".join((passage or turn.text).split())
    return escape(strip_invisible(f"{str(turn.id)[:ID]}  {turn.speaker or 'somebody'}: {text}"))


def _new_session() -> str:
    return f"chat of {datetime.now().astimezone():%Y-%m-%d %H:%M:%S.%f}"


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed inside: it interrupts nothing by itself, so that nothing is left half done."""
    pressed = False

    def note(*_: object) -> None:
        nonlocal pressed
        pressed = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)
