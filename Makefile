# Two commands on a fresh machine: `make demo` and `make test`.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet
# The demo needs neither torch nor the tools of those who work on the code.
DEMO := .venv/.demo
FULL := .venv/.full

.PHONY: help demo install lint test format lock clean

help: ## Say what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST)

$(DEMO): pyproject.toml requirements/demo.txt
	scripts/make-venv
	$(PIP) install --require-hashes --requirement requirements/demo.txt
	$(PIP) install --no-deps --editable .
	@touch $@

$(FULL): pyproject.toml requirements/dev.txt requirements/torch.txt
	scripts/make-venv
	$(PIP) install --require-hashes --requirement requirements/dev.txt
	$(PIP) install --requirement requirements/torch.txt
	$(PIP) install --no-deps --editable .
	@touch $(DEMO) $@

demo: $(DEMO) ## Show the whole system at work on this machine
	.venv/bin/vp demo

install: $(FULL) ## Make .venv with all that work on the code needs, training included

lint: $(FULL) ## Check lint, format, imports between layers and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports --no-logo
	.venv/bin/mypy

test: lint ## Run all checks and tests, on a real Mosquitto
	@command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || scripts/apt-install mosquitto
	@command -v mosquitto_sub >/dev/null || scripts/apt-install mosquitto-clients
	.venv/bin/pytest --numprocesses 2 --dist loadfile

format: $(FULL) ## Put the code in shape
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

lock: $(FULL) ## Pin what pyproject.toml requires; UPGRADE=--upgrade renews all pins
	scripts/lock $(UPGRADE)

clean: ## Remove what make made
	rm -rf .venv .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
