"""Importing the LangChain adapter is cheap: no torch before a memory is opened."""

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "sentence_transformers", "bitsandbytes"}


def run(code, *flags):
    return subprocess.run(  # our own interpreter and code
        [sys.executable, *flags, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )


def imported(code):
    lines = run(code, "-X", "importtime").stderr.splitlines()
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_the_package_loads_neither_torch_nor_langchain():
    modules = imported("import titans_langchain")
    assert "titans_langchain" in modules
    assert not modules & (HEAVY | {"langchain_core", "numpy"})


@pytest.mark.parametrize("name", ["TitansRetriever", "TitansChatMessageHistory"])
def test_its_classes_load_no_torch(name):
    modules = imported(f"from titans_langchain import {name}")
    assert "langchain_core" in modules
    assert not modules & HEAVY


def test_every_public_name_is_there():
    import titans_langchain

    assert dir(titans_langchain) == sorted(titans_langchain.__all__)
    assert all(getattr(titans_langchain, name) for name in titans_langchain.__all__)


def test_an_unknown_name_is_an_attribute_error():
    import titans_langchain

    with pytest.raises(AttributeError, match="no attribute 'TitansStore'"):
        _ = titans_langchain.TitansStore


def test_without_langchain_the_error_says_what_to_install():
    code = """
import sys
sys.modules["langchain_core"] = None
import titans_langchain
try:
    titans_langchain.TitansRetriever
except ModuleNotFoundError as error:
    print(error)
"""
    assert "pip install 'titans-core[langchain]'" in run(code).stdout
