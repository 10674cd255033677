"""Each package says with `__all__` which of its names are public."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = ("titans_core", "titans_langchain", "titans_llamaindex")
PACKAGES = sorted(file for name in ROOTS for file in (ROOT / name).rglob("__init__.py"))


@pytest.mark.parametrize("file", PACKAGES, ids=lambda file: str(file.parent.relative_to(ROOT)))
def test_a_package_that_imports_names_has_all(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imports = any(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.walk(tree))
    assigned = {ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)}
    assert "__all__" in assigned or not imports
