#!/bin/sh
# Annotates MINUTES of looped video and watches the memory: scripts/soak.sh ANNOTATE MINUTES
#
# Prints the resident memory every tenth of the way. Fails where the run fails, or where the second half takes more than a
# tenth above the most of the first half beyond what the growing timeline itself needs (1 KiB a frame).
set -eu
annotate=$1
minutes=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
clip=$(dirname "$0")/../assets/demo/demo.mp4
length=$(ffprobe -v error -show_entries format=duration -of csv=p=0 "$clip")
loops=$(awk "BEGIN { print int($minutes * 60 / $length) }")
ffmpeg -nostdin -v error -stream_loop "$loops" -i "$clip" -c copy "$folder/long.mkv"
started=$(date +%s)
"$annotate" "$folder/long.mkv" -q -o "$folder/labels.jsonl" &
run=$!
: > "$folder/memory"
while kill -0 "$run" 2>/dev/null; do
    awk -v s="$(($(date +%s) - started))" '/^VmRSS/ { print s, $2 }' "/proc/$run/status" 2>/dev/null >> "$folder/memory" || true
    sleep 1
done
wait "$run"
frames=$(grep -c '^{"frame"' "$folder/labels.jsonl")
awk -v frames="$frames" -v minutes="$minutes" '
    { at[NR] = $1; kib[NR] = $2 }
    END {
        for (i = 1; i <= NR; i++) {
            half = i <= NR / 2 ? 1 : 2
            if (kib[i] > most[half]) most[half] = kib[i]
            if (int(i * 10 / NR) > int((i - 1) * 10 / NR)) printf "%5d s  %6.1f MiB\n", at[i], kib[i] / 1024
        }
        printf "%d minutes, %d lines in %d s: at most %.1f MiB in the first half, %.1f MiB in the second\n",
            minutes, frames, at[NR], most[1] / 1024, most[2] / 1024
        exit most[2] > 1.1 * most[1] + frames / 2
    }' "$folder/memory"
