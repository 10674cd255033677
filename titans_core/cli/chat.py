"""The command `titans chat`: a conversation in the terminal with a language model that has a memory."""

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
    "list": ("[n]", "show the last n turns of the memory with their ids; 10 by default"),
    "forget": ("ID", "forget a turn; the beginning of its id is enough"),
    "clear": ("", "begin a new conversation; the memory stays"),
    "mode": ("NAME", "change the mode of the memory: context, recite or soft_prompt"),
    "save": ("PATH", "write the turns to a file; in the mode recite also the weights, to a second file"),
    "help": ("", "show this list"),
    "quit": ("", "end the chat, like Ctrl-D; Ctrl-C stops a reply"),
}

COLORS = {Confidence.HIGH: "green", Confidence.LOW: "yellow", Confidence.NONE: "red"}

HISTORY_MESSAGES = 6
"""Number of messages of the conversation that the model sees. The memory has the older messages."""

SHOWN_ID_CHARS = 8
"""Number of characters of an id that are shown."""

TRAINING_STEPS_PER_FACT = 150
"""Training steps of the soft prompt for each fact. Tutorials use 600, which takes half a minute more for each fact."""


class Chat:
    """A conversation in a terminal with a language model that has a memory.

    The chat answers each message with the help of the memory, then memorizes the message and the answer. Below each
    answer it shows what the memory knew. A line that begins with a slash is a command; `/help` lists the commands.

    Attributes:
        engine: The engine that answers. A new engine replaces it when a mode needs more than the old one has.
        mode: The mode of the memory, see `HybridEngine`.
        history: The messages of the conversation that the model sees, oldest first.

    Example:
        ```python
        with TitansMemory.open("memory.db", tenant="alice") as memory:
            Chat(CausalReader(), memory, Console(highlight=False)).run()
        ```
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
        """Make a chat.

        Args:
            llm: The language model.
            memory: The open memory. The caller closes it.
            console: The console for all output.
            mode: The mode of the memory at the beginning, see `HybridEngine`.
            max_new_tokens: Most tokens of a reply, at least 1.

        Raises:
            InvalidQueryError: The mode is unknown, or the memory has no statement to train a soft prompt on.
        """
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
        """Read lines from the terminal until the user quits. Call this in the main thread."""
        with suppress(ImportError):
            import readline  # noqa: F401 - with it, lines can be edited, and the arrow keys bring earlier lines back
        turns = self._memory.stats().turns
        self._note("memory", escape(f"{self._memory.url}, {turns} turns of {self._memory.tenant}"))
        self._note("model", escape(self.engine.llm.lm.name))
        self._note("mode", f"{self.mode}; /help lists the commands, Ctrl-D quits")
        running = True
        while running:
            self._console.print()
            try:
                running = self.take(input("you> "))
            except EOFError:
                self._console.print()
                running = False
            except KeyboardInterrupt:
                self._console.print()
                self._note("", "Ctrl-D or /quit quits.")

    def take(self, line: str) -> bool:
        """Process a line of the user: answer a message, or run a command.

        Args:
            line: The line. An empty line does nothing.

        Returns:
            Whether the chat continues.
        """
        line = line.strip()
        try:
            if line.startswith("/"):
                return self._run_command(line)
            if line:
                self._answer(line)
        except TitansError as error:
            self._console.print(f"[red]problem[/]  {escape(str(error))}")
        return True

    def _answer(self, text: str) -> None:
        messages = [*self.history, {"role": "user", "content": text}]
        with _catch_interrupts() as interrupted:
            try:
                reply = self._reply(messages, interrupted)
            finally:
                # After the recall, which must not find this message. Also if the answer fails: the user said it.
                learned = self._memory.memorize(text, speaker="user", session=self._session)
            if reply.text.strip():
                self._memory.memorize(reply.text, speaker="assistant", session=self._session)
                self.history = [*messages, {"role": "assistant", "content": reply.text}][-HISTORY_MESSAGES:]
        self._explain(reply, learned)

    def _reply(self, messages: list[dict[str, str]], interrupted: Callable[[], bool]) -> Reply:
        """Get the engine's reply, and show it while the model writes it."""

        def show(text: str) -> bool:
            if text := strip_invisible(text if pieces else text.lstrip()):
                if not pieces:
                    waiting.stop()
                    self._console.print("[bold]titans>[/] ", end="")
                pieces.append(text)
                self._console.print(text, end="", markup=False, soft_wrap=True)
            return not interrupted()

        pieces: list[str] = []
        with self._console.status("remembering …") as waiting:
            reply = self.engine.chat(messages, mode=self.mode, max_new_tokens=self._max_new_tokens, on_text=show)
        self._console.print(" [dim](stopped)" if interrupted() else "" if pieces else "[dim](no words)")
        return reply

    def _explain(self, reply: Reply, learned: Memorized) -> None:
        """Show below a reply, in dim text, what the memory knew."""
        if found := reply.recollection:
            color = COLORS[found.confidence]
            recalls = found.recalls if found.confidence is not Confidence.NONE else ()
            self._note("recalled", f"[{color}]{found.confidence}[/]" + ("" if recalls else ", nothing is known"))
            for recall in recalls:
                self._note(f"{recall.score:.2f}", _line(recall.turn, recall.passage), cut=True)
        if recited := reply.recited:
            text = "nothing" if recited.text is None else f'"{strip_invisible(recited.text)}"'
            color = "red" if recited.text is None else "green"
            self._note("recited", escape(text))
            self._note("", f"familiarity [{color}]{recited.familiarity:.2f}[/], 1 opens the gate")
        self._note("surprise", f"{learned.surprise:.2f}" + (", heard before" if learned.duplicate_of else ""))

    def _note(self, name: str, text: str, *, cut: bool = False) -> None:
        """Show a dim line of markup. With `cut`, it ends where the terminal ends."""
        style: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"} if cut else {"soft_wrap": True}
        self._console.print(f"[dim]{name:>9}  {text}[/]", **style)

    def _run_command(self, line: str) -> bool:
        name, _, argument = line[1:].partition(" ")
        if name not in COMMANDS:
            known = ", ".join(f"/{command}" for command in COMMANDS)
            raise InvalidQueryError(f"There is no command /{name}; the commands are {known}.")
        if name == "quit":
            return False
        command: Callable[[str], None] = getattr(self, f"_{name}")
        command(argument.strip())
        return True

    def _help(self, _: str) -> None:
        for name, (argument, what) in COMMANDS.items():
            self._console.print(f"  [bold]/{name}[/] {escape(argument):<7}{' ' * (7 - len(name))} {what}")

    def _list(self, number: str) -> None:
        if number and not number.isdecimal():
            raise InvalidQueryError(f"/list takes a number of turns, such as /list 20, not {number!r}.")
        turns = self._memory.turns()
        for turn in turns[-int(number or 10) :] if number != "0" else []:
            self._note("", _line(turn), cut=True)
        self._note("", f"{len(turns)} turns in all" if turns else "The memory has no turns yet.")

    def _forget(self, beginning: str) -> None:
        matches = [turn for turn in self._memory.turns() if beginning and str(turn.id).startswith(beginning)]
        if not matches:
            raise UnknownTurnError(f"No turn has an id that begins with {beginning!r}; /list shows the ids.")
        if len(matches) > 1:
            raise InvalidQueryError(f"{len(matches)} turns have ids that begin with {beginning!r}; give a longer one.")
        [turn] = matches
        self._memory.forget(turn.id)
        self._note("forgotten", _line(turn), cut=True)
        self._clear("")

    def _clear(self, _: str) -> None:
        self.history = []
        self._session = _new_session()
        self._note("", "A new conversation begins; the model does not see the old one.")

    def _mode(self, name: str) -> None:
        try:
            self._enter(name)
        except KeyboardInterrupt:
            self._note("", "Stopped.")
        self._note("mode", self.mode)

    def _enter(self, mode: str) -> None:
        if mode not in MODES:
            raise InvalidQueryError(f"There is no mode {mode!r}; choose one of {', '.join(MODES)}.")
        self.mode = "context"  # stays so if the preparation of another mode fails or is stopped
        if mode == "recite":
            self._learn()
        elif mode == "soft_prompt":
            self._train()

    def _learn(self) -> None:
        # A recitation that was stopped while it learned is not used again.
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
        self._note("training", f"{steps} steps of about a second, on {len(facts)} statements; Ctrl-C ends it early")
        # Without quantization: some processors pack 4-bit weights, and gradients cannot pass packed weights.
        soft_prompt = SoftPromptMemory(CausalReader(self.engine.llm.lm.name, quantization=None))
        with suppress(KeyboardInterrupt):  # then the soft prompt keeps what it has learned so far
            if soft_prompt.train(facts, steps=steps, progress=self._console.is_terminal).diverged:
                self._note("", "The training diverged: the answers will make no sense.")
        self.engine, self.mode = HybridEngine(self.engine.llm, self._memory, soft_prompt=soft_prompt), "soft_prompt"

    def _save(self, path: str) -> None:
        if not path:
            raise InvalidQueryError("/save needs the path of a file, such as /save turns.jsonl.")
        file = Path(path).expanduser()
        number = self._memory.export(file)
        self._note("saved", f"{number} turns in {escape(str(file))}")
        if self.mode == "recite" and self._recitation:
            weights = f"{file}.safetensors"
            self._recitation.save(weights)
            self._note("", f"the weights in {escape(weights)}")


def _line(turn: Turn, passage: str | None = None) -> str:
    """One line for a turn, or for a passage of it: its id, its speaker and its text."""
    text = " ".join((passage or turn.text).split())
    return escape(strip_invisible(f"{str(turn.id)[:SHOWN_ID_CHARS]}  {turn.speaker or 'somebody'}: {text}"))


def _new_session() -> str:
    return f"chat of {datetime.now().astimezone():%Y-%m-%d %H:%M:%S.%f}"


@contextmanager
def _catch_interrupts() -> Iterator[Callable[[], bool]]:
    """Note Ctrl-C instead of raising KeyboardInterrupt, so that no step is left half done.

    Yields:
        A function that returns whether Ctrl-C was pressed.
    """
    interrupted = False

    def handle(*_: object) -> None:
        nonlocal interrupted
        interrupted = True

    old_handler = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: interrupted
    finally:
        signal.signal(signal.SIGINT, old_handler)
