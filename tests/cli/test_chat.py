"""`titans chat` remembers facts in later conversations, and its commands do what they promise."""

import re
import signal
import sys
from io import StringIO

import pexpect
import pytest
from rich.console import Console
from typer.testing import CliRunner

from titans_core import TitansMemory, Turn
from titans_core.cli import app as cli
from titans_core.cli import chat
from titans_core.cli.chat import COMMANDS, HISTORY_MESSAGES, Chat
from titans_core.errors import InvalidQueryError

COLOR = "Alice's favorite color is turquoise."
ASKED = "Which color does Alice like?"
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def press_ctrl_c(*_, **__):
    signal.raise_signal(signal.SIGINT)


class Screen(StringIO):
    """Records what a chat shows."""

    press_ctrl_c_at_reply = False
    """Whether to press Ctrl-C as soon as a reply begins."""

    def write(self, text):
        if self.press_ctrl_c_at_reply and "titans>" in text:
            press_ctrl_c()
        return super().write(text)

    def seen(self):
        """The text since the last call."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text


@pytest.fixture
def screen():
    return Screen()


@pytest.fixture
def talk(llm, memory, screen):
    return Chat(llm, memory, Console(file=screen, width=120), max_new_tokens=3)


# Python 3.12 warns because a fork does not copy threads. This fork starts another program at once, so it is safe.
@pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")
def test_in_a_terminal_a_fact_is_known_after_its_conversation_in_both_modes(tmp_path):
    program = ["-c", "from titans_core.cli.app import main; main()", "chat", "--url", str(tmp_path / "memory.db")]
    user = pexpect.spawn(
        sys.executable, [*program, "--max-tokens", "12"], timeout=120, encoding="utf-8", dimensions=(40, 120)
    )

    def answer(line):
        user.sendline(line)
        user.expect("you> ")
        return TERMINAL_CODES.sub("", user.before)

    user.expect("you> ")
    assert "0 turns of me" in user.before
    user.sendintr()
    user.expect("Ctrl-D or /quit quits")
    user.expect("you> ")
    assert re.search(r"surprise +1.00", answer(COLOR))
    answer("/clear")
    replied = answer(ASKED)
    assert re.search(r"titans> .*turquoise", replied, re.IGNORECASE)
    assert re.search(r"recalled +(high|low)", replied)
    assert re.search(r"mode +recite", answer("/mode recite"))
    answer("/clear")
    replied = answer("Which color does Alice prefer?")
    assert re.search(r"titans> .*turquoise", replied, re.IGNORECASE)
    assert f'recited  "{COLOR}"' in replied
    assert "familiarity" in replied
    user.sendeof()
    user.expect(pexpect.EOF)
    user.close()
    assert user.exitstatus == 0


def test_both_sides_are_memorized_after_the_recall(talk, memory, screen):
    talk.take(COLOR)
    assert "nothing is known" in screen.seen()
    user, assistant = memory.turns()
    assert (user.speaker, user.text, assistant.speaker) == ("user", COLOR, "assistant")
    assert user.session == assistant.session
    assert [message["role"] for message in talk.history] == ["user", "assistant"]
    talk.take(COLOR)
    assert "heard before" in screen.seen()


def test_the_model_sees_the_last_exchanges_until_they_are_cleared(talk, memory):
    for number in range(HISTORY_MESSAGES // 2 + 1):
        talk.take(f"My number is {number}.")
    assert len(talk.history) == HISTORY_MESSAGES
    assert talk.history[0] == {"role": "user", "content": "My number is 1."}
    stored = len(memory.turns())
    talk.take("/clear")
    assert talk.history == []
    assert len(memory.turns()) == stored
    talk.take("Hello!")
    assert len({turn.session for turn in memory.turns()}) == 2


def test_recalls_are_shown_with_label_score_and_id(talk, memory, screen):
    memory.memorize(COLOR, speaker="user", id="0123456789")
    talk.take(ASKED)
    assert re.search(rf"recalled  (high|low)\n +\d\.\d\d  01234567  user: {COLOR}\n", screen.seen())


def test_markup_in_what_is_said_and_told_is_shown_as_it_is(talk, memory, screen, monkeypatch):
    memory.memorize("[bold]Alice[/] likes [red]turquoise\\", speaker="[dim]bob[/]", id="[/]x")
    talk.take("/list")
    assert "[/]x  [dim]bob[/]: [bold]Alice[/] likes [red]turquoise\\\n" in screen.seen()
    monkeypatch.setattr(
        talk.engine.llm.lm.__class__, "generate", lambda self, prompt, on_text, **options: on_text("[/]Oh[red]")
    )
    talk.take("Hello!")
    assert "titans> [/]Oh[red]\n" in screen.seen()


def test_ctrl_c_stops_a_reply_and_nothing_else(talk, memory, screen):
    handler = signal.getsignal(signal.SIGINT)
    screen.press_ctrl_c_at_reply = True
    assert talk.take("Why is the sky blue?")
    assert "(stopped)" in screen.seen()
    user, assistant = memory.turns()
    assert user.text == "Why is the sky blue?"
    assert len(assistant.text.split()) == 1
    assert signal.getsignal(signal.SIGINT) is handler


def test_list_shows_the_last_turns(talk, memory, screen):
    talk.take("/list")
    assert "The memory has no turns yet." in screen.seen()
    memory.memorize_many([Turn(f"Fact\nnumber {number}.") for number in range(12)])
    talk.take("/list")
    lines = screen.seen().splitlines()
    assert [line.split(": ")[-1] for line in lines[:-1]] == [f"Fact number {number}." for number in range(2, 12)]
    assert lines[-1].strip() == "12 turns in all"
    talk.take("/list 1")
    assert screen.seen().count("Fact") == 1
    talk.take("/list many")
    assert "/list 20" in screen.seen()


def test_forget_takes_the_beginning_of_an_id_if_it_is_unique(talk, memory, screen):
    talk.history = [{"role": "user", "content": "Tom climbs."}]
    memory.memorize_many([Turn("Tom climbs.", id="tom-1"), Turn("Tom sails.", id="tom-2"), Turn("Ada.", id="ada")])
    talk.take("/forget tom")
    assert "2 turns have ids that begin with 'tom'" in screen.seen()
    for unknown in ("/forget x", "/forget"):
        talk.take(unknown)
        assert "No turn has an id that begins" in screen.seen()
    assert len(memory.turns()) == 3
    talk.take("/forget tom-1")
    assert "Tom climbs." in screen.seen()
    assert [turn.id for turn in memory.turns()] == ["tom-2", "ada"]
    assert talk.history == []  # the model no longer sees the turn either


def test_a_mode_is_changed_by_its_name(talk, memory, screen):
    memory.memorize(COLOR, speaker="user")
    talk.take("/mode recite")
    assert talk.mode == "recite"
    assert "mode  recite" in screen.seen()
    talk.take(ASKED)
    assert f'recited  "{COLOR}"' in screen.seen()
    talk.take("Why is the sky blue?")
    assert "recited  nothing" in screen.seen()
    for unknown in ("/mode guess", "/mode"):
        talk.take(unknown)
        assert "choose one of context, recite, soft_prompt" in screen.seen()
    assert talk.mode == "recite"
    talk.take("/mode context")
    assert talk.mode == "context"


def test_a_soft_prompt_is_trained_on_what_was_told(talk, memory, screen, monkeypatch):
    monkeypatch.setattr(chat, "TRAINING_STEPS_PER_FACT", 1)
    talk.take("/mode soft_prompt")
    assert "tell me something first" in screen.seen()
    assert talk.mode == "context"
    memory.memorize_many([Turn(COLOR, speaker="user"), Turn("Ada sails.", speaker="user")])
    talk.take("/mode soft_prompt")
    assert "2 steps of about a second, on 2 statements" in screen.seen()
    assert talk.mode == "soft_prompt"
    talk.take(ASKED)
    assert screen.seen().startswith("titans> ")


def test_a_training_that_is_ended_early_is_used(talk, memory, monkeypatch):
    memory.memorize(COLOR, speaker="user")
    monkeypatch.setattr(chat.SoftPromptMemory, "train", press_ctrl_c)
    talk.take("/mode soft_prompt")
    assert talk.mode == "soft_prompt"


def test_a_training_that_diverged_says_so(talk, memory, screen, monkeypatch):
    memory.memorize(COLOR, speaker="user")
    monkeypatch.setattr(chat.SoftPromptMemory, "_step", lambda self, tokens: float("nan"))
    talk.take("/mode soft_prompt")
    assert "The training diverged" in screen.seen()


def test_a_reply_of_white_space_is_not_memorized(talk, memory, screen, monkeypatch):
    monkeypatch.setattr(
        talk.engine.llm.lm.__class__, "generate", lambda self, prompt, on_text, **options: on_text("\n\n")
    )
    talk.take(COLOR)
    assert screen.seen().startswith("(no words)\n")
    assert [turn.text for turn in memory.turns()] == [COLOR]
    assert talk.history == []


def test_learning_that_is_stopped_leaves_the_plain_mode(talk, memory, screen, monkeypatch):
    memory.memorize(COLOR, speaker="user")
    with monkeypatch.context() as patched:
        patched.setattr(chat.Recitation, "learn", press_ctrl_c)
        talk.take("/mode recite")
    assert talk.mode == "context"
    assert "Stopped." in screen.seen()
    talk.take("/mode recite")
    assert talk.mode == "recite"


def test_save_writes_the_turns_and_in_recite_mode_the_weights(talk, memory, screen, tmp_path, reader):
    memory.memorize(COLOR, speaker="user")
    talk.take(f"/save {tmp_path / 'turns.jsonl'}")
    assert "1 turns in" in screen.seen()
    turns = {"turns.jsonl", "turns.jsonl.readings.safetensors"}
    assert {file.name for file in tmp_path.iterdir()} == turns
    talk.take("/mode recite")
    talk.take(f"/save {tmp_path / 'all'}")
    everything = turns | {"all", "all.readings.safetensors", "all.safetensors"}
    assert {file.name for file in tmp_path.iterdir()} == everything
    with TitansMemory.open(":memory:", tenant="bob", reader=reader) as other:
        assert other.import_(tmp_path / "all") == 1
    screen.seen()
    talk.take("/save")
    assert "path of a file" in screen.seen()
    talk.take(f"/save {tmp_path / 'nowhere' / 'turns'}")
    assert screen.seen().startswith("problem")


def test_an_unknown_command_is_answered_with_the_known_ones(talk, memory, screen):
    assert talk.take("/remember")
    shown = screen.seen()
    assert all(f"/{name}" in shown for name in COMMANDS)
    talk.take("/help")
    shown = screen.seen()
    assert all(f"/{name}" in shown for name in COMMANDS)
    assert talk.take("   ")
    assert screen.seen() == ""
    assert not talk.take("/quit")
    assert memory.turns() == []


def test_what_cannot_be_answered_is_explained_and_the_chat_goes_on(talk, memory, screen, monkeypatch):
    def fail(*_, **__):
        raise InvalidQueryError("The [gate] is stuck.")

    with monkeypatch.context() as patched:
        patched.setattr(talk.engine, "chat", fail)
        assert talk.take(COLOR)
    assert screen.seen() == "problem  The [gate] is stuck.\n"
    assert [turn.text for turn in memory.turns()] == [COLOR]
    assert talk.history == []
    assert talk.take(ASKED)
    assert "recalled" in screen.seen()


def test_an_unknown_mode_ends_the_command_with_a_sentence(tmp_path):
    result = CliRunner().invoke(cli.build_app(), ["chat", "--url", str(tmp_path / "memory.db"), "--mode", "guess"])
    assert result.exit_code == 1
    assert "choose one of context, recite, soft_prompt" in result.stderr
