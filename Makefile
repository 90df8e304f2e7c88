# Everything a newcomer needs is `make demo` and `make test`: both set up .venv/, build the extension once (in
# release) and install whatever else they need. Needs Rust, Python >= 3.11 with venv, and a C/C++ compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTENSION := python/zensaibo/_core.abi3.so
# cmake, which builds the bundled HDF5, comes from pip into the same environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONPATH := $(CURDIR)/python

.DEFAULT_GOAL := help
.PHONY: help
help: ## What there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' $(MAKEFILE_LIST)

$(VENV)/.ready: python/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet cmake "maturin>=1.9,<2"
	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("python/pyproject.toml", "rb"))["project"]; print("\n".join(p["dependencies"]))' > $(VENV)/run.txt
	$(BIN)/python -c 'import tomllib; p = tomllib.load(open("python/pyproject.toml", "rb"))["project"]; print("\n".join(p["dependencies"] + p["optional-dependencies"]["test"]))' > $(VENV)/test.txt
	$(BIN)/python -m pip install --quiet -r $(VENV)/run.txt
	touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet -r $(VENV)/test.txt
	touch $@

.PHONY: ext
ext: $(VENV)/.ready ## Build the Python extension and the command line tool (release)
	cargo build --release --locked --package zensaibo-python --package zensaibo-cli
	cp target/release/lib_core.so $(EXTENSION).new && mv $(EXTENSION).new $(EXTENSION)

.PHONY: demo
demo: ext ## Run the main jobs on data made here (and on real data where ZENSAIBO_DATA has it); leaves demo/
	$(BIN)/python -m zensaibo.demo --out demo

.PHONY: test
test: ext $(VENV)/.ready-test ## Build and run every test, Rust and Python
	cargo test --release --locked --workspace
	cd python && ../$(BIN)/python -m pytest -n auto

.PHONY: lint
lint: $(VENV)/.ready-test ## Formatting, Clippy with warnings denied, types (what a change must pass beside the tests)
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	cd python && ../$(BIN)/python -m mypy

.PHONY: check
check: lint test ## Everything

.PHONY: bench
bench: $(VENV)/.ready ## Criterion benches of the kernels
	cargo bench --locked --package zensaibo-benches

.PHONY: compare
compare: ext $(VENV)/.ready-test ## Same work, peers side by side: SIZES="pbmc3k 10k 100k" (peers get environments of their own)
	$(BIN)/python benches/compare/omics.py $(SIZES)

.PHONY: docs
docs: ## Rust documentation into target/doc
	cargo doc --release --locked --workspace --no-deps

.PHONY: wheel
wheel: $(VENV)/.ready ## An abi3 wheel for CPython >= 3.11 into dist/
	$(BIN)/maturin build --release --locked --manifest-path python/Cargo.toml --out dist

.PHONY: clean
clean: ## Remove what was built (keeps .venv)
	cargo clean
	rm -rf demo dist $(EXTENSION)
