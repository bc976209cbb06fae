# Each target puts what it needs into .venv, once, and again when the declared dependencies change.
# ARGS goes to the program behind the target: make test ARGS="-k vary"

PYTHON ?= python3
ARGS ?=
bin := .venv/bin
parallel := --numprocesses auto --dist loadfile

# Only where root and apt-get are at hand; elsewhere it fails without a word.
apt := [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends

.PHONY: demo docs test test-all lint dist bench bench-server bench-edges browsers edges nginx wrk clean

demo: .venv/package
	@exec $(bin)/python docs/examples/demo.py $(ARGS)

# About a minute. Installs nothing outside .venv, and starts no browser and no server.
test: .venv/test
	@$(bin)/python -m pytest -q $(parallel) -m "not browser and not servers and not slow" $(ARGS)

# One worker for each processor, and each file of tests in one worker. The workers are measured, and not the programs that
# tests start (tests/conftest.py). A part of the tests can't cover the whole, so with ARGS the coverage is only shown.
test-all: .venv/test browsers edges wrk
	$(bin)/coverage erase
	COVERAGE_PROCESS_START=pyproject.toml $(bin)/python -m pytest $(parallel) $(ARGS)
	$(bin)/coverage combine --quiet
	$(bin)/coverage report $(if $(strip $(ARGS)),--fail-under=0)

lint: .venv/test .venv/lint
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/pyright

# Warnings are errors, and so is a reference or a link that leads nowhere. The site is built anew, since what is not
# built again is not checked again.
docs: .venv/docs
	$(bin)/sphinx-build -q -W --keep-going -n -E -a docs build/docs
	@echo "Open build/docs/index.html"

# What is published. All times in the wheel are that of the last commit, so the same commit makes the same wheel.
dist: .venv/dist
	rm -rf dist
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(bin)/python -m build --quiet
	$(bin)/twine check --strict dist/*
	$(bin)/check-wheel-contents dist/*.whl

# Takes about a quarter of an hour on an idle machine, most of it for a million requests. Fails if a figure is missed. Writes the tables into docs/performance.md.
bench: .venv/bench
	$(bin)/python tests/benchmarks --write $(ARGS)

bench-server: .venv/bench wrk
	$(bin)/python tests/benchmarks --server --write $(ARGS)

bench-edges: .venv/test edges wrk
	$(bin)/python tests/benchmarks --edges --write $(ARGS)

# Without it, whole servers are not measured, and the test of that is skipped.
wrk:
	@command -v wrk >/dev/null || { $(apt) wrk; } || true

# Without it, the tests of a server behind nginx are skipped. Where systemd runs, Debian also starts it as a service,
# which the tests do not use.
nginx:
	@PATH="$$PATH:/usr/sbin"; command -v nginx >/dev/null || { $(apt) nginx-light; } || true

# Without them, the tests of exported grants on these servers are skipped. Envoy comes as a wheel. Debian starts the
# others as services, too: nginx or Caddy has port 80, and the tests use others.
edges: nginx
	@PATH="$$PATH:/usr/sbin"; command -v haproxy >/dev/null && command -v caddy >/dev/null && command -v node >/dev/null && \
		ls /usr/lib/nginx/modules/ngx_http_js_module.so >/dev/null 2>&1 || \
		{ $(apt) haproxy caddy nodejs libnginx-mod-http-js; } || true

# Without them, the tests that need them are skipped and say so. WebKit's MiniBrowser is kept off the PATH, and is run
# in Xvfb.
browsers:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null && command -v firefox-esr >/dev/null && \
		command -v Xvfb >/dev/null && ls /usr/lib/*/webkit2gtk-4.*/MiniBrowser >/dev/null 2>&1 || \
		{ $(apt) chromium chromium-driver firefox-esr webkit2gtk-driver xvfb; } || true

# Debian keeps ensurepip, without which venv can't work, in a package of its own.
.venv/package: pyproject.toml setup.cfg
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(apt) python3-venv; } || true
	$(PYTHON) -m venv .venv
	$(bin)/pip install -qq --upgrade pip  # --group needs 25.1
	$(bin)/pip install -qq -e .
	@touch $@

.venv/bench .venv/dist .venv/docs .venv/lint .venv/test: .venv/%: .venv/package
	$(bin)/pip install -qq --group $*
	@touch $@

clean:
	rm -rf .venv .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
