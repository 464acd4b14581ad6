# Two commands matter to a newcomer: `make demo` and `make test`.
PYTHON ?= python3
PY := .venv/bin/python
# Commands that the tests call, and the Debian packages that bring them.
SYSTEM_COMMANDS := strace unshare ip
SYSTEM_PACKAGES := strace util-linux iproute2

.PHONY: demo test soak check format docs bench clean system

demo: .venv/installed
	@$(PY) -m sovgen.demo build/demo

# A worker that dies ends the run: with loadgroup, pytest-xdist 3.8 waits for ever for another one.
test: .venv/installed-dev system
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadgroup --max-worker-restart=0 tests

# The same harnesses at full counts: kills, writers, random instants.
soak: .venv/installed-dev system
	OMP_NUM_THREADS=1 SOVGEN_SOAK=200 $(PY) -m pytest -s tests/crash

check: .venv/installed-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports

format: .venv/installed-dev
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: .venv/installed-dev
	$(PY) -m tests.docs

bench: .venv/installed-dev
	$(PY) -m pip install --quiet --editable '.[bench]'
	$(PY) -m tests.benchmarks

# torch and torchvision come in one call: each release of one fits one release of the other.
.venv/installed: pyproject.toml
	@test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(PY) -m pip install --quiet --editable '.[dev,train]'
	@touch $@

system:
	@for c in $(SYSTEM_COMMANDS); do command -v $$c >/dev/null || missing=1; done; \
	if [ -n "$$missing" ]; then \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && apt-get install -y -qq $(SYSTEM_PACKAGES) >/dev/null; \
	  else echo "tests need: $(SYSTEM_PACKAGES)" >&2; exit 1; fi; fi

clean:
	rm -rf build dist .venv
