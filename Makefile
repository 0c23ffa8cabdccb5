# Two commands: `make demo` and `make test`. Both set up what they need in .venv first; git, make and Python are enough.
PYTHON ?= python3
VENV ?= .venv

RUN := $(VENV)/bin/python -m
PIP := $(RUN) pip --disable-pip-version-check install --quiet

.PHONY: help demo test lint clean

help:
	@echo "make demo   set up, then interpolate a beating-heart phantom with a known truth; results in demo-output/"
	@echo "make test   set up, then run every test"
	@echo "make lint   check the style and the types of the code"
	@echo "make clean  remove .venv and demo-output/"
	@echo "Variables: PYTHON=python3 (3.9 to 3.13), VENV=.venv; pip's own settings are respected."

demo: $(VENV)/.ready
	$(RUN) ttt4d demo --output demo-output

test: $(VENV)/.ready-dev
	$(RUN) pytest

lint: $(VENV)/.ready-dev
	$(RUN) ruff check .
	$(RUN) mypy

clean:
	rm -rf $(VENV) demo-output

# The stamps say that the set-up is done and newer than what it depends on.
$(VENV)/.ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Setting up in $(VENV): a few minutes the first time, most of it PyTorch's download."
	$(PIP) "pip>=21.3"
	$(PIP) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(PIP) --constraint constraints.txt --editable ".[dev]"
	touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 9))" || \
	    { echo "Python 3.9 or newer is needed: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	    { rm -rf $(VENV); echo "$(PYTHON) has no venv module: install it (on Debian and Ubuntu: python3-venv)."; exit 1; }
