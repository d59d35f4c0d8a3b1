# One command each. `make help` lists them; every one sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test check check-container docs recording fmt bench torture lock wheels fill install-service \
	uninstall-service clean

# Where `make install-service` puts things: the program, its configuration, the unit. With DESTDIR
# everything goes beneath another root, as packages are made, and systemd is not told.
DESTDIR ?=
PREFIX ?= /opt/kie-watcher
SYSCONFDIR ?= /etc
UNITDIR ?= $(SYSCONFDIR)/systemd/system
PROGRAM := $(DESTDIR)$(PREFIX)
CONFIG := $(DESTDIR)$(SYSCONFDIR)/kie-watcher/config.yaml
UNIT := $(DESTDIR)$(UNITDIR)/kie-watcher.service
# What fills the new environment, whose path is in ENVIRONMENT, with the program: whoever brings the
# packages some other way (a mirror, a machine without network) names a command of their own.
FILL ?= $(MAKE) --no-print-directory fill
# What is replaced or removed is the program's own directory, and never a PREFIX such as /usr/local.
OURS = case "$(PREFIX)" in /*[!/]*) ;; *) echo "PREFIX: write an absolute path" >&2; exit 2 ;; esac; \
	test ! -e "$(PROGRAM)" || { test -x "$(PROGRAM)/bin/kie-watcher" && test -e "$(PROGRAM)/pyvenv.cfg"; } || \
	{ echo "$(PROGRAM) is there and is not kie-watcher's own: left alone" >&2; exit 2; }

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: $(STAMP) ## a virtual environment in the tree, with everything installed

demo: setup ## the real daemon against a scripted market, alerts on this terminal, under a minute
	$(BIN)/kie-watcher demo

# As many tests at once as there are processors.
PYTEST := $(BIN)/python -m pytest -q -n auto --dist worksteal

test: setup ## all tests
	$(PYTEST)

check: setup ## what CI runs: format, lint, types, dependencies, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/deptry .
	@$(BIN)/python tests/rooms.py
	$(PYTEST)

check-container: setup ## what the Dockerfile and install-service do, for real: minutes, needs the network
	KIE_WATCHER_BUILD=1 $(BIN)/python -m pytest -q -k for_real tests/test_packaging.py

docs: setup ## docs/commands.md and docs/configuration.md, from what the program says of itself
	$(BIN)/python tests/reference.py

recording: setup ## docs/pictures/demo.svg, from a demo
	$(BIN)/kie-watcher demo | $(BIN)/python tests/recording.py

fmt: setup ## format, and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## the figures, as a table
	$(BIN)/python -m benchmarks

# All together take so long; each ends before that where it has reached its count.
SECONDS ?= 900
torture: setup ## what is promised for bad days, tried for SECONDS: kills, torn reads, garbage, outages, a year
	$(BIN)/python -m torture --seconds $(SECONDS)

# The oldest Python supported needs the most packages: a lock made with it serves the later ones.
lock: ## a new requirements.lock, every package with its hashes (needs Python 3.11)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "make lock: use Python 3.11, as in make lock PYTHON=python3.11")'
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check 'pip-tools>=7.5,<8'
	build/lock/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras \
	  --build-deps-for wheel --no-header --no-emit-index-url --no-emit-trusted-host \
	  --no-emit-find-links --no-emit-options --output-file requirements.lock pyproject.toml

# The same steps as in the Dockerfile: everything is checked against its hash before anything of it
# runs, and from then on nothing comes from the network.
wheels:
	$(PYTHON) -m venv --clear build/builder
	rm -rf build/wheels
	build/builder/bin/python -m pip download --quiet --disable-pip-version-check --require-hashes \
	  --only-binary :all: --dest build/wheels --requirement requirements.lock
	build/builder/bin/python -m pip install --quiet --disable-pip-version-check --no-index \
	  --find-links build/wheels build/wheels/hatchling-*.whl
	build/builder/bin/python -m pip wheel --quiet --disable-pip-version-check --no-index \
	  --no-build-isolation --no-deps --wheel-dir build/wheels .

.PHONY: fill
fill: wheels
	build/builder/bin/python -m pip --python "$(ENVIRONMENT)/bin/python" install --quiet \
	  --disable-pip-version-check --no-index --no-compile --find-links build/wheels \
	  build/wheels/kie_watcher-*.whl

# The environment is made beside the one in use and takes its place when it is whole: an upgrade that
# fails leaves the old one. Its scripts name the place where they will be, not where they were made.
install-service: ## the program under /opt, the unit, a first configuration (DESTDIR, PREFIX honoured)
	@$(OURS)
	rm -rf "$(PROGRAM).new" "$(PROGRAM).old"
	umask 022 && mkdir -p "$(dir $(PROGRAM))" && $(PYTHON) -m venv --without-pip "$(PROGRAM).new"
	@case "$$(readlink -f "$(PROGRAM).new/bin/python")" in /home/*|/root/*) \
	  echo "Note: $(PYTHON) lives in a home, which the service cannot see: use PYTHON=/usr/bin/python3" ;; esac
	umask 022 && ENVIRONMENT="$(PROGRAM).new" $(FILL)
	grep -rlIF "$(PROGRAM).new" "$(PROGRAM).new" | xargs -r sed -i "s|$(PROGRAM).new|$(PREFIX)|g"
	umask 022 && "$(PROGRAM).new/bin/python" -m compileall -q -s "$(PROGRAM).new" -p "$(PREFIX)" \
	  "$(PROGRAM).new/lib"
	test ! -e "$(PROGRAM)" || mv "$(PROGRAM)" "$(PROGRAM).old"
	mv "$(PROGRAM).new" "$(PROGRAM)"
	rm -rf "$(PROGRAM).old"
	umask 022 && mkdir -p "$(dir $(CONFIG))" "$(dir $(UNIT))"
	sed -e "s|/opt/kie-watcher|$(PREFIX)|g" -e "s|/etc/kie-watcher|$(SYSCONFDIR)/kie-watcher|g" \
	  systemd/kie-watcher.service > "$(UNIT).new"
	chmod 0644 "$(UNIT).new"
	mv "$(UNIT).new" "$(UNIT)"
# Never overwritten. The state's whole path, so that commands find it from wherever they are called.
	@if [ -e "$(CONFIG)" ] || [ -L "$(CONFIG)" ]; then echo "$(CONFIG): kept as it is"; else \
	  sed "s|^  path: kie-watcher.db|  path: /var/lib/kie-watcher/kie-watcher.db|" \
	    config.example.yaml > "$(CONFIG).new" && chmod 0644 "$(CONFIG).new" && \
	  mv "$(CONFIG).new" "$(CONFIG)"; fi
# A daemon that runs on replaced files would load half of the new version with its next import.
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then \
	  systemctl daemon-reload && systemctl try-restart kie-watcher; fi
	@echo "Installed. Look through $(SYSCONFDIR)/kie-watcher/config.yaml, then:"
	@echo "  systemctl enable --now kie-watcher"

uninstall-service: ## the program and the unit; configuration and state stay
	@$(OURS)
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ] && [ -e "$(UNIT)" ]; then \
	  systemctl disable --now kie-watcher; fi
	rm -f "$(UNIT)"
	rm -rf "$(PROGRAM)"
	@if [ -z "$(DESTDIR)" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
	@echo "Kept: $(SYSCONFDIR)/kie-watcher and /var/lib/kie-watcher. Remove them by hand if you mean it."

clean: ## remove the environment and every cache
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build
