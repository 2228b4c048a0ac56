# `make demo` and `make test` do all their own set-up: a virtual environment in .venv, no root, no ffmpeg, no GPU.
PYTHON ?= python3
ROOT ?= workspace
SEED ?= 0
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt
# Tests and Ray start some eighty processes: without bytecode each would compile what it imports, 5 to 10 s for torch and
# Ray. All cores at once compile the libraries in 40 s; some hold files of Python 2.
export PYTHONDONTWRITEBYTECODE :=
COMPILE := $(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true

# Three processes, of which one runs all that needs Ray (tests/conftest.py) and often waits: the others use 2 cores then.
PARALLEL := --numprocesses 3

.PHONY: setup demo test quick check format bench clean

.venv/runs: pyproject.toml constraints.txt pipeline/media/face_files.py
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable .
	$(BIN)/python -m pipeline.media.face_files
	$(COMPILE)
	touch $@

.venv/tests: .venv/runs
	$(PIP) --editable '.[dev]'
	$(COMPILE)
	touch $@

setup: .venv/tests  ## make .venv with what running and testing need; does nothing when it is up to date

demo: .venv/runs  ## a synthetic world, the whole pipeline on it, and what it reached
	$(BIN)/earshot demo --root $(ROOT) --seed $(SEED)

test: setup  ## all tests, six minutes on 2 cores
	$(BIN)/python -m pytest $(PARALLEL)

quick: setup  ## the tests without Ray, other processes, ffmpeg, an object store, a browser or a training: one to two minutes
	$(BIN)/python -m pytest $(PARALLEL) -m "not (ray or processes or media or s3 or training or browser)"

check: setup  ## format, lint and types, exactly as CI runs them
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup  ## mend what `make check` can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup  ## ratios against peers and limits, each measured in one run
	for file in benchmarks/[!_]*.py; do echo "== $$file"; $(BIN)/python -m benchmarks.$$(basename $$file .py) || exit 1; done

clean:  ## remove the demo's workspace; .venv stays
	rm -rf $(ROOT)
