"""Importing the LlamaIndex adapter does not load torch. Without LlamaIndex, the error says what to install."""

import subprocess
import sys

import pytest

import titans_llamaindex

pytestmark = pytest.mark.compat


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_import_loads_neither_torch_nor_llamaindex():
    code = "import sys, titans_llamaindex; print(*{name.partition('.')[0] for name in sys.modules})"
    assert {"torch", "transformers", "llama_index"}.isdisjoint(run(code))


def test_its_classes_load_no_torch():
    code = "import sys\nfrom titans_llamaindex import *\nprint('torch' in sys.modules, TitansChatMemory.__name__)"
    assert run(code) == ["False", "TitansChatMemory"]


def test_without_llamaindex_the_error_names_the_extra():
    code = (
        "import sys; sys.modules['llama_index'] = None\n"
        "try: from titans_llamaindex import TitansRetriever\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    assert "'titans-core[llamaindex]'" in run(code)


def test_public_names():
    assert dir(titans_llamaindex) == sorted(titans_llamaindex.__all__)
    assert all(getattr(titans_llamaindex, name) for name in titans_llamaindex.__all__)
    with pytest.raises(AttributeError, match="TitansVectorStore"):
        titans_llamaindex.TitansVectorStore  # noqa: B018 - reading it is the test
