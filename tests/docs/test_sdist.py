"""The sdist holds what git tracks, so that its tests pass in an unpacked sdist too; `make sdist` runs some there."""

import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
INCLUDED = PYPROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]

LEFT_OUT = {
    "PKG-INFO",  # hatchling writes it into the sdist
}


def entries():
    """The files and folders at the top of the project: those that git tracks, or those of an unpacked sdist."""
    if (ROOT / ".git").exists():
        # The checkout may belong to another user, in a container for example.
        command = [shutil.which("git"), "-c", "safe.directory=*", "ls-files"]
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
        return {path.partition("/")[0] for path in listing.stdout.splitlines()}
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()]
    names = {path.name for path in ROOT.iterdir()}
    return {name for name in names if not any(fnmatch(name, pattern) for pattern in ignored)}


def test_the_sdist_includes_every_entry_that_git_tracks():
    assert {f"/{name}" for name in entries() - LEFT_OUT} - set(INCLUDED) == set()


def test_the_sdist_includes_only_what_exists():
    assert [path for path in INCLUDED if not (ROOT / path.removeprefix("/")).exists()] == []


def test_the_list_is_sorted_and_has_no_duplicates():
    assert sorted(set(INCLUDED)) == INCLUDED
