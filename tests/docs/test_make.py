"""The Makefile's commands, the hooks for pre-commit, the scripts for CI and CONTRIBUTING.md agree with each other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
HOOKS = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")


def recipe(target):
    """The command lines of a target, with the programs' folder filled in."""
    [lines] = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in lines.splitlines()]


def test_the_hooks_run_the_commands_of_make_lint():
    assert re.findall(r"^ +entry: (.*)$", HOOKS, re.MULTILINE) == recipe("lint")


def test_the_hooks_download_nothing():
    assert re.findall(r"repo: (.*)", HOOKS) == ["local"]
    assert set(re.findall(r"language: (.*)", HOOKS)) == {"system"}


def test_the_hooks_check_everything_and_not_only_the_files_of_a_commit():
    hooks = HOOKS.count("- id:")
    assert hooks == HOOKS.count("pass_filenames: false") == HOOKS.count("always_run: true") == len(recipe("lint"))


def test_contributing_explains_every_command_that_make_help_lists():
    listed = re.findall(r"^([a-z]+):.*##", MAKEFILE, re.MULTILINE)
    assert "help" in listed
    explained = re.findall(r"^\| `make ([a-z]+)", CONTRIBUTING, re.MULTILINE)
    assert sorted(explained) == sorted(listed)


def test_ci_runs_commands_that_exist():
    listed = set(re.findall(r"^([a-z]+):.*##", MAKEFILE, re.MULTILINE))
    for script in (".ci/run", ".github/workflows/ci.yml"):
        run = re.findall(r"^(?: +- run: )?make ([a-z]+)", (ROOT / script).read_text(encoding="utf-8"), re.MULTILINE)
        assert run
        assert set(run) <= listed


def test_contributing_shows_files_and_folders_that_exist():
    tree = CONTRIBUTING.split("## Where things are")[1].split("\nImports point down")[0]
    names = re.findall(r"^ +((?:[\w.]+(?:/|\.py|\.txt) +)+)", tree, re.MULTILINE)
    assert len(names) > 20
    for name in " ".join(names).split():
        assert list(ROOT.glob(name)) or list(ROOT.glob(f"titans_*/{name}")) or list(ROOT.glob(f"benchmarks/{name}"))
