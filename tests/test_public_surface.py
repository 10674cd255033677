"""The public names are those of `__all__`, and importing them is cheap."""

import importlib
import subprocess
import sys

import pytest

PACKAGES = [
    "titans_core",
    "titans_core.confidence",
    "titans_core.episodes",
    "titans_core.neural",
    "titans_core.reading",
    "titans_core.recalling",
    "titans_core.recitation",
    "titans_langchain",
    "titans_llamaindex",
]


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_exists_and_has_a_docstring(name):
    package = importlib.import_module(name)
    assert package.__doc__
    assert sorted(package.__all__) == package.__all__ or name != "titans_core"
    for public in package.__all__:
        assert getattr(package, public) is not None
        if callable(getattr(package, public)):
            assert getattr(package, public).__doc__


@pytest.mark.parametrize("name", ["titans_core", "titans_langchain", "titans_llamaindex"])
def test_an_unknown_name_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match="nonsense"):
        _ = importlib.import_module(name).nonsense


def test_the_core_is_imported_without_torch():
    program = "import sys, titans_core; titans_core.Turn; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_memory_is_imported_without_what_loads_models():
    """Workers, and processes with a reader of their own, do not wait for it."""
    program = (
        "import sys, titans_core; titans_core.TitansMemory, titans_core.MemoryBank\n"
        "sys.exit(bool({'transformers', 'sentence_transformers', 'bitsandbytes'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_importing_the_adapters_loads_no_torch():
    for package in ("titans_langchain", "titans_llamaindex"):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-c", f"import {package}"], capture_output=True, text=True, check=True
        )
        modules = [line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()]
        assert package in modules
        assert not [module for module in modules if module.split(".")[0] == "torch"]


def test_imports_point_one_way():
    """Adapters know the core and not each other; the fast weights know only errors; types know only how to quote."""
    import ast
    from pathlib import Path

    root = Path(importlib.import_module("titans_core").__file__).parent.parent
    allowed = {
        "titans_core/types.py": {"titans_core.quoting"},
        "titans_core/quoting.py": set(),
        "titans_core/errors.py": set(),
        "titans_core/locks.py": set(),
        "titans_core/neural": {"titans_core.neural", "titans_core.errors"},
        # A reranker's model is found as a reader's is.
        "titans_core/confidence": {
            "titans_core.confidence",
            "titans_core.errors",
            "titans_core.locks",
            "titans_core.types",
            "titans_core.reading.models",
            "titans_core.reading.causal",
        },
        "titans_core/reading": {
            "titans_core.reading",
            "titans_core.errors",
            "titans_core.lazy",
            "titans_core.locks",
            "titans_core.types",
        },
        "titans_core/recitation": {
            "titans_core.recitation",
            "titans_core.neural",
            "titans_core.reading",
            "titans_core.errors",
            "titans_core.progress",
            "titans_core.types",
            # The engine asks a memory; recitation itself knows none.
            "titans_core.memory",
            "titans_core.twins",
            "titans_core.recalling.phrasing",
        },
        "titans_core/episodes": {
            "titans_core.episodes",
            "titans_core.errors",
            "titans_core.types",
            "titans_core.lazy",  # PostgreSQL's driver is loaded when it is needed
        },
        "titans_langchain": {"titans_langchain", "titans_core"},
        "titans_llamaindex": {"titans_llamaindex", "titans_core"},
    }
    for place, known in allowed.items():
        path = root / place
        for file in [path] if path.is_file() else path.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                names = [node.module] if isinstance(node, ast.ImportFrom) else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                for name in names:
                    ours = (name or "").startswith("titans_")
                    assert not ours or any(name == ok or name.startswith(ok + ".") for ok in known), (file, name)
