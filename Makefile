# Two commands for everybody: `make serve` and `make test`. Each makes the environment it needs in .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Extra that `make serve` installs with the service: cpu or gpu (never both in one environment).
DEVICE_EXTRA ?= cpu
# Passed on, e.g. make serve ARGS="--http-port 9000"
ARGS ?=
SMOKE_RUN ?= runs/smoke
# Tests at the same time: each process has its own servers, and many tests mostly wait.
TEST_PROCESSES ?= 3
# Tests with the lowest versions: without browser, C++ and tritonclient, which needs a newer grpcio than the service does.
LOWEST_TESTS ?= tests/unit tests/contract tests/parity tests/integration/access tests/integration/client \
	tests/integration/commands tests/integration/grpc tests/integration/http tests/integration/inference \
	tests/integration/training --ignore tests/integration/inference/test_inference_tritonclient.py \
	--ignore tests/contract/test_inference_proto.py
LOWEST_TOOLS = pytest pytest-timeout hypothesis trustme h2 POT pandas pyhepmc \
	grpcio-tools grpcio-health-checking grpcio-reflection buf-bin jsonschema
PYTEST = $(BIN)/python -m pytest
# A file's tests stay in one process: what its fixtures make is made once. tests/conftest.py has the longest files first.
SIDE_BY_SIDE = --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help serve test test-all bench bench-single bench-cpu bench-growth bench-bulk soak check docs train-smoke proto clean lowest dist release-check

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

serve: $(VENV)/.serve-$(DEVICE_EXTRA) ## start HTTP on 127.0.0.1:8000 and gRPC on 127.0.0.1:8001 with the shipped model
	$(BIN)/zdc serve $(ARGS)

# Exit code 5 of pytest: ARGS choose none of these tests.
test: $(VENV)/.dev ## run the tests of every promise, in some six minutes on two cores
	$(PYTEST) $(SIDE_BY_SIDE) -m "not slow and not alone" $(ARGS) || [ $$? -eq 5 ]

test-all: $(VENV)/.dev ## run all tests, also the slow ones and those that must run alone
	$(PYTEST) $(SIDE_BY_SIDE) -m "not alone" $(ARGS) || [ $$? -eq 5 ]
	$(PYTEST) -m alone $(or $(ARGS),$(shell grep -rl --include='test_*.py' 'mark.alone' tests)) || [ $$? -eq 5 ]

bench: $(VENV)/.bench-$(DEVICE_EXTRA) ## batches of 256 over each protocol, compared with onnxruntime alone
	$(BIN)/python tests/load/batches.py $(ARGS)

bench-single: $(VENV)/.bench-$(DEVICE_EXTRA) ## single particles with 1, 32 and 256 clients, compared with other servers
	$(BIN)/python tests/load/single_particles.py $(ARGS)

bench-cpu: $(VENV)/.bench-$(DEVICE_EXTRA) ## processor time of a response by stage
	$(BIN)/python tests/load/cpu_stages.py $(ARGS)

bench-growth: $(VENV)/.bench-$(DEVICE_EXTRA) ## one job of 1 to 1,000,000 particles: time and peak memory
	$(BIN)/python tests/load/growth.py $(ARGS)

bench-bulk: $(VENV)/.bench-$(DEVICE_EXTRA) ## 1,000,000 particles from Parquet to HDF5 and to ROOT: rate and peak memory
	$(BIN)/python tests/load/bulk.py $(ARGS)

soak: $(VENV)/.serve-$(DEVICE_EXTRA) ## 256 clients over all protocols at random, every row checked
	$(BIN)/python tests/load/soak.py $(ARGS)

check: $(VENV)/.dev ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/.docs ## build the documentation site into build/site; a dead link or a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo open build/site/index.html

train-smoke: $(VENV)/.dev ## train, evaluate and export a tiny model in under three minutes
	rm -rf $(SMOKE_RUN)
	$(BIN)/train-zdc fit smoke --run $(SMOKE_RUN)
	$(BIN)/train-zdc evaluate $(SMOKE_RUN)
	$(BIN)/train-zdc export $(SMOKE_RUN) --output $(SMOKE_RUN)/models

lowest: build/lowest/.ready ## test with the lowest allowed version of every dependency
	build/lowest/bin/python -m pytest $(LOWEST_TESTS) $(ARGS)

dist: ## source archive and wheel in build/dist; the wheel is tested in a new environment
	rm -rf build/dist build/try
	$(PYTHON) -m venv build/try
	build/try/bin/python -m pip install --quiet "build>=1.2.1,<2"
	build/try/bin/python -m build --outdir build/dist
	build/try/bin/python -m pip install --quiet --constraint constraints.txt "$$(echo build/dist/*.whl)[cpu,hep]"
	cd build/try && bin/zdc --version && bin/zdc simulate --particle pdg=2112,pz=1500 --output one.h5

release-check: ## the tag of this commit, CITATION.cff and CHANGELOG.md must name one version
	@tag=$$(git describe --tags --exact-match --match 'v[0-9]*') && version=$${tag#v} && \
		{ grep -qxF "version: $$version" CITATION.cff || { echo "CITATION.cff: version is not $$version" >&2; false; }; } && \
		{ grep -qF "## [$$version]" CHANGELOG.md || { echo "CHANGELOG.md: no section [$$version]" >&2; false; }; } && \
		echo "release $$version"

proto: ## regenerate the messages of proto/ for Python, with the oldest protobuf that pyproject.toml allows
	$(PYTHON) -m venv build/protoc
	build/protoc/bin/python -m pip install --quiet "grpcio-tools==1.75.1"
	mkdir -p build/proto
	build/protoc/bin/python -m grpc_tools.protoc --proto_path=proto --python_out=build/proto --pyi_out=build/proto \
		zdc/v1/simulation.proto inference/inference.proto
	cp build/proto/zdc/v1/simulation_pb2.py* build/proto/inference/inference_pb2.py* service/zdc_service/messages/
	build/protoc/bin/python -m grpc_tools.protoc --proto_path=proto \
		--descriptor_set_out=service/zdc_service/messages/published.binpb \
		grpc/health/v1/health.proto grpc/reflection/v1/reflection.proto

clean: ## remove the environment, build files and caches
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve-%: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable ".[$*,hep]"
	touch $@

# onnx writes the small model; the load generator also needs g++, pkg-config and libgrpc++-dev.
$(VENV)/.bench-%: $(VENV)/.serve-%
	$(INSTALL) "onnx>=1.17,<2"
	touch $@

# The tutorial runs, and pages are made from the command lines: all packages are needed.
$(VENV)/.docs: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable ".[cpu,train,simulate,hep,validate,docs]"
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) --editable ".[cpu,train,simulate,hep,dask,tracing,validate,docs,dev]"
	touch $@

build/lowest/.ready: pyproject.toml tests/lowest_versions.py
	$(PYTHON) -m venv build/lowest
	$(PYTHON) tests/lowest_versions.py > build/lowest/constraints.txt
	build/lowest/bin/python -m pip install --quiet --constraint build/lowest/constraints.txt \
		--editable ".[cpu,train,simulate,hep,dask,tracing,validate]" $(LOWEST_TOOLS)
	touch $@
