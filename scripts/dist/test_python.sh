#!/bin/sh
# The Python package's tests in a virtual environment of their own: scripts/dist/test_python.sh PROGRAM
# The wheel is made of PROGRAM and installed, so that what is tested is what people get.
set -eu
cd "$(dirname "$0")/../.."

program=$1
venv=target/python
packages="numpy pandas pyarrow polars tqdm pytest mypy nbclient ipykernel duckdb"
if [ "$(cat "$venv/complete" 2>/dev/null)" != "$packages" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    # A list of words.
    # shellcheck disable=SC2086
    "$venv/bin/pip" install --quiet --disable-pip-version-check $packages
    printf '%s' "$packages" >"$venv/complete"
fi
stripped=$(mktemp)
trap 'rm -f "$stripped"' EXIT
# A development build is mostly line tables.
strip -o "$stripped" "$program"
# Not beside the wheel of the static program.
scripts/dist/wheel.sh "$stripped" "$venv/wheel"
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --force-reinstall "$venv"/wheel/annotate_sign-*.whl
"$venv/bin/mypy" --strict --ignore-missing-imports python/annotate_sign
# Not from the checkout, in which the package would be imported without its program.
cd python/tests
"../../$venv/bin/python" -m pytest -q -rs .
