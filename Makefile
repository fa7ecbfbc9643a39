# Every target sets up what it needs in .venv; uv does it where there is one, else pip brings uv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup run test test-all coverage mutants lint docs format clean studio

help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY)  ## make .venv with faceskd and all it needs

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		(echo "faceskd needs Python 3.11 or later: make PYTHON=/path/to/python" && exit 1)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt \
		--editable '.[export,slurm,studio,docs,dev]'
	@touch $@

run: $(READY)  ## the quick start: the whole method in minutes; FACESKD_FACES=FOLDER for photos
	$(BIN)/faceskd pipeline $(ARGS)

studio: $(READY)  ## the web application, on http://127.0.0.1:8000
	$(BIN)/faceskd studio $(ARGS)

# The small files come last, so that both processes end at about the same time.
PYTEST = $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(READY)  ## the tests, without those marked slow
	$(PYTEST) -m "not slow" $(ARGS)

test-all: $(READY)  ## all tests; twice the time
	$(PYTEST) $(ARGS)

coverage: $(READY)  ## all tests, with branch coverage, which takes longer
	$(MAKE) test-all ARGS='--cov --cov-report=term $(ARGS)'

mutants: $(READY)  ## change the code of losses, dictionary and degradation: do tests notice? an hour
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[mutants]'
	nice $(BIN)/mutmut run --max-children 1 $(ARGS)
	$(BIN)/mutmut results

lint: $(READY)  ## ruff, mypy, and the contracts on who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

docs: $(READY)  ## the documentation site, in site/; a broken link or reference is an error
	$(BIN)/zensical build --clean --strict

format: $(READY)  ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment, the site and caches, not runs/
	rm -rf $(VENV) mutants site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* build dist
