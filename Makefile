# make demo   a page to open in two tabs     make test   every test
# make help   the rest

VENV ?= .venv
PORT ?= 3001
DEMO_LANG ?= python
MINUTES ?= 10
RUNS ?= 1000000
BIN := $(VENV)/bin

# The first Python that is new enough; `make PYTHON=/path/to/python3.12 ...` names another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	if $$python -c '$(NEW_ENOUGH)' 2>/dev/null; then echo $$python; break; fi; done)
endif

.DEFAULT_GOAL := help
.PHONY: help demo test style format types layers check audit docs bench chaos fuzz soak clean

help:
	@echo 'make demo     start the demo on http://127.0.0.1:3001 (PORT=3002, DEMO_LANG=php)'
	@echo 'make test     run every test (ARGS="-k cast" runs some)'
	@echo 'make check    style, types, layers and test: what a change must pass'
	@echo 'make audit    ask whether a dependency has a known fault (needs the network)'
	@echo 'make format   lay the code out and mend what ruff can'
	@echo 'make docs     write completions/, man/ and docs/commands.md anew'
	@echo 'make bench    measure phlows beside its peers, 35 minutes (ARGS=--quick: 4); writes benchmarks/results.md'
	@echo 'make chaos    kills, floods, full disks, crowds of 5,000 clients (SEED=7 SECONDS=60)'
	@echo 'make fuzz     arbitrary bytes for one part (TARGET=head RUNS=1000000); see fuzzing/README.md'
	@echo 'make soak     clients that come, misbehave and go (MINUTES=10); writes docs/soak.md'
	@echo 'make clean    remove $(VENV) and everything else that was made'

demo: $(VENV)/.installed
	$(BIN)/phlows demo --port $(PORT) --lang $(DEMO_LANG)

test: $(VENV)/.dev-installed
	$(BIN)/python -m pytest -n 3 --dist loadfile $(ARGS)

style: $(VENV)/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev-installed
	$(BIN)/mypy

layers: $(VENV)/.dev-installed
	$(BIN)/lint-imports

check: style types layers test

# A fault that is found fails; a service that cannot be asked is told, and is nobody's fault.
audit: $(VENV)/.dev-installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check pip-audit || { \
		echo 'audit: not done: pip-audit cannot be installed from here' >&2; exit 0; }; \
	said=$$($(BIN)/python -m pip_audit --local --skip-editable --progress-spinner off 2>&1); echo "$$said"; \
	case "$$said" in \
		*Found*known\ vulnerabilit*) exit 1;; \
		*'could not be audited'*) echo 'audit: not whole: the service does not know all of these' >&2;; \
		*'No known vulnerabilities found'*) ;; \
		*) echo 'audit: not done: the service cannot be asked from here' >&2;; \
	esac

docs: $(VENV)/.installed
	$(BIN)/python -m phlows_cli.cli.reference

bench: $(VENV)/.dev-installed
	$(BIN)/python -m benchmarks all $(ARGS)

chaos: $(VENV)/.dev-installed
	PHLOWS_CHAOS=1 SEED='$(SEED)' SECONDS='$(SECONDS)' $(BIN)/python -m pytest -s tests/chaos $(ARGS)

fuzz: $(VENV)/.fuzz-installed
	$(BIN)/python -m fuzzing $(if $(TARGET),$(TARGET),$(error TARGET=... names a part: see fuzzing/README.md)) --runs $(RUNS) $(ARGS)

soak: $(VENV)/.dev-installed
	$(BIN)/python -m tests.chaos.soak --minutes $(MINUTES) --output docs/soak.md $(ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .coverage .hypothesis
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is made anew only when pyproject.toml changes.
$(VENV)/.installed: pyproject.toml
	@if [ -z '$(PYTHON)' ]; then \
		echo 'phlows needs Python 3.11 or newer: install it, or say where it is with PYTHON=...' >&2; exit 1; fi
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { \
		echo '$(PYTHON) is older than Python 3.11, which phlows needs: name another with PYTHON=...' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.dev-installed: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

# Only who fuzzes needs it: 35 MB, and not for every platform. Without it there is a way, too.
$(VENV)/.fuzz-installed: $(VENV)/.dev-installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=2.3' || \
		echo 'atheris cannot be installed here: the inputs are changed at random, see fuzzing/README.md' >&2
	touch $@
