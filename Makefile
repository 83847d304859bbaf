# `make run` and `make test` do all the set-up themselves: only Python 3.11 (or newer) and pip are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run demo test lint check slow nightly fuzz soak bench clean

run: $(VENV)/run
	@$(BIN)/socbot run

demo: $(VENV)/run
	@$(BIN)/socbot demo

test: $(VENV)/dev
	@tests/servers.sh
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile -m "not slow and not alone"
	@$(BIN)/python -m pytest -m "alone and not slow"

lint: $(VENV)/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

slow: $(VENV)/dev
	@tests/servers.sh slow
	$(BIN)/python -m pytest -n 3 --dist loadfile -m "slow and not alone"
	$(BIN)/python -m pytest -m "slow and alone"

# What takes longer than CI may: ten times the examples, other ones in every run; ten minutes of fuzzing each reader; a soak
nightly: $(VENV)/dev fuzz soak
	@tests/servers.sh
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile -m "not slow and not alone"

FUZZ_SECONDS ?= 600
fuzz: $(VENV)/dev
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest -m slow tests/fuzz

soak: $(VENV)/dev
	$(BIN)/python -m tests.soak $(SOAK)

bench: $(VENV)/bench
	$(BIN)/python -m bench

$(VENV)/created:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'socbot needs Python 3.11 or newer; this is ' + sys.version.split()[0] + '. Try: make PYTHON=python3.11 …')"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/run: $(VENV)/created requirements/run.txt requirements/python313.txt pyproject.toml
	@echo "Installing what socbot needs into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt -r requirements/python313.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev: $(VENV)/run requirements/dev.txt
	@echo "Installing what the tests need into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt -r requirements/python313.txt
	@touch $@

$(VENV)/bench: $(VENV)/run requirements/bench.txt
	@echo "Installing what socbot is compared with into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt -r requirements/python313.txt
	@touch $@

clean:
	rm -rf $(VENV)
