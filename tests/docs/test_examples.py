"""`make demo` keeps its promises: one run, read as a user reads it. The other examples run as they stand."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
QUICKSTART = EXAMPLES / "quickstart.py"


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """What the quickstart prints, on a screen so wide that no line is broken."""
    path = tmp_path_factory.mktemp("demo") / "nora.db"
    environment = os.environ | {"COLUMNS": "600", "PYTHONIOENCODING": "utf-8"}
    environment["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that spin while they wait crawl on a busy machine
    done = subprocess.run(
        [sys.executable, QUICKSTART, path], env=environment, capture_output=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no warning, no progress of a library
    return done.stdout


def panel(output, title):
    """The lines inside the panel with this title, and the words on its lower edge."""
    _, *rest = output[output.index(f"╭─ {title}") :].splitlines()
    end = next(number for number, line in enumerate(rest) if line.startswith("╰"))
    return [line.strip("│ ") for line in rest[:end]], rest[end].strip("╰─╯ ")


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("What is the secret code?", "The secret code is X-8-DELTA-9."),
        ("What is Alice's favorite color?", "Alice's favorite color is turquoise."),
        ("When is the meeting?", "The meeting is scheduled for 3pm on Friday."),
    ],
)
def test_the_three_facts_are_recalled_first_and_trusted_in_a_new_process(output, question, fact):
    recalls, edge = panel(output, question)
    assert recalls[0].endswith(fact)
    assert re.fullmatch(r"high +\d+ ms", edge)


@pytest.mark.parametrize("question", ["What is the address of the meeting?", "What is my dentist's name?"])
def test_what_was_never_told_is_not_trusted(output, question):
    _, edge = panel(output, question)
    assert re.fullmatch(r"(low|none) +\d+ ms", edge)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who has my spare key?", "Mrs Abara"),
        ("Can you remind me how to get the boiler going again?", "Stop at 1.2 bar"),
        ("Who is Pepper's vet?", "Dr Wen"),
    ],
)
def test_the_conversation_is_recalled(output, question, answer):
    recalls, _ = panel(output, question)
    assert answer in recalls[0]


@pytest.mark.parametrize(
    ("framework", "fact", "question"),
    [
        ("LangChain", "Alice's favorite color is turquoise.", "What is Alice's favorite color?"),
        ("LlamaIndex", "The meeting is scheduled for 3pm on Friday.", "When is the meeting?"),
    ],
)
def test_the_model_behind_a_framework_is_given_the_fact_and_the_question(output, framework, fact, question):
    prompt, _ = panel(output, framework)
    told, asked = (
        next(number for number, line in enumerate(prompt) if line.endswith(text)) for text in (fact, question)
    )
    assert told < asked


def test_every_turn_of_the_conversation_is_memorized(output):
    conversation = (QUICKSTART.parent / "conversation.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(conversation) >= 60
    assert f"{len(conversation) + 3} turns" in output


OTHERS = {
    "langchain_agent": {"What is my dog called?  with the memory": "Biscuit"},
    "langchain_chain": {"LangChain": "Alice's favorite color is turquoise."},
    "langchain_graph": {"LangGraph, monday": "(no memories)", "LangGraph, tuesday": "is turquoise."},
    "langchain_migration": {"TitansChainMemory": "is turquoise.", "with_memory": "is turquoise."},
    "llamaindex_agents": {"FunctionAgent": "Biscuit", "ReActAgent": "Biscuit", "AgentWorkflow": "Biscuit"},
    "llamaindex_block": {"LearningMemory, tuesday": "3pm on Friday."},
    "llamaindex_chat": {"LlamaIndex": "The meeting is scheduled for 3pm on Friday."},
    "llamaindex_engines": {
        "SimpleChatEngine": "3pm on Friday",
        "ContextChatEngine": "3pm on Friday",
        "CondensePlusContextChatEngine": "3pm on Friday",
    },
    "llamaindex_migration": {
        "TitansChatMemory, of the next conversation": "is turquoise.",
        "LearningMemory with": "3pm on Friday.",
    },
}


# LlamaIndex looks at every attribute of an agent, pydantic's deprecated ones too.
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
@pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning")  # by its ReActAgent
@pytest.mark.parametrize("name", OTHERS)
def test_the_others_run(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "600")
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    output = capsys.readouterr().out
    for title, said in OTHERS[name].items():
        assert said in output[output.index(f"╭─ {title}") :]
    if name == "langchain_agent":
        assert "Biscuit" not in output[output.index("without it") :]  # nor when another user asks


def test_every_example_is_run():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {"quickstart", *OTHERS}
