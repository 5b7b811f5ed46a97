#!/bin/sh
# The wheel, into target/dist or FOLDER, from the program that `make dist` built or that is given:
#
#   scripts/dist/wheel.sh [PROGRAM [FOLDER]]
set -eu
cd "$(dirname "$0")/../.."

venv=target/dist/wheel
packages="hatchling==1.27.0 build==1.2.2.post1 zopflipy==1.14"
if [ "$(cat "$venv/complete" 2>/dev/null)" != "$packages" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    # A list of words.
    # shellcheck disable=SC2086
    "$venv/bin/pip" install --quiet --disable-pip-version-check $packages
    printf '%s' "$packages" >"$venv/complete"
fi
folder=${2:-target/dist}
[ $# -eq 0 ] || export ANNOTATE_WHEEL_PROGRAM="$1"
# The same inputs give the same bytes.
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-1577836800}"
rm -f "$folder"/annotate_sign-*.whl
"$venv/bin/python" -m build --no-isolation --wheel --outdir "$folder" python >/dev/null
wheel=$(ls "$folder"/annotate_sign-*.whl)
# A minute and a half of processor time for 2 % less: spent on the one that is given to people.
[ $# -gt 0 ] || "$venv/bin/python" scripts/dist/deflate.py "$wheel"
size=$(stat -c %s "$wheel")
echo "dist: $wheel, $size bytes" >&2
