"""What OpenCV's FaceDetectorYN finds in photos that are shown to it in grey: makes tests/faces/yunet.json.

    python3 -m venv VENV && VENV/bin/pip install 'opencv-python-headless==5.0.0.*'
    VENV/bin/python tests/faces/yunet.py DATA > tests/faces/yunet.json

DATA has photos/ and weights/. Grey is what Rust's `image` makes of colours (ITU-R BT.709's weights), so that both see the
same picture but for their JPEG decoders. Score 0.5, overlap 0.3; boxes as x, y, width, height, then both eyes, then the score.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

PHOTOS = ["dlib_2008_001322.jpg", "linzaer_12.jpg", "faceapi_happy.jpg"]

data = Path(sys.argv[1])
found = {}
for name in PHOTOS:
    picture = cv2.imread(str(data / "photos" / name)).astype(np.float32)
    grey = picture @ np.array([0.0722, 0.7152, 0.2126], np.float32)
    picture = np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)
    height, width = picture.shape[:2]
    network = cv2.FaceDetectorYN.create(str(data / "weights/yunet_n_640_640.onnx"), "", (width, height), 0.5, 0.3)
    rows = network.detect(picture)[1]
    found[name] = [[round(float(v), 3) for v in [*row[:8], row[14]]] for row in rows]
print(json.dumps({"made_by": "tests/faces/yunet.py", "opencv": cv2.__version__, "found": found}))
