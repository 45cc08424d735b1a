# Two commands on a fresh machine: `make demo` and `make test`. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench fmt soak clean

demo: $(VENV)/.installed
	$(BIN)/paydesk demo

test: $(VENV)/.installed-dev
	@sh scripts/browser.sh
	$(BIN)/python -m compileall -q src tests
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder --durations 25

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Everything that is told in more orders, and lived more often, than there is time for at every change.
soak: $(VENV)/.installed-dev
	PAYDESK_SHUFFLES=2000 PAYDESK_PERMUTATIONS=720 PAYDESK_HISTORIES=10000 $(BIN)/python -m pytest tests/test_subscription_orders.py tests/test_machine.py
	PAYDESK_EXAMPLES=100 $(BIN)/python -m pytest tests/test_openapi_fuzz.py
	PAYDESK_MOMENTS=1 $(BIN)/python -m pytest tests/crash_purchase.py tests/crash_money.py tests/crash_subscriptions.py tests/crash_channels.py tests/crash_webhooks.py tests/crash_approvals.py

bench: $(VENV)/.installed-dev
	$(BIN)/python -m bench

fmt: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Paydesk needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	touch $@ $(VENV)/.installed

# The database first, by its own means: as root it lies outside of this folder, and one that runs is not pulled away.
clean:
	@if [ -e $(VENV)/.installed ]; then $(BIN)/python scripts/clean.py .paydesk .paydesk/demo/service; fi
	rm -rf $(VENV) .paydesk .mypy_cache .ruff_cache .pytest_cache .hypothesis
