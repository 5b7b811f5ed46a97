#!/bin/sh
# The tarball and the Debian package, into target/dist, from the program that `make dist` built or that is given:
#
#   scripts/dist/package.sh tar [PROGRAM]    annotate-VERSION-x86_64-linux.tar.gz
#   scripts/dist/package.sh deb [PROGRAM]    annotate-sign_VERSION_amd64.deb
#
# Both hold the program, man page, completions and licences. The same inputs give the same bytes.
set -eu
cd "$(dirname "$0")/../.."

kind=$1
program=${2:-target/dist/annotate}
[ -x "$program" ] || { echo "dist: $program: no program; \`make dist\` builds it" >&2; exit 1; }
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-1577836800}"
umask 022
# A development build works where its FFmpeg is.
foreign=$(objdump -p "$program" | awk '$1 == "NEEDED" && $2 !~ /^(lib(c|m|dl|rt|pthread|gcc_s)|ld-linux-x86-64)\.so/ {print $2}' | tr '\n' ' ')
[ -z "$foreign" ] || echo "dist: for this machine alone, as the program needs $foreign" >&2
root=$(mktemp -d)
chmod 755 "$root"
trap 'rm -rf "$root"' EXIT

# Everything as `make install` lays it out, below $1.
lay_out() {
    install -D -m 755 "$program" "$1/bin/annotate"
    install -d "$1/share/man/man1" "$1/share/bash-completion/completions" "$1/share/zsh/site-functions" \
        "$1/share/fish/vendor_completions.d" "$2"
    "$program" man >"$1/share/man/man1/annotate.1"
    "$program" completions bash >"$1/share/bash-completion/completions/annotate"
    "$program" completions zsh >"$1/share/zsh/site-functions/_annotate"
    "$program" completions fish >"$1/share/fish/vendor_completions.d/annotate.fish"
    install -m 644 LICENSE scripts/dist/LICENCES.md scripts/dist/sources.txt assets/font/DejaVu-LICENSE.txt "$2"
    for licence in target/dist/ffmpeg/licences/*; do
        [ ! -f "$licence" ] || install -m 644 "$licence" "$2"
    done
}

case $kind in
tar)
    name=annotate-$version-x86_64-linux
    lay_out "$root/$name" "$root/$name/share/doc/annotate"
    tar --directory "$root" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -c "$name" |
        gzip -9n >"target/dist/$name.tar.gz"
    echo "dist: target/dist/$name.tar.gz" >&2
    ;;
deb)
    # The oldest C library that will do: the newest of whose symbols the program asks for.
    glibc=$(objdump -T "$program" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1 | sed 's/GLIBC_//')
    libraries="libc6 (>= $glibc)"
    objdump -p "$program" | grep -q 'NEEDED *libgcc_s' && libraries="$libraries, libgcc-s1"
    documents=$root/usr/share/doc/annotate-sign
    lay_out "$root/usr" "$documents"
    gzip -9n "$root/usr/share/man/man1/annotate.1"
    mkdir -p "$root/usr/share/zsh/vendor-completions"
    mv "$root/usr/share/zsh/site-functions/_annotate" "$root/usr/share/zsh/vendor-completions/"
    rmdir "$root/usr/share/zsh/site-functions"
    mv "$documents/LICENSE" "$documents/copyright"
    mkdir "$root/DEBIAN"
    cat >"$root/DEBIAN/control" <<CONTROL
Package: annotate-sign
Version: $version
Architecture: amd64
Maintainer: The annotate contributors <annotate@invalid.invalid>
Installed-Size: $(du -sk "$root/usr" | cut -f 1)
Depends: $libraries
Section: video
Priority: optional
Description: writes down what a signer's face does in sign-language video
 annotate watches sign-language video and writes down, frame by frame, what the
 signer's face does: an expression with its probabilities, head, brows, eyes and
 mouth; for ELAN, Praat, R, Python and video players.
 .
 One program with its models inside. It needs no GPU and no network.
CONTROL
    find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group -Zxz --build "$root" "target/dist/annotate-sign_${version}_amd64.deb" >/dev/null
    echo "dist: target/dist/annotate-sign_${version}_amd64.deb" >&2
    ;;
*)
    echo "dist: $kind is neither tar nor deb" >&2
    exit 2
    ;;
esac
