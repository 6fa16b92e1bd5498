# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-test
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: demo build app test slow lint docs wheel bench train clean

demo: $(STAMP) ## install, build the embedded default, open the dashboard on its first dissection
	$(BIN)/and-dissect demo

build: $(STAMP) ## all of `make demo` but opening the page
	$(BIN)/and-dissect demo --no-open

app: $(STAMP)
	$(BIN)/and-dissect app

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	$(BIN)/python -c "import librosa, librosa.feature, librosa.onset, librosa.util"  # compiled caches are written once, by one process
	touch $@

$(TEST_STAMP): $(STAMP)
	$(PIP) -e ".[test]"
	touch $@

test: $(TEST_STAMP) ## lint, types, unit, page and browser tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder  # a thread each: two workers that take two each get in each other's way

slow: $(TEST_STAMP) ## the tests that take minutes: kill -9 in the last stages, long runs against servers
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/pytest -n 2 --dist load -m slow

lint: $(TEST_STAMP)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

docs: $(TEST_STAMP) ## the generated parts of the documentation, and all of it as a site
	$(BIN)/cog -r docs/settings.md docs/commands.md docs/tables.md docs/architecture.md
	$(BIN)/mkdocs build --strict

wheel: $(TEST_STAMP) ## a wheel, tried in an environment of its own
	HF_HUB_OFFLINE=1 $(BIN)/pytest -m slow tests/packaging

bench: $(TEST_STAMP) ## the tables of speed and size in the README
	HF_HUB_OFFLINE=1 $(BIN)/python -m benchmarks

train: $(STAMP) ## train the demo's networks again from nothing
	$(BIN)/and-dissect demo train

clean: ## the environment; dissections stay
	rm -rf $(VENV)
