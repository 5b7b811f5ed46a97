"""What OpenCV's equalizeHist and NumPy's mean and deviation make of a small colour picture.

    pip install opencv-python-headless numpy
    python tests/reference/normalise.py > tests/reference/normalise.json
"""

import json

import cv2
import numpy

picture = numpy.random.default_rng(2022).normal([90, 130, 200], [30, 60, 90], (4, 5, 3)).clip(0, 255).astype(numpy.uint8)
equalised = numpy.dstack([cv2.equalizeHist(numpy.ascontiguousarray(picture[:, :, c])) for c in range(3)])
mean, deviation = picture.mean((0, 1)), picture.std((0, 1))
standardised = ((picture - mean) * 128 / (2.5 * deviation) + mean).clip(0, 255).astype(numpy.uint8)
names = {"pixels": picture, "hist_eq": equalised, "mean_std": standardised}
print(json.dumps({name: pixels.flatten().tolist() for name, pixels in names.items()}))
