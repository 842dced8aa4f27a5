# `make sweep` and `make test` set up their own environment in .venv; nothing else has to be installed by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
RUN ?= runs/digits

.PHONY: help setup sweep verify recount test test-typed test-cores test-slow test-long test-torch lint types check clean

help:            ## show what can be made
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14
	@echo "Settings: PYTHON=$(PYTHON) JOBS=$(JOBS) RUN=$(RUN)"

setup: $(VENV)/.ready  ## make the environment (done by every other target)

# neural-tangents asks for TensorFlow, which it does not need: it is installed without its dependencies.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("ntk1bit needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; use make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[data,cluster,test,lint,bench]'
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-deps neural-tangents frozendict
	touch $@

sweep: setup     ## the main job: train 1-bit and full-precision networks of widths 64..16384, print the tables, draw the figure
	$(BIN)/ntk1bit sweep --widths 64..16384 --jobs $(JOBS) --out $(RUN)
	$(BIN)/ntk1bit summary $(RUN)
	$(BIN)/ntk1bit plot $(RUN)

verify: setup    ## judge all claims on the standard experiments (about three hours), then write figures and paper_repro.md
	$(BIN)/ntk1bit verify --preset standard --jobs $(JOBS) --publish

recount: setup   ## judge anew what rests on counted energy and memory, from stored losses, and write figures and page
	$(BIN)/python -m proofs_numeric.recount --publish

# Each worker takes a stretch of the tests, so that what a file prepares is prepared once, and has one core: threads of
# BLAS would only wait for each other.
BACKEND := avx2
PYTEST := OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
# They compile thousands of tiny programs and run each once or twice: XLA need not optimise.
QUICKLY := XLA_FLAGS="$(XLA_FLAGS) --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"

test: setup      ## the quick tests
	$(QUICKLY) $(PYTEST)

test-typed: setup ## quick tests (all, or TESTS="..."), with types and shapes of all calls checked and XLA as users have it
	$(PYTEST) --jaxtyping-packages=ntk1bit,beartype.beartype $(TESTS)

test-cores: setup ## tests of the cores, as on a processor that has no more than BACKEND=avx2 (or vectors)
	VARIABLES=$$($(BIN)/python -c "from ntk1bit.cores.backends import environment_of as e; print(*map('='.join, e('$(BACKEND)').items()))") \
	  && env $$VARIABLES $(PYTEST) tests/cores

test-slow: setup ## the slow tests: random kills, statistical coverage
	$(QUICKLY) $(PYTEST) -m slow

test-long: setup ## the longest tests: fifty rounds of kills, thousands of damages and command lines
	$(QUICKLY) $(PYTEST) -m long

test-torch: setup ## tests of PyTorch networks, which is installed for them (200 MB); all other tests pass without it
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[torch]'
	$(QUICKLY) $(PYTEST) -m 'not long' $$(grep -rl 'importorskip("torch")' tests --include='test_*.py')
	$(QUICKLY) $(PYTEST) tests/test_documents.py -k pytorch

lint: setup      ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup     ## static types
	$(BIN)/pyright

check: lint types test-typed test-slow  ## everything that is run on a change

clean:           ## remove the environment and caches (runs/ is kept)
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
