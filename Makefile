# On a fresh machine: `make demo` and `make test`.
.DEFAULT_GOAL := help
SHELL := /bin/sh

PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet
# The demo needs neither torch nor development tools; FULL has everything.
DEMO := .venv/.demo
FULL := .venv/.full
# Percent of lines and branches that `make test` must cover.
COVERAGE := 90

.PHONY: help demo install check lint unit test mutants format lock clean

help: ## List the targets
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

demo: $(DEMO) ## Run a camera, six variants, fusion and a broker on this machine
	.venv/bin/vp demo

install: $(FULL) ## Create .venv with everything for development, training included

check: $(FULL) ## Lint, types and unit tests: under a minute
	@$(MAKE) --no-print-directory --jobs 2 --output-sync lint unit

lint: $(FULL) ## Check style, format, imports between layers, and types
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports --no-logo
	.venv/bin/mypy

unit: $(FULL) ## Run the unit tests
	.venv/bin/pytest --quiet tests/unit

test: lint ## Run all checks and all tests, on a real Mosquitto, with coverage
	@command -v mosquitto >/dev/null || [ -x /usr/sbin/mosquitto ] || scripts/apt-install mosquitto
	@command -v mosquitto_sub >/dev/null || scripts/apt-install mosquitto-clients
	@command -v chromium >/dev/null || scripts/apt-install chromium || echo "make: no Chromium: the page is not tested in a browser" >&2
	@command -v nft >/dev/null || [ -x /usr/sbin/nft ] || [ -z "$$CI" ] || scripts/apt-install nftables || echo "make: no nft: limits of connections are not tested" >&2
	@command -v systemd-analyze >/dev/null || [ -z "$$CI" ] || scripts/apt-install systemd || echo "make: no systemd-analyze: the units are not tested" >&2
	@command -v promtool >/dev/null || [ -z "$$CI" ] || scripts/apt-install prometheus || echo "make: no promtool: the alerts are not tested" >&2
	.venv/bin/pytest --numprocesses 3 --dist loadfile --cov --cov-fail-under $(COVERAGE)

mutants: $(FULL) ## Change the code and see whether the tests notice (PACKAGE=fusion, ..)
	.venv/bin/python -m scripts.mutants $(PACKAGE)

format: $(FULL) ## Format the code and apply automatic fixes
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

lock: $(FULL) ## Pin what pyproject.toml requires; UPGRADE=--upgrade renews all pins
	scripts/lock $(UPGRADE)

clean: ## Remove .venv and caches
	rm -rf .venv mutants .coverage .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
