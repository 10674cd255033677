"""`titans figures` draws every picture of a memory, or reports why it cannot."""

import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from titans_core import TitansMemory
from titans_core.cli import app as cli
from titans_core.errors import InvalidTenantError
from titans_core.figures import draw as figures
from titans_core.figures.style import new_figure

TALK = [
    ("Ada", "My brother Tom broke his arm while climbing."),
    ("Ben", "Oh no! Was that in the gym or outside?"),
    ("Ada", "Outside, near the quarry at Bellever."),
    ("Ben", "I finally sold my old Volvo to a neighbour."),
    ("Ben", "My brother Tom broke his arm while climbing."),
    ("Ada", "My brother Tom broke his arm, while climbing!"),
    ("Cleo", "How much did you get for it?"),
    ("Ben", "Eleven hundred, and he paid in cash."),
]
PICTURES = {
    "dashboard": "dashboard",
    "surprise": "surprise_over_time",
    "updates": "update_heat_map",
    "momentum": "momentum_against_surprise",
    "forgetting": "effect_of_forgetting",
}


def run(*arguments):
    return CliRunner().invoke(cli.build_app(), ["figures", *map(str, arguments)])


def problem(result):
    assert result.exit_code == 1
    assert result.stderr.startswith("problem  ")
    assert not result.stdout
    return result.stderr


@pytest.fixture
def dashboard_calls(monkeypatch):
    """Arguments of each call of `dashboard`. The other pictures are replaced, because they have tests of their own."""
    calls = []

    def dashboard(history, recollection):
        calls.append((history, recollection))
        return new_figure(2, 2, "", "")

    monkeypatch.setattr(figures, "dashboard", dashboard)
    for name in PICTURES.values():
        if name != "dashboard":
            monkeypatch.setattr(figures, name, lambda history: new_figure(2, 2, "", ""))
    return calls


def test_the_command_writes_every_picture_and_names_it(talk, tmp_path):
    result = run(tmp_path / "out", "--url", talk.url, "--tenant", "talk", "--last", 5)
    assert result.exit_code == 0, result.output
    files = [tmp_path / "out" / f"{name}.{ending}" for name in PICTURES for ending in ("png", "svg")]
    assert result.output.splitlines() == [str(file) for file in files]
    for file in files:
        beginning = file.read_bytes()[:8]
        assert beginning.startswith(b"\x89PNG" if file.suffix == ".png" else b"<?xml")
    assert "Shown: turns 4 to 8." in files[1].read_text(encoding="utf-8")


def test_a_query_is_recalled_from_all_turns(talk, tmp_path, dashboard_calls):
    assert run(tmp_path, "--url", talk.url, "--tenant", "talk", "--query", "What broke?").exit_code == 0
    [(history, recollection)] = dashboard_calls
    assert recollection.query == "What broke?"
    assert len(history) == len(TALK)
    assert history.repeated.tolist() == [number == 5 for number in range(len(TALK))]
    assert history.learned[5] == 0


def test_by_default_the_latest_question_is_asked_of_the_other_turns(talk, tmp_path, dashboard_calls):
    figures.draw(talk, tmp_path)
    [(_, recollection)] = dashboard_calls
    assert recollection.query == "How much did you get for it?"
    assert recollection.recalls
    assert recollection.query not in {recall.text for recall in recollection}


def test_without_a_question_the_most_surprising_turn_is_looked_for(memory, tmp_path, dashboard_calls):
    same = "The weather is nice and we are all well today, as ever, thank you and good night"
    for text in (same, f"{same}.", "Quantum chromodynamics confines quarks.", f"Well. {same}"):
        memory.memorize(text)
    done = []
    figures.draw(memory, tmp_path, last=3, progress=lambda *step: done.append(step))
    [(history, recollection)] = dashboard_calls
    row = int(np.argmax(history.relative))
    assert recollection.query == "Quantum chromodynamics confines quarks."
    assert history.numbers[row] == 3
    assert done[-1] == (4, 4)


def test_an_unknown_file_is_not_created(tmp_path):
    path = tmp_path / "nowhere.db"
    assert "There is no memory at" in problem(run(tmp_path, "--url", path, "--tenant", "alice"))
    assert not path.exists()
    path.touch()
    assert "There is no memory at" in problem(run(tmp_path, "--url", path, "--tenant", "alice"))
    assert not path.read_bytes()


def test_a_file_that_is_no_memory_is_named(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("These are notes, and no database at all. " * 50)
    assert "not a SQLite file" in problem(run(tmp_path, "--url", path, "--tenant", "alice"))


def test_an_unknown_tenant_is_refused_with_the_names_of_the_known_ones_and_is_not_created(talk, tmp_path):
    for _ in range(2):
        message = problem(run(tmp_path, "--url", talk.url, "--tenant", "bob"))
        assert "has no tenant 'bob'; choose one of its tenants: 'talk'." in message


def test_of_many_tenants_ten_are_named(tmp_path, reader):
    path = tmp_path / "memory.db"
    for number in range(12):
        with TitansMemory.open(path, tenant=f"tenant-{number:02}", reader=reader) as memory:
            memory.memorize("Tea, please.")
    message = problem(run(tmp_path, "--url", path, "--tenant", "bob"))
    assert "'tenant-09' and 2 more." in message
    assert "tenant-10" not in message


def test_a_memory_without_turns_is_not_drawn(tmp_path, reader):
    path = tmp_path / "memory.db"
    with TitansMemory.open(path, tenant="alice", reader=reader) as memory:
        with pytest.raises(InvalidTenantError, match="memorize some"):
            figures.draw(memory, tmp_path)
        assert "holds no turns yet" in problem(run(tmp_path, "--url", path, "--tenant", "alice"))


def test_an_empty_query_and_a_wrong_retention_are_explained(talk, tmp_path):
    assert "empty" in problem(run(tmp_path, "--url", talk.url, "--tenant", "talk", "--query", " ", "--last", 1))
    assert "retention" in problem(run(tmp_path, "--url", talk.url, "--tenant", "talk", "--retention", 2))


def test_without_matplotlib_the_command_says_what_to_install(monkeypatch, talk, tmp_path):
    for name in [name for name in sys.modules if name.startswith(("matplotlib", "titans_core.figures"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    message = problem(run(tmp_path, "--url", talk.url, "--tenant", "talk"))
    assert "needs matplotlib" in message
    assert "pip install 'titans-core[figures]'" in message


def test_another_missing_module_is_not_blamed_on_the_extra(monkeypatch, talk, tmp_path):
    def fail(*_):
        raise ModuleNotFoundError("No module named 'json'", name="json")

    monkeypatch.setattr(figures, "check_memory", fail)
    result = run(tmp_path, "--url", talk.url, "--tenant", "talk")
    assert isinstance(result.exception, ModuleNotFoundError)
