"""What the README and the documentation show runs, and what they name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    README,
    *(page.read_text(encoding="utf-8") for page in sorted([ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")])),
]
BLOCKS = [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)]


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
    for page in PAGES:
        for target in re.findall(r"(?:`|^)make ([a-z]+)", page, re.MULTILINE):
            assert f"\n{target}:" in makefile
        for path in re.findall(r"(?:examples|benchmarks|docs|tests)/[\w/-]+\.\w+", page):
            assert (ROOT / path).exists()
        for name in re.findall(r"test_\w+\.py", page):
            assert list((ROOT / "tests").rglob(name))


@pytest.mark.parametrize("what", ["create_agent(", "chain = prompt |"])
def test_a_memory_takes_three_lines(what):
    [block] = [block for block in BLOCKS if what in block and "# +" in block]
    lines = block.splitlines()
    assert 0 < sum(line.endswith("# +") for line in lines) <= 3
    assert all(line.endswith("# +") for line in lines if "titans_core" in line or "memory(" in line)


def test_a_memory_of_a_chat_engine_takes_one_line():
    [block] = [block for block in BLOCKS if "SimpleChatEngine" in block and "# +" in block]
    assert sum(line.endswith("# +") for line in block.splitlines()) == 1


def test_it_stays_short():
    assert len(README.splitlines()) <= 200
