#!/bin/sh
# Compares the static program's results with those of the usual build, byte for byte: scripts/dist/compare.sh FOLDER...
# of videos. The usual build is target/release/annotate, or ANNOTATE_USUAL.
set -eu
cd "$(dirname "$0")/../.."

usual=${ANNOTATE_USUAL:-target/release/annotate}
static=target/dist/annotate
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
differ=0
found=0
for videos in "$@"; do
    [ -d "$videos" ] || { echo "skipped: $videos (not there)"; continue; }
    for video in "$videos"/*.mp4 "$videos"/*.gif "$videos"/*.mov "$videos"/*.mkv; do
        [ -f "$video" ] || continue
        found=$((found + 1))
        for which in usual static; do
            eval "program=\$$which"
            # A partial result is one, too.
            "$program" "$video" -q --overwrite -o "$folder/$which.json" || [ $? -eq 4 ]
        done
        if cmp -s "$folder/usual.json" "$folder/static.json"; then
            echo "same    $video"
        else
            echo "DIFFERS $video"
            differ=1
        fi
    done
done
[ "$found" -gt 0 ] || echo "skipped: there are no videos"
exit "$differ"
