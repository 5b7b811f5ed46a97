#!/bin/sh
# Compares the static program's results with those of the usual build, byte for byte: scripts/dist/compare.sh FOLDER...
# of videos; and looks whether the first two seconds of each, drawn on by the static program, have as many frames as the
# annotation. The usual build is target/release/annotate, or ANNOTATE_USUAL.
set -eu
cd "$(dirname "$0")/../.."

usual=${ANNOTATE_USUAL:-target/release/annotate}
static=target/dist/annotate
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# How many frames a timeline has.
frames() { sed -n 's/.*"media":{.*"frames":\([0-9]*\).*/\1/p' "$1"; }

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
        "$static" "$video" -q --overwrite --end 2 -o "$folder/short.json" --overlay "$folder/drawn.mp4" || [ $? -eq 4 ]
        "$static" "$folder/drawn.mp4" -q --overwrite --measures none -o "$folder/drawn.json"
        expected=$(frames "$folder/short.json")
        drawn=$(frames "$folder/drawn.json")
        if [ -z "$expected" ] || [ "$drawn" != "$expected" ]; then
            echo "DIFFERS $video: of $expected frames, $drawn are drawn"
            differ=1
        fi
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
