#!/bin/sh
# Installs the wheel, the tarball and the Debian package into minimal Debian systems without FFmpeg and without network, and runs the
# program there: scripts/dist/clean_root.sh [bookworm|trixie]...
#
# Needs mmdebstrap and bubblewrap, root (or user namespaces), and a mirror for the first time; says 'skipped' where they are missing.
set -eu
cd "$(dirname "$0")/../.."

for tool in mmdebstrap bwrap; do
    command -v "$tool" >/dev/null || { echo "skipped: clean roots ($tool is not installed)"; exit 0; }
done
[ $# -gt 0 ] || set -- bookworm trixie
dist=$PWD/target/dist

for suite in "$@"; do
    root=$dist/root-$suite
    if [ ! -e "$root/complete" ]; then
        rm -rf "$root"
        if ! mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,python3-pip "$suite" "$root" \
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $suite main"; then
            echo "skipped: a clean $suite (no mirror in reach)"
            continue
        fi
        touch "$root/complete"
    fi
    echo "== $suite"
    # What is written goes into memory; the root stays clean.
    bwrap --unshare-all --die-with-parent --ro-bind "$root" / --dev /dev --proc /proc --tmpfs /tmp --tmpfs /home \
        --ro-bind "$dist" /mnt --setenv HOME /home --setenv PATH /usr/bin:/bin --chdir /home \
        sh -euc '
            ! ls /usr/lib/*/libav* 2>/dev/null
            python3 -m venv --without-pip v
            python3 -m pip --python v/bin/python install --quiet --no-index /mnt/annotate_sign-*.whl
            v/bin/annotate demo
            v/bin/python -c "import annotate_sign as a; t = a.demo(\"d\"); assert t.complete and len(t) == 602; print(t)"
            tar -xzf /mnt/annotate-*-x86_64-linux.tar.gz
            annotate-*-x86_64-linux/bin/annotate demo >/dev/null
            mkdir deb
            dpkg-deb -x /mnt/annotate-sign_*_amd64.deb deb
            deb/usr/bin/annotate --version
        '
done
