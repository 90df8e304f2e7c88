# Everything a newcomer needs is `make demo` and `make test`; both set up .venv/ and build the extension once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# cmake (for HDF5) comes from pip into the same environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)
EXTENSION := python/zensaibo/_core.abi3.so

.PHONY: help
help:
	@echo "make demo | test | ext | lint | bench | compare | wheel | clean"

# Only what building and running need; the peers that tests compare with come with `make test`.
$(VENV)/.ready: python/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet cmake "maturin>=1.9,<2"
	touch $@

# Rebuilt by cargo only where something changed.
.PHONY: ext
ext: $(VENV)/.ready
	cargo build --release --locked --package zensaibo-python --package zensaibo-cli
	cp target/release/lib_core.so $(EXTENSION).new && mv $(EXTENSION).new $(EXTENSION)
