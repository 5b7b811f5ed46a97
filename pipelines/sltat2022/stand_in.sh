#!/bin/sh
# The way from data set to table of SLTAT 2022, on pictures that show nobody and with two tiny networks.
#
#   pipelines/sltat2022/stand_in.sh [FOLDER]        (runs/stand-in if not given)
#
# ANNOTATE names the program, target/release/annotate if not set; what is there already is not made again.
set -eu
cd "$(dirname "$0")/../.."
folder=${1:-runs/stand-in}
annotate=${ANNOTATE:-target/release/annotate}
mkdir -p "$folder/models"

[ -e "$folder/feph/FePh_labels.csv" ] || cargo run --quiet --release --locked --example feph_stand_in -- "$folder/feph"
[ -e "$folder/models/mobilenet_7/config.json" ] ||
    "$annotate" models import tests/import/mobilenet7.h5 --arch tests/import/mobilenet.json \
        --licence 'random numbers' -o "$folder/models/mobilenet_7"
[ -e "$folder/models/enet_b0_7/config.json" ] ||
    "$annotate" models import tests/import/efficientnet7.pt --arch tests/import/efficientnet.json \
        --licence 'random numbers' -o "$folder/models/enet_b0_7"
[ -e "$folder/feph.csv" ] || "$annotate" data import feph "$folder/feph" -o "$folder/feph.csv"
[ -e "$folder/folds.csv" ] || "$annotate" data split "$folder/feph.csv" --folds 5 -o "$folder/folds.csv"
[ -e "$folder/crops.csv" ] || "$annotate" data crop "$folder/folds.csv" --side 48 -o "$folder/crops.csv"
"$annotate" data inspect "$folder/crops.csv" --contact-sheet "$folder/contact-sheet.png"
"$annotate" train --grid pipelines/sltat2022 --models "$folder/models" --data "$folder/crops.csv" --out "$folder/grid"
