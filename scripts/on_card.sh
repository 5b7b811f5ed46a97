#!/bin/sh
# Measures all that is worth knowing of a card, in under 8 minutes, on a machine that has nothing but the driver, CUDA 13
# and PyTorch. `make card` makes the archive.
#
#   sh on_card.sh [--dry-run] annotate-card.tar.xz OUT
#
# OUT gets card.json and card.md after every step, and the model that was trained. --dry-run: on the CPU.
set -u

mode=--card
if [ "${1:-}" = --dry-run ]; then
    mode=--dry-run
    shift
fi
if [ $# -ne 2 ]; then
    echo "usage: on_card.sh [--dry-run] annotate-card.tar.xz OUT" >&2
    exit 2
fi
started=$(date +%s)
out=$2
mkdir -p "$out"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Python reads .xz itself; not every machine has xz.
python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="data")' "$1" "$folder" ||
    tar -xJf "$1" -C "$folder" || exit 1
here=$folder/annotate-card

# The CUDA libraries are PyTorch's own; where it has none, the toolkit's.
libraries=$(python3 - <<'END'
import glob, os, sys
found = [os.path.dirname(p) for root in sys.path for p in glob.glob(f"{root}/nvidia/*/lib/lib*.so.*")]
for pattern in ["cuda*/lib64", "cuda*/targets/x86_64-linux/lib", "nvidia/lib*"]:
    found += glob.glob(f"/usr/local/{pattern}")
print(":".join(dict.fromkeys(found)))
END
)
export LD_LIBRARY_PATH="$here/lib:$libraries${CARD_LIBRARIES:+:$CARD_LIBRARIES}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export PYTHONUNBUFFERED=1
# Each step has a limit of its own; this is for a driver that hangs.
timeout -k 5 490 python3 "$here/card.py" run "$here" "$out" $mode --started "$started"
