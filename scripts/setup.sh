#!/bin/sh
# Sees to it that what `make` needs is there; quick when it is.
#
#   scripts/setup.sh         what building and running need
#   scripts/setup.sh test    and the test runner
#   scripts/setup.sh lint    and clippy and rustfmt
#   scripts/setup.sh deny    and cargo-deny
#   scripts/setup.sh cluster and Snakemake, Ray and a Slurm for one machine, as far as they can be had
#   scripts/setup.sh fuzz    and a nightly compiler and cargo-fuzz
#   scripts/setup.sh sanitize and a nightly compiler
#
# Missing native packages are installed with apt-get where that is permitted: as root, or where sudo asks for no
# password. ANNOTATE_SETUP=check forbids it. Where it is not permitted, says what is missing and how to get it, and fails.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "setup: $*" >&2; }

# --- native packages ---------------------------------------------------------------------------------------------------

packages=""
need() { packages="$packages $*"; }

if ! command -v ffmpeg >/dev/null || ! command -v ffprobe >/dev/null; then need ffmpeg; fi
command -v make >/dev/null || need make
command -v cc >/dev/null || need gcc
# The C compiler alone is not enough: Rust links against the C library's development files.
echo 'int main(void) { return 0; }' | cc -x c -o /dev/null - 2>/dev/null || need libc6-dev
if command -v pkg-config >/dev/null; then
    for library in libavcodec libavfilter libavformat libavutil libswresample libswscale; do
        pkg-config --exists "$library" || need "$library-dev"
    done
else
    need pkg-config libavcodec-dev libavfilter-dev libavformat-dev libavutil-dev libswresample-dev libswscale-dev
fi
# bindgen reads FFmpeg's headers with libclang, which the linker's cache does not always list.
has_libclang() {
    # Not libclang-cpp, which lies in the same folders and is another library.
    for folder in "${LIBCLANG_PATH:-/nonexistent}" /usr/lib/llvm-*/lib /usr/lib/* /usr/lib64 /usr/lib /usr/local/lib; do
        for file in "$folder"/libclang.so* "$folder"/libclang-[0-9]*.so*; do
            [ -e "$file" ] && return 0
        done
    done
    return 1
}
has_libclang || need libclang-dev

if [ "${1:-}" = test ]; then
    # Checks annotation files against ELAN's schema.
    command -v xmllint >/dev/null || need libxml2-utils
    # Reads them with a library of other people's.
    python3 -c 'import venv, ensurepip' 2>/dev/null || need python3-venv
fi

if [ -n "$packages" ]; then
    say "missing:$packages"
    if ! command -v apt-get >/dev/null; then
        say "these are the names of Debian's packages; install what your system calls them, then run this again"
        exit 1
    elif [ "${ANNOTATE_SETUP:-install}" = check ]; then
        say "to install: apt-get install$packages"
        exit 1
    elif [ "$(id -u)" = 0 ]; then
        as_root=""
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        say "no permission to install; run: sudo apt-get install$packages"
        exit 1
    fi
    say "installing them with apt-get"
    # Both variables are lists of words.
    # shellcheck disable=SC2086
    $as_root apt-get update -q >&2
    # shellcheck disable=SC2086
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages >&2
fi

# A browser is large, and only two tests want one; they say 'skipped' without.
if [ "${1:-}" = test ] && ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null &&
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] && [ "${ANNOTATE_SETUP:-install}" != check ]; then
    say "installing chromium for the review page's tests"
    { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends chromium; } >&2 ||
        say "cannot install chromium; the review page's tests in a browser will be skipped"
fi

# --- Rust --------------------------------------------------------------------------------------------------------------

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
    say "missing: Rust $wanted or newer; get it with rustup (https://rustup.rs), then run this again"
    exit 1
fi
found=$(rustc --version | cut -d ' ' -f 2)
if [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
    say "Rust $found is too old, $wanted or newer is needed; run: rustup update stable"
    exit 1
fi

case "${1:-}" in
test)
    if ! command -v cargo-nextest >/dev/null; then
        say "installing the test runner cargo-nextest"
        cargo install cargo-nextest --locked || say "cannot install cargo-nextest; the tests run with cargo test"
    fi
    ;;
lint)
    if ! cargo clippy --version >/dev/null 2>&1 || ! cargo fmt --version >/dev/null 2>&1; then
        say "missing: clippy and rustfmt; run: rustup component add clippy rustfmt"
        exit 1
    fi
    ;;
deny)
    if ! command -v cargo-deny >/dev/null && [ "${ANNOTATE_SETUP:-install}" != check ]; then
        say "installing cargo-deny (some minutes, once)"
        cargo install cargo-deny --locked || say "cannot install cargo-deny; licences and sources are not checked"
    fi
    ;;
cluster)
    # What cannot be installed is skipped by name in the test.
    if ! command -v slurmctld >/dev/null && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] &&
        [ "${ANNOTATE_SETUP:-install}" != check ]; then
        say "installing Slurm for one machine"
        { apt-get update -q &&
            DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends slurm-wlm munge; } >&2 ||
            say "cannot install slurm-wlm and munge"
    fi
    venv=target/cluster
    if [ ! -e "$venv/complete" ]; then
        say "installing Snakemake and Ray into $venv"
        if python3 -m venv "$venv" && "$venv/bin/pip" install -q -r pipelines/requirements.txt; then
            "$venv/bin/pip" install -q -r pipelines/ray/requirements.txt || say "cannot install Ray"
            touch "$venv/complete"
        else
            say "cannot install Snakemake (python3-venv, and a package index within reach, are needed)"
        fi
    fi
    ;;
fuzz | sanitize)
    if ! rustc +nightly --version >/dev/null 2>&1; then
        say "missing: a nightly compiler, for its sanitizers; run: rustup toolchain install nightly --profile minimal"
        exit 1
    fi
    if [ "$1" = fuzz ] && ! command -v cargo-fuzz >/dev/null; then
        say "installing cargo-fuzz"
        cargo install cargo-fuzz --locked
    fi
    ;;
esac
