"""What the faces look like that a model reads wrongly: for each truth and answer the mean of the pictures, which shows nobody.

    annotate evaluate --model default --data ferplus.csv --out report
    python pipelines/default/failures.py report/predictions.csv docs/images/failures.png

Rows are truths, columns are answers, the number of pictures stands below each. Each picture is brought to one mean and contrast
first, and counts with its mirror image. Of fewer than twelve pictures a mean might show somebody: there the number stands alone.
Needs numpy and pillow.
"""

import collections
import sys

import numpy
from PIL import Image, ImageDraw, ImageFont

from pictures import CLASSES, pictures

LEAST = 12
CELL, GAP, LEFT, TOP = 96, 22, 96, 30


def means(predictions):
    """Of each pair of truth and answer, how many pictures there are and what they look like on average."""
    sums, counts = collections.defaultdict(float), collections.Counter()
    for face, truth, answer in pictures(predictions):
        face = numpy.asarray(face.convert("L"), numpy.float64)
        sums[truth, answer] += (face - face.mean()) / max(face.std(), 1.0)
        counts[truth, answer] += 1
    return {pair: (count, (sums[pair] + sums[pair][:, ::-1]) / (2 * count)) for pair, count in counts.items()}


def drawn(composite):
    """A mean of standardised pictures with more contrast, but not so much that noise becomes a face."""
    grey = 128 + 50 * (composite - composite.mean()) / max(composite.std(), 0.6)
    return Image.fromarray(grey.clip(0, 255).astype(numpy.uint8)).resize((CELL, CELL), Image.BICUBIC)


def main(predictions, out):
    size = LEFT + len(CLASSES) * (CELL + 6) + 6, TOP + len(CLASSES) * (CELL + GAP)
    sheet = Image.new("L", size, 255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for index, name in enumerate(CLASSES):
        pen.text((LEFT + index * (CELL + 6) + CELL / 2, TOP - 8), name, 0, font, anchor="ms")
        pen.text((LEFT - 8, TOP + index * (CELL + GAP) + CELL / 2), name, 0, font, anchor="rm")
    for (truth, answer), (count, composite) in means(predictions).items():
        left = LEFT + CLASSES.index(answer) * (CELL + 6)
        top = TOP + CLASSES.index(truth) * (CELL + GAP)
        if count >= LEAST:
            sheet.paste(drawn(composite), (left, top))
        if truth == answer and count >= LEAST:
            pen.rectangle((left - 2, top - 2, left + CELL + 1, top + CELL + 1), outline=0, width=2)
        pen.text((left + CELL / 2, top + CELL + 15), str(count), 0, font, anchor="ms")
    sheet.save(out, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
