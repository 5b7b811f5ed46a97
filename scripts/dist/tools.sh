#!/bin/sh
# The tools of the static build, into target/dist/tools: zig (a C compiler for old C libraries), cargo-zigbuild, maturin,
# meson, ninja; and nasm from the distribution. Quick when they are there.
set -eu
cd "$(dirname "$0")/../.."

say() { printf '%s\n' "dist: $*" >&2; }

# Fixed, as the bytes that come out depend on them.
wheels="ziglang==0.17.1 cargo-zigbuild==0.24.1 maturin==1.16.0 meson==1.12.1 ninja==1.13.2"

tools=$PWD/target/dist/tools
if ! command -v nasm >/dev/null; then
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] && [ "${ANNOTATE_SETUP:-install}" != check ]; then
        apt-get update -q >&2
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends nasm >&2
    else
        say "missing: nasm; on Debian: apt-get install nasm"
        exit 1
    fi
fi
if [ "$(cat "$tools/complete" 2>/dev/null)" != "$wheels" ]; then
    if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        say "missing: python3 with venv; on Debian: apt-get install python3-venv"
        exit 1
    fi
    say "installing the tools into $tools"
    rm -rf "$tools"
    mkdir -p "$tools"
    python3 -m venv "$tools"
    # A list of words.
    # shellcheck disable=SC2086
    "$tools/bin/pip" install --quiet --disable-pip-version-check $wheels
    printf '%s' "$wheels" >"$tools/complete"
fi

# By these names, and with these flags, everything that is C finds its compiler. No sanitiser, no debug information.
zig=$(echo "$tools"/lib/python3*/site-packages/ziglang/zig)
flags="-target x86_64-linux-gnu.2.17 -fno-sanitize=all"
write() {
    printf '#!/bin/sh\n%s\n' "$2" >"$tools/bin/$1"
    chmod +x "$tools/bin/$1"
}
for language in cc c++; do
    write "zig-$language" "exec '$zig' $language $flags -g0 \${DIST_PREFIX:+-I\"\$DIST_PREFIX/include\" -L\"\$DIST_PREFIX/lib\"} \"\$@\""
    # For cargo: cargo-zigbuild puts what rustc and the crate cc say into zig's words.
    write "zig-cargo-$language" "CARGO_ZIGBUILD_ZIG_COMMAND='$zig' exec '$tools/bin/cargo-zigbuild' zig $language -- $flags \"\$@\""
done
for tool in ar ranlib; do
    write "zig-$tool" "exec '$zig' $tool \"\$@\""
done
# What a library in C depends on beside its source.
echo "$wheels" | tr ' ' '\n' | grep ziglang >"$tools/compiler"
echo "$flags -g0" >>"$tools/compiler"
