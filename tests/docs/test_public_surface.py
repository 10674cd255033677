"""The public names are those of `__all__`, and importing them is cheap."""

import importlib
import subprocess
import sys

import pytest

PACKAGES = [
    "titans_core",
    "titans_core.cli",
    "titans_core.confidence",
    "titans_core.figures",
    "titans_core.memory",
    "titans_core.neural",
    "titans_core.readers",
    "titans_core.recitation",
    "titans_core.recitation.baselines",
    "titans_core.recitation.exam",
    "titans_core.retrieval",
    "titans_core.storage",
    "titans_core.storage.export",
    "titans_core.testing",
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
