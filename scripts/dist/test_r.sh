#!/bin/sh
# Runs what the pages show in R, as far as R and the packages are there: scripts/dist/test_r.sh PROGRAM
set -eu
cd "$(dirname "$0")/../.."

command -v Rscript >/dev/null || { echo "skipped: the pages' lines in R (R is not installed)"; exit 0; }
program=$(realpath "$1")
checkout=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/bin" "$folder/corpus"
ln -s "$program" "$folder/bin/annotate"
PATH="$folder/bin:$PATH"
cp assets/demo/demo.mp4 "$folder/corpus.mp4"
cp assets/demo/demo.mp4 "$folder/corpus/"
cd "$folder"
# What the pages have done before they turn to R.
annotate corpus.mp4 -q -o labels.segments.tsv
annotate batch corpus -q --output-dir labels -f parquet

for page in install tutorial_linguists tutorial_corpus; do
    awk '/^```/ { inside = ($0 == "```r"); next } inside' "$checkout/docs/$page.md" >"$page.R"
    [ -s "$page.R" ] || { echo "docs/$page.md shows nothing in R"; exit 1; }
    missing=$(grep -oE 'library\([a-z]+\)|[a-z]+::' "$page.R" | sed 's/library(//; s/[):]//g' | sort -u | while read -r package; do
        Rscript -e "if (!requireNamespace('$package', quietly = TRUE)) cat('$package ')" 2>/dev/null
    done)
    if [ -n "$missing" ]; then
        echo "skipped: what docs/$page.md shows in R (not installed: $missing)"
    else
        Rscript "$page.R" >"$page.txt" 2>&1 || { cat "$page.txt"; echo "docs/$page.md fails in R"; exit 1; }
        echo "ran: what docs/$page.md shows in R"
    fi
done
