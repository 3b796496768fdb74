# The two commands of the README are `make demo` and `make test`. Each builds its own .venv and
# uses nothing that is installed elsewhere; when the environment is in place they start at once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

export PYTHONNOUSERSITE := 1
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help demo test slow faults browser docs test-all lint types format clean

help:
	@echo 'make demo    train a small model on the embedded digits and draw samples (minutes, CPU)'
	@echo 'make test    run the test suite, offline; ARGS="-k grid" chooses tests'
	@echo 'make slow    run the slow proofs, which `make test` leaves out'
	@echo 'make faults  kill trainers, damage checkpoints, cut the power: in short'
	@echo 'make browser  the pages of the studio in a real Chromium, where there is one'
	@echo 'make docs    build the site with the course, every chapter run; build/site/index.html'
	@echo 'make test-all  test, slow and faults'
	@echo 'make lint    check style and formatting      make format  repair both'
	@echo 'make types   check types                     make clean   remove the environment'

demo: $(VENV)/.ready-plot
	$(BIN)/demist demo $(ARGS)

# Threads that sleep while they wait share the cores with other work; spinning is faster alone.
test slow faults browser: export OMP_WAIT_POLICY ?= PASSIVE

# Two processes of one thread each are faster than one process of two threads.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal --ignore=tests/faults

test: $(VENV)/.ready-dev
	$(PYTEST) -m 'not slow and not browser' $(ARGS)

slow: $(VENV)/.ready-dev
	$(PYTEST) -m 'slow and not browser' $(ARGS)

faults: $(VENV)/.ready-dev
	$(BIN)/python -m pytest tests/faults

browser: $(VENV)/.ready-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m browser tests/browser $(ARGS)

docs: $(VENV)/.ready-docs
	$(BIN)/python docs/site/build.py $(ARGS)

test-all: test slow faults

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.ready-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.ready-dev
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache
	find src tests examples -name __pycache__ -type d -exec rm -rf {} +

# torch comes first and pinned, so that no later package pulls another, much larger build.
$(VENV)/.ready-torch: constraints.txt
	@command -v $(PYTHON) >/dev/null || \
	  { echo '$(PYTHON) was not found; make PYTHON=/path/to/python3 chooses another.' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else \
	  f"$(PYTHON) is Python {v[0]}.{v[1]}, demist needs 3.11 or newer; make PYTHON=/path/to/python3.11 chooses another.")'
	@echo 'Building the environment in $(VENV); the first time this takes a few minutes.'
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	@touch $@

$(VENV)/.ready-plot $(VENV)/.ready-dev $(VENV)/.ready-docs: $(VENV)/.ready-%: $(VENV)/.ready-torch pyproject.toml
	$(PIP) -e '.[$*]'
	@touch $@
