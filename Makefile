# `make demo` and `make test` need only git, make and Python 3.11 or newer: each sets up
# .venv itself, with uv when it is there and with the standard library otherwise.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint bench bench-repair bench-healing screenshots lock clean

demo: $(STAMP)
	@$(BIN)/selfheal-tui demo $(ARGS)

# most tests wait for real processes, so five at a time suit two cores; who is done helps out
test: $(STAMP)
	@$(BIN)/python -m pytest -n 5 --dist worksteal $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	@$(BIN)/python -m tests.benchmarks $(ARGS)

bench-repair: $(STAMP)
	@$(BIN)/python -m tests.benchmarks.repair $(ARGS)

bench-healing: $(STAMP)
	@$(BIN)/python -m tests.benchmarks.healing $(ARGS)

screenshots: $(STAMP)
	@$(BIN)/python -m tests.benchmarks.screenshots docs/images

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "selfheal-tui needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 2; }
	@echo "setting up $(VENV) (once)"
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv -q --allow-existing --python $(PYTHON) $(VENV) && \
	  uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[dev]'; \
	else \
	  $(PYTHON) -m venv $(VENV) && \
	  $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'; \
	fi
	@touch $@

# newest versions that fit the ranges in pyproject.toml; names and versions only
lock:
	@rm -rf .lock && $(PYTHON) -m venv .lock
	@.lock/bin/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@{ echo "# Exact versions that 'make demo' and 'make test' install with; made by 'make lock'."; \
	  .lock/bin/python -m pip freeze --exclude-editable --disable-pip-version-check; } > constraints.txt
	@rm -rf .lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
