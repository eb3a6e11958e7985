# `make` alone explains the targets.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
NOTEBOOKS := $(wildcard book/*.ipynb)
SOURCES := _config.yml _toc.yml $(shell find book companion -type f -not -path "*/.*" -not -path "*/__pycache__/*")
CODE := companion tests tools book conftest.py
STAGE := @$(BIN)/python -m tools.stage
PYTEST := $(BIN)/python -m pytest -q -n 2
# Outside of the checkout, from the built wheel, with the packages of each page's extras alone.
NBVAL := $(BIN)/python -m tools.notebooks -q -n 2 --dist=loadfile $(NOTEBOOKS)
export OMP_NUM_THREADS := 1
export TF_CPP_MIN_LOG_LEVEL := 3
export CUDA_VISIBLE_DEVICES := -1
export TQDM_DISABLE := 1

.PHONY: help book quick test exhaustive check library notebooks site portable lab refresh serve clean

help:
	@echo "make book     build the pages into _build/html"
	@echo "make quick    style, types, and the tests that your changes ask for: two minutes at most"
	@echo "make test     style, types, all tests, all notebooks, and the built pages in a browser"
	@echo "make exhaustive  the large networks and the long runs that make test leaves out"
	@echo "make lab      open the chapters in JupyterLab; LAB_FLAGS are handed on to it"
	@echo "make serve    show the built pages at http://localhost:8000"
	@echo "make refresh  run all notebooks again and store their outputs"
	@echo "make check    style and types alone"
	@echo "make portable all tests and notebooks as an x86 processor without AVX-512 computes, then without AVX2"
	@echo "make clean    remove what was built, and .venv"

$(STAMP): requirements.txt pyproject.toml tools/bootstrap.py
	@$(PYTHON) tools/bootstrap.py
	@touch $(STAMP)

# Jupyter Book reads every page again each time; pages whose sources are older need no building.
_build/html/.built: $(STAMP) $(SOURCES)
	$(STAGE) "pages" $(BIN)/jupyter-book build . -W -n --keep-going --quiet
	@touch $@

book: _build/html/.built
	@echo "open _build/html/index.html"

check: $(STAMP)
	$(STAGE) "style" $(BIN)/ruff check $(CODE)
	$(STAGE) "format" $(BIN)/ruff format --check $(CODE)
	$(STAGE) "types" $(BIN)/mypy companion
	$(STAGE) "hooks" $(BIN)/pre-commit validate-config

quick: check
	@tests=$$($(BIN)/python -m tools.affected) && $(BIN)/python -m tools.stage "tests" $(PYTEST) --dist=loadfile $$tests

# Style and types beside the pages: each takes one core.
test: $(STAMP)
	@$(MAKE) --no-print-directory -j2 check _build/html/.built
	@$(MAKE) --no-print-directory library notebooks site

library: $(STAMP)
	$(STAGE) "tests" $(PYTEST) --dist=loadfile tests --ignore=tests/site

# Large networks and long runs, of which the other tests run a smaller case: once a week.
exhaustive: _build/html/.built
	$(STAGE) "exhaustive tests" $(PYTEST) --dist=loadfile -m exhaustive tests

notebooks: $(STAMP)
	$(STAGE) "notebooks" $(NBVAL)

site: _build/html/.built
	$(STAGE) "pages in a browser" $(PYTEST) tests/site

# On another kind of processor all rounding is different, and what training makes of it. oneDNN (in
# PyTorch and TensorFlow), PyTorch, NumPy and its OpenBLAS are each told to use older instructions.
AVX2 := TF_ENABLE_ONEDNN_OPTS=1 ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR" OPENBLAS_CORETYPE=$${OPENBLAS_CORETYPE:-Haswell}
SSE := TF_ENABLE_ONEDNN_OPTS=1 ONEDNN_MAX_CPU_ISA=SSE41 ATEN_CPU_CAPABILITY=default NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL AVX512_SPR" OPENBLAS_CORETYPE=Nehalem

portable: $(STAMP)
	@$(AVX2) $(MAKE) --no-print-directory library exhaustive notebooks
	@$(SSE) $(MAKE) --no-print-directory library exhaustive notebooks

lab: $(STAMP)
	TQDM_DISABLE= $(BIN)/jupyter lab --notebook-dir=book $(LAB_FLAGS)

refresh: $(STAMP)
	$(BIN)/python -m tools.first_cell
	$(BIN)/python -m tools.refresh $(NOTEBOOKS)

serve: book
	$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory _build/html

clean:
	rm -rf _build .venv .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
