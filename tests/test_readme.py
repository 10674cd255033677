"""What the README shows runs, and what it names exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.split("\n", 1)[0])
def test_every_block_runs_as_it_stands(block, tmp_path, monkeypatch, capsys, reader):
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    # What a print is said to show, in the comment behind it.
    for shown in re.findall(r"print\(.*?\)\s+# (high .*)", block):
        assert shown in printed
    assert printed.strip()


def test_the_make_targets_and_files_that_it_names_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z]+)", README):
        assert f"\n{target}:" in makefile
    for path in re.findall(r"(?:examples|benchmarks|docs)/[\w/]+\.\w+", README):
        assert (ROOT / path).exists()


def test_it_stays_short():
    assert len(README.splitlines()) <= 200
