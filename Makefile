# `make figures` and `make test` each start from nothing: they create .venv, install what they need and run.
# A second call installs nothing; figures are drawn again only where the code or its data changed.

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
PYTHONS ?= $(PYTHON)
RUN := $(VENV)/bin/python
# the environment variables hold for the build backend too, which -c alone does not
INSTALL := PIP_CONSTRAINT=$(CURDIR)/constraints.txt PIP_BUILD_CONSTRAINT=$(CURDIR)/constraints.txt \
	$(RUN) -m pip install --quiet --disable-pip-version-check
SOURCES := $(shell find kdtheory empirical paper_figs -name '*.py' -o -name '*.csv')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help figures redraw test test-all test-core docs lint mutants tables bench dist clean

help:
	@echo "make figures   draw every figure into figures/ (PDF, PNG, CSV)"
	@echo "make test      run the tests, doctests and the README's code, in two processes (JOBS=1, 4, ...)"
	@echo "make test-all  the same with the slow tests and 2,000 examples per property"
	@echo "make test-core build, and test the wheel alone on each of PYTHONS=\"python3.12 python3.13\""
	@echo "make docs      build the site into site/ (draws the figures, executes the notebooks)"
	@echo "make lint      ruff and mypy"
	@echo "make mutants   plant errors in the package and see each one caught"
	@echo "make tables    rewrite the tables that come from the code"
	@echo "make bench     time (an hour) against what else one would run: refitting, other libraries, loops"
	@echo "make dist      build wheel and sdist into dist/"
	@echo "make clean     remove all that these make"

figures: figures/.drawn
	@echo "The figures are in $(CURDIR)/figures."

# .drawn lists the files that were written; if one of them is gone, they are drawn again
GONE := $(filter-out $(wildcard figures/*),$(shell cat figures/.drawn 2>/dev/null))

figures/.drawn: $(VENV)/.figures $(SOURCES) $(if $(GONE),redraw)
	$(RUN) -m paper_figs --out figures
	@ls figures/*.pdf figures/*.png figures/*.csv > $@

test: $(VENV)/.dev
	$(RUN) -m pytest -n $(JOBS) --dist loadfile

test-all: $(VENV)/.dev
	HYPOTHESIS_PROFILE=large $(RUN) -m pytest -n $(JOBS) --dist loadfile -m "slow or not slow"

# NumPy and SciPy are those that pip finds, not those of constraints.txt
test-core: dist
	$(RUN) tests/installed.py --jobs $(JOBS) $(PYTHONS)

redraw:

lint: $(VENV)/.dev
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy

# offline; a warning is an error. Figures are drawn first where they are not up to date; the notebooks are executed
docs: figures/.drawn $(VENV)/.dev
	OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(RUN) -m sphinx -b html -W --keep-going -q docs site/html
	@echo "The site is in $(CURDIR)/site/html/index.html."

mutants: $(VENV)/.dev
	OPENBLAS_NUM_THREADS=1 $(RUN) tests/mutants.py

tables: $(VENV)/.dev
	$(RUN) docs/tables.py
	$(RUN) benchmarks/precision.py --write

bench: $(VENV)/.dev
	$(RUN) benchmarks/grids.py --accuracy
	$(RUN) benchmarks/eigensolvers.py
	OPENBLAS_NUM_THREADS=1 $(RUN) benchmarks/few_ridges.py
	OPENBLAS_NUM_THREADS=1 $(RUN) benchmarks/krylov.py
	OPENBLAS_NUM_THREADS=1 $(RUN) benchmarks/million.py
	OPENBLAS_NUM_THREADS=1 $(RUN) benchmarks/million.py --accuracy
	OPENBLAS_NUM_THREADS=1 $(RUN) benchmarks/million.py --falkon
	OPENBLAS_NUM_THREADS=1 $(RUN) benchmarks/workers.py
	$(RUN) benchmarks/kernels.py
	OPENBLAS_NUM_THREADS=1 $(RUN) benchmarks/refitting.py
	OPENBLAS_NUM_THREADS=1 $(RUN) benchmarks/pruning.py
	$(RUN) benchmarks/wide_networks.py
	OMP_NUM_THREADS=1 $(RUN) benchmarks/empirical_ntk.py
	OMP_NUM_THREADS=1 $(RUN) benchmarks/ensembles.py
	OMP_NUM_THREADS=1 $(RUN) benchmarks/scores.py

# the wheel is built from the sdist, so that the sdist is known to hold what building needs
dist: $(VENV)/.build
	rm -rf dist
	$(RUN) -m build --no-isolation --outdir dist

clean:
	rm -rf $(VENV) .venv-core-* dist figures site docs/generated

$(RUN):
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
		|| { echo "kdtheory needs Python 3.11 or later; name one with make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.figures: pyproject.toml constraints.txt | $(RUN)
	@echo "Installing what the figures need into $(VENV) ..."
	$(INSTALL) -e ".[figures]"
	@touch $@

$(VENV)/.build: constraints.txt | $(RUN)
	$(INSTALL) build hatchling
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(RUN)
	@echo "Installing what the tests need into $(VENV) ..."
	$(INSTALL) -e ".[dev]"
	$(INSTALL) --no-deps neural-tangents  # it declares TensorFlow, which nothing here needs
	@touch $@
