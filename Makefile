# make demo | test | test-fast | lint | lab | notebooks | clean; each makes .venv first, once.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
LABS := $(notdir $(patsubst %/lab.py,%,$(wildcard labs/*/lab.py)))
PYTHON ?= $(shell for p in python3.11 python3 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)

# The notebooks that `make lab` opens are copies in MY_LABS; LAB_LANG is "en" or "zh".
MY_LABS ?= my-labs
LAB_LANG ?= en
# Two workers of one thread each: on two cores about half the time of one worker, and of two that fight over the cores.
PYTEST ?= OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

.PHONY: demo test test-fast lint lab notebooks notebooks-check sandbox clean
.DELETE_ON_ERROR:

demo: $(INSTALLED) sandbox
	$(BIN)/autograde demo

test: lint notebooks-check sandbox
	$(PYTEST)

test-fast: $(INSTALLED) sandbox
	$(PYTEST) -m "not slow"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Existing work is kept: a lab is copied only when it is not there.
lab: $(INSTALLED)
	@for lab in $(LABS); do test -d $(MY_LABS)/$$lab \
	    || $(BIN)/coursekit labs get $$lab --lang $(LAB_LANG) --to $(MY_LABS) || exit 1; done
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(MY_LABS)

notebooks: $(INSTALLED)
	$(BIN)/autograde release $(LABS) --notebooks notebooks

notebooks-check: $(INSTALLED)
	$(BIN)/autograde release $(LABS) --notebooks notebooks --check

# Never fails: what needs the sandbox says so itself. CI machines may have to switch user namespaces on as well.
sandbox:
	@command -v bwrap >/dev/null && exit 0; how=; \
	if ! command -v apt-get >/dev/null; then how=1; \
	elif [ "$$(id -u)" = 0 ]; then as=; \
	elif sudo -n true 2>/dev/null; then as="sudo -n"; \
	else how=1; fi; \
	if [ -z "$$how" ]; then \
	    echo "Installing bubblewrap, in which submissions are run"; \
	    { $$as apt-get update && $$as apt-get install -y bubblewrap; } >&2 && exit 0; \
	fi; \
	echo "bubblewrap is missing, in which submissions are run: install the package 'bubblewrap' of your Linux" >&2; \
	echo "(Debian, Ubuntu: sudo apt-get install bubblewrap). Elsewhere (macOS, Windows) students' work cannot be graded." >&2

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV); on Linux the first time takes about 7 GB, most of it PyTorch with CUDA"
	$(BIN)/python -m pip install -c constraints.txt -e '.[instructor,offline,dev]'
	@touch $@

# Debian's python3 without the package python3-venv has no ensurepip: there its own pip helps.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say where it is with make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { $(PYTHON) -m venv --clear --without-pip $(VENV) \
	    && $(PYTHON) -m pip --python $(VENV) install pip; } || { rm -rf $(VENV); exit 1; }

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find coursekit autograde benchmarks tests labs -name __pycache__ -type d -exec rm -rf {} +
