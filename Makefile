# make demo     the whole package on real data, in an environment of its own
# make test     the test suite: all with 64-bit types, and what users have without
# Another interpreter: make test PYTHON=python3.13

PYTHON = python3
WORKERS = 2

# One environment per interpreter name, so that `make test PYTHON=python3.13` after `make test`
# disturbs nothing: .venv for the default, .venv-python3.13 for the other.
VENV := $(if $(filter python3,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin

# Stamps carry the interpreter's version: after an upgrade of `python3` the environment is made anew.
VERSION := $(shell $(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null)
STAMP := $(VENV)/.stamp-$(VERSION)

# Small matrices: threads inside BLAS only get in the way of the workers.
export OPENBLAS_NUM_THREADS = 1

# Most of the test suite's time is compilation. What one worker, process or run has compiled, the
# others load. The first run holds results against exact references with 64-bit types; its programs
# run once and briefly, so they are compiled without optimizing, in 40 % of the time. The second has
# what users have: JAX's defaults. All of it as users compile: make test UNOPTIMIZED=
UNOPTIMIZED = --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true \
  --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1
test: export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/$(VENV)/.jax-cache
test: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0

.PHONY: help demo test lint docs notebooks clean
.DELETE_ON_ERROR:
.SECONDARY:

help:
	@echo "make demo    train two networks on handwritten digits, diagnose them, write runs/demo/report.html"
	@echo "make test    run the test suite with 64-bit types, and again what users have without"
	@echo "make lint    check style, formatting and types"
	@echo "make docs    build the documentation into site/, strictly; its links are checked"
	@echo "make notebooks   execute notebooks/sources and write the pages; only some: PAGES='11 12'"
	@echo "make clean   delete the environments and caches"
	@echo "Each makes the environment it needs. Another interpreter: make test PYTHON=python3.13"

demo: $(STAMP)-data
	$(BIN)/vanishing-jax demo

test: $(STAMP)-test
	VANISHING_JAX_X64=1 XLA_FLAGS="$(strip $(XLA_FLAGS) $(UNOPTIMIZED))" $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests
	VANISHING_JAX_X64=0 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

notebooks: $(STAMP)-notebooks
	$(BIN)/python notebooks/build.py $(PAGES)

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(STAMP)-docs
	$(BIN)/mkdocs build
	$(BIN)/python docs/tools/links.py site

lint: $(STAMP)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf .venv .venv-* .pytest_cache .ruff_cache .hypothesis .cache site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The suffix is the extra of pyproject.toml that is installed.
$(STAMP)-%: $(STAMP) pyproject.toml
	@echo "Installing vanishing_jax[$*] into $(VENV); the first time takes minutes."
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

$(STAMP):
	@test -n "$(VERSION)" || { echo "vanishing_jax needs Python 3.11 or newer; '$(PYTHON)' does not run. Name another: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "vanishing_jax needs Python 3.11 or newer; '$(PYTHON)' is $(VERSION). Name another: make PYTHON=python3.13"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@
