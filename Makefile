# Needs GNU make 3.81+ and Python 3.11+ with venv, nothing else: `make demo` and `make test` install the rest into .venv.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check format bench lock clean install-demo install-dev install-bench

PY := .venv/bin/python
DEMO_EXTRAS := local
DEV_EXTRAS := local,dev,sentence-transformers,simd
BENCH_EXTRAS := $(DEV_EXTRAS),bench

# A caller's own Python set-up must not leak into .venv. (Its pip.conf still says where packages come from.)
unexport PYTHONPATH PYTHONHOME PYTHONUSERBASE __PYVENV_LAUNCHER__ PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list these targets
	@echo 'make TARGET: each does its own set-up'
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  %-8s %s\n", $$1, $$2}' Makefile

demo: install-demo ## stream real texts through Kafka and Redis, then ask (ARGS=--no-input: no questions at the end)
	@echo '> hurnet demo $(ARGS)'
	@.venv/bin/hurnet demo $(ARGS)

# Two tests side by side, each of one thread: idle threads of numpy and torch spin, and take the other's core.
test: install-dev ## unit, contract and acceptance tests (ARGS='-k name': some of them; ARGS=-n0: one at a time)
	@echo '> pytest $(ARGS)'
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(PY) -m pytest -n 2 --dist worksteal $(ARGS)

check: install-dev ## format, lint, types and import rules
	@echo '> ruff format --check' && $(PY) -m ruff format --check .
	@echo '> ruff check' && $(PY) -m ruff check .
	@echo '> mypy' && $(PY) -m mypy
	@echo '> lint-imports' && .venv/bin/lint-imports

format: install-dev ## rewrite the code in the house format
	@$(PY) -m ruff check --fix-only --quiet . && $(PY) -m ruff format .

bench: install-bench ## run the benchmarks (ONLY=name: one; JSON=file: its figures; ONLY=index ARGS=--help: its sizes)
	@set -e; $(if $(JSON),rm -f '$(JSON)';) \
	for file in tests/benchmarks/$(or $(ONLY),[a-z]*).py; do \
	  name=$$(basename "$$file" .py); echo "> benchmark $$name"; \
	  $(PY) -m tests.benchmarks.$$name $(if $(JSON),--json .venv/bench.json) $(ARGS); \
	  $(if $(JSON),$(PY) -c "$$MERGE" $$name .venv/bench.json '$(JSON)';) \
	done

lock: install-dev ## write constraints.txt anew: the newest versions that pyproject.toml allows, for all Pythons
	@$(PY) -m pip install --quiet uv
	@$(PY) -m uv pip compile --quiet --upgrade --universal --fork-strategy fewest --python-version 3.11 \
	  --all-extras --no-annotate --no-header --output-file constraints.txt pyproject.toml
	@wc -l constraints.txt

clean: ## remove .venv and all caches
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find schemas workers tests -name __pycache__ -prune -exec rm -rf {} +

install-demo:
	@name=demo extras='$(DEMO_EXTRAS)' python='$(PYTHON)' && $(INSTALL)

install-dev:
	@name=dev extras='$(DEV_EXTRAS)' python='$(PYTHON)' && $(INSTALL)

install-bench:
	@name=bench extras='$(BENCH_EXTRAS)' python='$(PYTHON)' && $(INSTALL)

# The stamp .venv/NAME.ok is written last and removed first, so that a set-up that was cut short is begun anew; it
# holds all that the set-up depends on, the folder too (scripts name it). The dev set-up contains the demo's, bench dev's.
define INSTALL
set -eu; stamps='.venv/demo.ok .venv/dev.ok .venv/bench.ok'; \
here=$$(pwd -P); key=$$(cat pyproject.toml constraints.txt workers/hurnet/core/native/*.[ch] 2>/dev/null | cksum; echo "$$here"); \
is_ready() { [ "$$(cat ".venv/$$1.ok" 2>/dev/null)" = "$$key" ] && $(PY) -c '' 2>/dev/null; }; \
case $$name in demo) enough='demo dev bench';; dev) enough='dev bench';; *) enough=$$name;; esac; \
for done in $$enough; do if is_ready "$$done"; then exit 0; fi; done; \
if ! $(PY) -c '' 2>/dev/null || ! grep -qsxF "$$here" $$stamps; then \
  for candidate in $${python:-python3.13 python3.12 python3.11 python3 python3.14 python}; do \
    if "$$candidate" -c "$$SUITABLE" 2>/dev/null; then found=$$candidate; break; fi; \
  done; \
  if [ -z "$${found:-}" ]; then \
    echo "Needs Python 3.11 or later with venv and pip (Debian, Ubuntu: apt install python3-venv);" >&2; \
    echo "none found as $${python:-python3 or python3.11 to 3.14}. Name another: make PYTHON=/path/to/python3" >&2; exit 1; \
  fi; \
  rm -f $$stamps; \
  echo "> making .venv with $$("$$found" -V)"; \
  "$$found" -m venv --clear .venv; \
fi; \
rm -f $$stamps; \
echo "> installing [$$extras] into .venv: minutes the first time"; \
if [ "$$(uname)" = Linux ]; then \
  echo "  (downloads 3 GB, takes 6 GB: torch for Linux brings CUDA; with an index of CPU wheels in pip.conf 0.5 GB)"; \
fi; \
[ -t 1 ] || quiet=--quiet; \
$(PY) -m pip install $${quiet:-} -c constraints.txt -e ".[$$extras]"; \
echo '> preparing Apache Kafka'; \
$(PY) -c 'from hurnet.local import KafkaServer; KafkaServer(say=lambda step: print("  " + step, flush=True)).install()'; \
echo "$$key" > ".venv/$$name.ok"; \
echo '> installed'
endef

define SUITABLE
import ensurepip, sys, venv
sys.exit(sys.version_info < (3, 11))
endef
export SUITABLE

define MERGE
import json, pathlib, sys
name, new, whole = sys.argv[1], *map(pathlib.Path, sys.argv[2:])
figures = json.loads(whole.read_text()) if whole.exists() else {}
whole.write_text(json.dumps(figures | {name: json.loads(new.read_text())}, indent=2) + "\n")
endef
export MERGE
