"""The house is as docs/architecture.md draws it: layers whose imports point down, no circle, files that one can read.

Imports for types only count like all others.
"""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = "titans_core"
ADAPTERS = ("titans_langchain", "titans_llamaindex")
PUBLIC = {CORE, *(f"{CORE}.{name}" for name in ("errors", "integration", "readers", "types"))}
"""The modules of the core that an adapter may import."""

MOST_ROOMS = 24
MOST_LINES = 400
PUBLIC_CLASS = "titans_core/memory/memory.py"


def module_of(file):
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_of(file): file for package in (CORE, *ADAPTERS) for file in sorted((ROOT / package).rglob("*.py"))}


@cache
def imports(module):
    """The modules of ours that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(FILES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & FILES.keys()
            found |= submodules or {node.module}
    return found & FILES.keys() - {module}


def room_of(module):
    """A file or folder at the top of the core, "titans_core" for its `__init__`; or an adapter, whole."""
    parts = module.split(".")
    return parts[1] if parts[0] == CORE and len(parts) > 1 else parts[0]


def layers():
    """The layers as they are drawn, top to bottom, each with its rooms."""
    _, picture, *_ = (ROOT / "docs/architecture.md").read_text().split("```")
    boxes = [line.strip("│ ").split() for line in picture.splitlines() if line.startswith("│")]
    return [{room.rstrip("/").removesuffix(".py") for room in box} for box in boxes]


def test_the_picture_shows_every_room_once():
    drawn = [room for layer in layers() for room in layer]
    assert sorted(drawn) == sorted({room_of(module) for module in FILES})


def test_imports_point_down():
    depth = {room: number for number, layer in enumerate(layers()) for room in layer}
    arrows = {(room_of(module), room_of(target)) for module in FILES for target in imports(module)}
    assert not [(above, below) for above, below in arrows if above != below and depth[above] >= depth[below]]


def test_imports_go_in_no_circle():
    try:
        TopologicalSorter({module: imports(module) for module in FILES}).prepare()
    except CycleError as circle:
        pytest.fail(f"these import each other: {' → '.join(circle.args[1])}")


def test_adapters_know_the_public_core_and_not_each_other():
    for adapter in ADAPTERS:
        known = {target for module in FILES if room_of(module) == adapter for target in imports(module)}
        assert {target for target in known if room_of(target) != adapter} <= PUBLIC


def test_there_are_few_rooms_and_no_long_files():
    assert len({room_of(module) for module in FILES} - set(ADAPTERS)) <= MOST_ROOMS
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in FILES.values()}
    assert {file for file, lines in lengths.items() if lines > MOST_LINES} <= {PUBLIC_CLASS}
