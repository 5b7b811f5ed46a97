#!/bin/sh
# The static program: target/dist/annotate. Needs nothing but glibc 2.17 or newer to run.
#
# FFmpeg's build is done once (ffmpeg.sh); the program's own takes a quarter of an hour of processor time and more: it is optimised as a
# whole, which makes it smaller than `make build`'s.
set -eu
cd "$(dirname "$0")/../.."

scripts/dist/ffmpeg.sh
dist=$PWD/target/dist
target=x86_64-unknown-linux-gnu
export PATH="$dist/tools/bin:$PATH" FFMPEG_DIR="$dist/ffmpeg" CARGO_TARGET_DIR="$dist/cargo"
export ZIG_GLOBAL_CACHE_DIR="$dist/zig-cache" ZIG_LOCAL_CACHE_DIR="$dist/zig-cache"
# No path of this machine in the program: messages of panics name files as in the repository and the registry.
registry=${CARGO_HOME:-$HOME/.cargo}/registry/src
export RUSTFLAGS="--remap-path-prefix=$PWD=annotate --remap-path-prefix=$registry=registry"
# Not by `cargo zigbuild` itself, which keeps bindgen from the headers of the C library (-nostdinc).
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=zig-cargo-cc
export CC_x86_64_unknown_linux_gnu=zig-cargo-cc CXX_x86_64_unknown_linux_gnu=zig-cargo-c++ AR_x86_64_unknown_linux_gnu=zig-ar
export CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
cargo build ${DIST_PROFILE:---release} --locked --features static --target "$target" --bin annotate
install -m 755 "$dist/cargo/$target/release/annotate" "$dist/annotate"
"${STRIP:-strip}" "$dist/annotate"

# What it must not need, and what it must be.
needs=$(objdump -p "$dist/annotate" | awk '$1 == "NEEDED" {print $2}' | sort | tr '\n' ' ')
newest=$(objdump -T "$dist/annotate" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
echo "dist: target/dist/annotate, $(stat -c %s "$dist/annotate") bytes, needs $newest and $needs" >&2
case $needs in *libav* | *libsw* | *libstdc++* | *libz.*) echo "dist: it needs a library that it should hold" >&2; exit 1 ;; esac
[ "$newest" = GLIBC_2.17 ] || [ "$(printf '%s\n' "$newest" GLIBC_2.17 | sort -V | tail -1)" = GLIBC_2.17 ] || {
    echo "dist: it needs a newer C library than it should" >&2
    exit 1
}
