"""kill -9 between any two statements of a memorize: what was acknowledged is there, and nothing is half."""

import json
import subprocess
import sys
from pathlib import Path

from recorded import RecordedReader

BEFORE = ["My sister Ada moved to Lisbon.", "The boiler was repaired in March."]
KILLED = "The train to Porto leaves at 7:40."


def test_nothing_acknowledged_is_lost_and_nothing_is_half(reader, tmp_path):
    recording = tmp_path / "readings.npz"
    RecordedReader(reader, [("user: ", text) for text in [*BEFORE, KILLED]]).save(recording)
    program = Path(__file__).parent / "kill_each_statement.py"
    done = subprocess.run(
        [sys.executable, program, recording, tmp_path, *BEFORE, KILLED], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    rounds = [json.loads(line) for line in done.stdout.splitlines()]

    killed, [finished] = rounds[:-1], rounds[-1:]
    assert len(killed) >= 8  # BEGIN, look-ups, inserts, COMMIT: each was the last one at some time
    assert finished["acknowledged"] == [*BEFORE, KILLED]
    for each in rounds:
        assert each["stored"] in (BEFORE, [*BEFORE, KILLED])
        assert each["stored"][: len(each["acknowledged"])] == each["acknowledged"]
        assert each["integrity"] == "ok"
        assert each["distance_to_replay"] < 1e-5
        assert each["found_by_words"] == (KILLED in each["stored"])
