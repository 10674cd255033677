"""After a kill -9 at any moment, every acknowledged write is there, and no write is there in part."""

import json
import subprocess
import sys

import pytest

from programs.killing import FACTS
from support.recorded import RecordedReader
from support.writes import BEFORE, TEXTS, WRITES


@pytest.fixture(scope="module")
def recording(reader, tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "readings.npz"
    RecordedReader(reader, [("", text) for text in [*TEXTS, *FACTS]]).save(path)
    return path


@pytest.fixture
def rounds(recording, tmp_path):
    """A function that runs the program `killing` and returns what it finds in each round."""

    def rounds(how, *numbers):
        command = [sys.executable, "-m", "programs.killing", how, recording, tmp_path, *map(str, numbers)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5400)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return rounds


def check(found):
    assert found["turns"] in found["possible"]
    assert (found["integrity"], found["replayed"], found["recalled"]) == ("ok", True, True)


@pytest.mark.parametrize("stride", [1000, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_a_step_it_has_the_old_turns_or_the_new_ones(rounds, stride):
    ends = {name: set() for name in WRITES}
    for found in rounds("at each step", stride):
        check(found)
        ends[found["write"]].add(found["turns"] == found["possible"][-1])
        assert found["has_bytes"] == (["pin", BEFORE["pin"]] in found["turns"])
    for name in ("memorize", "memorize many", "update", "forget"):
        assert ends[name] == {False, True}  # killed before the commit, and after it


@pytest.mark.parametrize("count", [16, pytest.param(500, marks=pytest.mark.slow)])
def test_killed_at_random_it_has_lost_nothing_that_was_acknowledged(rounds, count):
    found = rounds("at random", count, 1)
    for each in found:
        check(each)
    assert len(found) == count
    # Some kills came between two commits, some after a commit.
    assert {each["turns"] == each["possible"][0] for each in found} == {False, True}


@pytest.mark.slow
def test_ten_thousand_turns_are_open_within_a_second_after_a_kill(rounds, record_property):
    [found] = rounds("large", 10_000)
    record_property("seconds to open", found["seconds"])
    assert found["stored"] == 10_000
    assert found["replayed"]
    assert found["seconds"] < 1
