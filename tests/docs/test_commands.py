"""The documentation names every command of `titans`, and only programs that exist."""

import importlib.util
import re
from pathlib import Path

import pytest
from typer.main import get_command

from titans_core.cli import build_app

ROOT = Path(__file__).parents[2]
FOR_USERS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES = [*FOR_USERS, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"))]
TEXT_FOR_USERS = "\n".join(page.read_text(encoding="utf-8") for page in FOR_USERS)


@pytest.mark.parametrize("command", get_command(build_app()).commands)
def test_readme_or_docs_name_every_command(command):
    assert f"titans {command}" in TEXT_FOR_USERS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_only_benchmarks_that_exist(page):
    for module in re.findall(r"\bbenchmarks(?:\.\w+)+", page.read_text(encoding="utf-8")):
        assert importlib.util.find_spec(module)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_only_commands_that_exist(page):
    commands = set(get_command(build_app()).commands)
    assert set(re.findall(r"`titans ([a-z-]+)", page.read_text(encoding="utf-8"))) <= commands
