# Everything a newcomer needs: `make demo`, then `make test`.
PYTHON ?= python3
VENV ?= .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
STAMP := $(VENV)/.installed
DEV_STAMP := $(VENV)/.installed-dev
DOCS_STAMP := $(VENV)/.installed-docs

.PHONY: demo test test-more mutants lint types unit docs docs-outputs package long notebooks pretrained bench clean

demo: $(STAMP)
	$(BIN)/latens demo

test: lint unit

lint: $(DEV_STAMP)
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples

types: $(DEV_STAMP)
	$(BIN)/pyright --pythonpath $(BIN)/python

# In parallel, one worker a core: most of the time is compiling, which takes one core.
# The tests of the explorer's page need a browser (Debian: apt-get install chromium chromium-driver); without one they are
# skipped, and the summary says so.
unit: $(DEV_STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not more and not long"

# What the quick suite leaves out: the same oracles on more cases, longer trips through the command, and shapes, which
# are checked here and in `make long`. Extras that are large are installed here alone.
test-more: $(DEV_STAMP)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[mlflow,sweep,ray]"
	LATENS_CHECK_SHAPES=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "more and not long"

# Do the tests notice a wrong line? A sample of small slips, another one for each SEED; all options are those of
# `tests/mutants.py --help`. The first run writes which lines each test runs, which takes as long as the tests.
SEED ?= 0
mutants: $(DEV_STAMP)
	$(BIN)/python tests/mutants.py --count 45 --seed $(SEED)

# Every test, those of the quick suite too, with the checks and the optimisations of XLA that those leave out.
long: $(DEV_STAMP)
	LATENS_CHECK_SHAPES=1 JAX_DISABLE_MOST_OPTIMIZATIONS=0 $(BIN)/python -m pytest -m "long or not long"

# The documentation as a site in site/: every page, and a reference of every public name. A broken link is an error.
docs: $(DOCS_STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# What the pages show of their commands, run again: printed lines and pictures.
docs-outputs: $(DEV_STAMP)
	MPLBACKEND=agg $(BIN)/python docs/outputs.py

# The wheel and the source distribution, built without network; each is installed into an empty environment, and does
# there all that the README says. `make package PYTHON=python3.13` does so under another Python.
package:
	rm -rf dist
	$(PYTHON) -m venv dist/build
	dist/build/bin/python -m pip install --quiet build hatchling
	PIP_NO_INDEX=1 dist/build/bin/python -m build --no-isolation --outdir dist .
	for file in dist/*.whl dist/*.tar.gz; do \
		rm -rf dist/try && $(PYTHON) -m venv dist/try && \
		dist/try/bin/python -m pip install --quiet --constraint constraints.txt $$file && \
		(cd dist/try && bin/latens demo --out run && bin/python -I ../../tests/package.py ../../README.md) || exit 1; \
	done

# The notebooks with their outputs, as the site shows them, and the students' copies of the course: a few minutes.
notebooks: $(DOCS_STAMP)
	cd examples && ../$(BIN)/python -m nbconvert --to notebook --execute --inplace answers/*.ipynb \
		notebooks/[!c]*.ipynb notebooks/compiled-loop.ipynb
	$(BIN)/python examples/student.py

pretrained: $(STAMP)
	$(BIN)/python examples/pretrained.py src/latens/pretrained

# The benchmarks one after the other; run it on a quiet machine.
bench: $(DEV_STAMP)
	for name in throughput evidence seconds memory optimisation; do $(BIN)/python benchmarks/$$name.py || exit 1; done

# Without --no-compile pip would compile every module of every package, of which most are never imported. Python then
# keeps the bytecode of what it imports: where that is switched off, every process would compile all of JAX for 8 s.
unexport PYTHONDONTWRITEBYTECODE
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable .
	@touch $@

$(DEV_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[dev]"
	@touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[docs]"
	@touch $@

clean:
	rm -rf $(VENV) .jax_cache .pytest_cache .ruff_cache .mutants
