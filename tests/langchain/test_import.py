"""Importing the LangChain adapter is fast: it loads no torch before a memory is opened."""

import subprocess
import sys

import pytest

import titans_langchain

pytestmark = pytest.mark.compat

HEAVY = {"torch", "transformers", "sentence_transformers", "bitsandbytes"}


def run(code, *flags):
    return subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, timeout=60, check=True)


def imported(code):
    lines = run(code, "-X", "importtime").stderr.splitlines()
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_the_package_loads_neither_torch_nor_langchain():
    modules = imported("import titans_langchain")
    assert "titans_langchain" in modules
    assert not modules & (HEAVY | {"langchain_core", "numpy"})


def test_its_classes_load_no_torch():
    code = """
import sys, titans_langchain
for name in titans_langchain.__all__:
    getattr(titans_langchain, name)
    print(name, *{module.partition(".")[0] for module in sys.modules})
"""
    loaded = {name: set(modules) for name, *modules in map(str.split, run(code).stdout.splitlines())}
    assert loaded.keys() == set(titans_langchain.__all__)
    assert {name: modules & HEAVY for name, modules in loaded.items() if modules & HEAVY} == {}
    assert "langchain_core" in loaded["TitansRetriever"]


def test_every_public_name_is_there():
    assert dir(titans_langchain) == sorted(titans_langchain.__all__)
    assert all(getattr(titans_langchain, name) for name in titans_langchain.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'TitansVectorStore'"):
        _ = titans_langchain.TitansVectorStore


@pytest.mark.parametrize(
    ("missing", "name", "extra"),
    [
        ("langchain_core", "TitansRetriever", "langchain"),
        ("langchain", "TitansMemoryMiddleware", "agents"),
        ("langgraph", "TitansStore", "agents"),
        ("langgraph", "recall_node", "agents"),
        ("langchain_classic", "TitansChainMemory", "classic"),
    ],
)
def test_without_a_framework_the_error_says_what_to_install(missing, name, extra):
    code = f"""
import sys
sys.modules["{missing}"] = None
import titans_langchain
try:
    titans_langchain.{name}
except ModuleNotFoundError as error:
    print(error)
"""
    assert f"pip install 'titans-core[{extra}]'" in run(code).stdout


def test_langchain_core_is_enough_for_chains():
    code = """
import sys
sys.modules["langchain"] = sys.modules["langgraph"] = sys.modules["langchain_classic"] = None
from titans_langchain import ChatTitansLM, TitansChatMessageHistory, TitansRetriever, with_memory
print(TitansRetriever.__name__)
"""
    assert run(code).stdout == "TitansRetriever\n"
