# `make` alone explains the targets.
PYTHON ?= python3
STAMP := .venv/.installed
export OMP_NUM_THREADS = 1
export TF_CPP_MIN_LOG_LEVEL = 3
export CUDA_VISIBLE_DEVICES = -1
export TQDM_DISABLE = 1

.PHONY: help test clean

help:
	@echo "make test   install what is needed into .venv, then run ruff and every test"
	@echo "make clean  remove .venv and caches"

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11 to 3.13 is needed: make PYTHON=python3.11 test"; exit 1; }
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet -r requirements.txt
	.venv/bin/python -m pip install --quiet --no-deps -e .
	@touch $(STAMP)

test: $(STAMP)
	.venv/bin/ruff check companion tests
	.venv/bin/python -m pytest -q

clean:
	rm -rf .venv .pytest_cache .ruff_cache *.egg-info
