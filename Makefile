# Two commands: `make quickstart` (recipe -> bundle -> answer) and `make test`. Each sets up .venv by itself.

PYTHON ?= python3
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BUNDLE := dist/finance-1.0.0
DEMO := dist/finance-quotes
KNOWN := What is the garden leave of a portfolio manager?
UNKNOWN := What is the wifi password of the Zurich office?

.PHONY: help demo quickstart ask test test-avx2 matrix targets nightly lint types setup wheel clean

help:
	@echo "make demo         the same documents, answered with their own sentences; no model is trained (about a minute)"
	@echo "make quickstart   build recipes/finance.yaml and ask it two questions (7 to 15 minutes on two cores)"
	@echo "make test         tests, ruff and mypy, as CI runs them"
	@echo "make test-avx2    training, merge and export once more, with the kernels of a CPU without AVX-512"
	@echo "make matrix       every architecture through a whole build (3 minutes), as CI runs it too"
	@echo "make targets      the tests of OpenVINO, which fetch its toolchain (0.35 GB unpacked) once"
	@echo "make nightly      the device's half on emulated CPUs (fetches 0.1 GB once), property tests with new examples"
	@echo "make setup        only the environment in $(VENV)"
	@echo "make wheel        the wheel in dist-wheel/"

setup: $(STAMP)

$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Fieldpack needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt "torch==2.13.0" -e ".[build,ray,ocr,data,lan,dev]"
	@touch $@

# Stages that the quickstart makes use of too.
demo: $(STAMP)
	$(BIN)/build recipe recipes/finance.yaml -o $(DEMO) --set evaluate.ship=quote --set 'evaluate.arms=["quote"]'
	@$(MAKE) --no-print-directory ask BUNDLE=$(DEMO)

quickstart: $(STAMP)
	$(BIN)/build recipe recipes/finance.yaml
	@$(MAKE) --no-print-directory ask
	@echo
	@echo "Next:"
	@echo "  $(BIN)/fieldpack chat $(BUNDLE)                     ask your own questions"
	@echo "  $(BUNDLE)/report/report.html          what was measured: base, tuned, with and without retrieval"
	@echo "  $(BIN)/build init clinic                            a recipe for your own documents"
	@echo "  README.md                                       the rest"

ask:
	@echo; echo '$$ fieldpack ask $(BUNDLE) "$(KNOWN)"'
	@$(BIN)/fieldpack ask $(BUNDLE) "$(KNOWN)"
	@echo; echo '$$ fieldpack ask $(BUNDLE) "$(UNKNOWN)"'
	@$(BIN)/fieldpack ask $(BUNDLE) "$(UNKNOWN)"

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# CPUs round differently: what is proved with this machine's kernels is proved once more with older ones. No tolerance of
# the code may be one that a single CPU suggested.
test-avx2: $(STAMP)
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile \
	  tests/builder/training tests/builder/export/test_export.py

matrix: $(STAMP)
	$(BIN)/python -m pytest -m matrix tests/builder/export/test_architectures.py

# Not in CI: what it fetches is as large as all the rest.
targets: $(STAMP)
	$(BIN)/python -m pytest -m openvino

# Not in CI: what is emulated takes minutes, and property tests with examples of the day may find what no commit brought.
nightly: $(STAMP)
	$(BIN)/python -m pytest -m nightly
	$(BIN)/python -m pytest -m hypothesis --hypothesis-profile=anew

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

wheel: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist-wheel .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
