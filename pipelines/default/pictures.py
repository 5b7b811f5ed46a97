"""The pictures behind the predictions that `annotate evaluate` writes for FER2013's strips of faces."""

import csv

from PIL import Image

CLASSES = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"]
SIDE = 48
Image.MAX_IMAGE_PIXELS = None


def pictures(predictions):
    """Each picture with its true class and the class of the greatest probability."""
    strips = {}
    for row in csv.DictReader(open(predictions)):
        strip, cell = row["path"].rsplit("#", 1)
        if strip not in strips:
            strips[strip] = Image.open(strip)
        face = strips[strip].crop((0, SIDE * int(cell), SIDE, SIDE * int(cell) + SIDE))
        yield face, row["truth"], max(CLASSES, key=lambda name: float(row[name]))
