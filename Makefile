# `make` alone explains the targets.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
NOTEBOOKS := $(wildcard book/*.ipynb)
SOURCES := _config.yml _toc.yml $(shell find book companion -type f -not -path "*/.*" -not -path "*/__pycache__/*")
CODE := companion tests experiments tools book
export OMP_NUM_THREADS := 1
export TF_CPP_MIN_LOG_LEVEL := 3
export CUDA_VISIBLE_DEVICES := -1
export TQDM_DISABLE := 1

.PHONY: help book test check notebooks portable lab refresh serve clean

help:
	@echo "make book     build the pages into _build/html"
	@echo "make test     check style and types, run every test and every notebook, and the built pages in a browser"
	@echo "make lab      open the chapters in JupyterLab"
	@echo "make serve    show the built pages at http://localhost:8000"
	@echo "make refresh  run all notebooks again and store their outputs"
	@echo "make check    style and types alone"
	@echo "make portable run every notebook as PyTorch and oneDNN compute without AVX-512, then without AVX2"
	@echo "make clean    remove what was built, and .venv"

$(STAMP): requirements.txt pyproject.toml tools/bootstrap.py
	@$(PYTHON) tools/bootstrap.py
	@touch $(STAMP)

# Jupyter Book reads every page again each time; pages whose sources are older need no building.
_build/html/.built: $(STAMP) $(SOURCES)
	$(BIN)/jupyter-book build . -W -n --keep-going --quiet
	@cp -r book/_static/. _build/html/_static/  # Sphinx leaves them old when no page has changed
	@touch $@

book: _build/html/.built
	@echo "open _build/html/index.html"

check: $(STAMP)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy companion
	$(BIN)/pre-commit validate-config

test: check book
	$(BIN)/python -m pytest -q -n 2 --dist=loadfile tests --ignore=tests/site
	@$(MAKE) --no-print-directory notebooks
	$(BIN)/python -m pytest -q tests/site

# On another kind of processor all rounding is different, and what training makes of it.
portable: $(STAMP)
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(MAKE) --no-print-directory notebooks
	ONEDNN_MAX_CPU_ISA=SSE41 ATEN_CPU_CAPABILITY=default $(MAKE) --no-print-directory notebooks

notebooks: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 --dist=loadfile --nbval --nbval-current-env --nbval-cell-timeout=600 $(NOTEBOOKS)

lab: $(STAMP)
	TQDM_DISABLE= $(BIN)/jupyter lab --notebook-dir=book

refresh: $(STAMP)
	$(BIN)/python -m tools.refresh $(NOTEBOOKS)

serve: book
	$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory _build/html

clean:
	rm -rf _build .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
