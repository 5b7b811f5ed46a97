"""Boxes that YuNet and MediaPipe find on the frames of the real clips and on the photos, for `make bench-faces`.

    python3 -m venv VENV && VENV/bin/pip install 'mediapipe==0.10.14' opencv-python-headless
    VENV/bin/python tests/faces/peers.py DATA OUT

Writes OUT/NAME-videos.csv and OUT/NAME-photos.csv: name,frame,x,y,w,h,ms (ms on the first row of a frame; a row without a
box where none was found). One thread each; decoding is not counted. YuNet sees pictures whose longer side is 640 (its own
input size) or smaller, score 0.6; MediaPipe's short-range model sees the picture as it is, confidence 0.5.
"""

import csv
import subprocess
import sys
import time
from pathlib import Path

import cv2
import mediapipe as mp
import numpy as np

data, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
cv2.setNumThreads(1)


def frames(path):
    probe = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height", "-of", "csv=p=0"]
    width, height = map(int, subprocess.check_output([*probe, str(path)], text=True).strip().split("\n")[0].split(",")[:2])
    command = ["ffmpeg", "-nostdin", "-v", "error", "-threads", "1", "-i", str(path)]
    command += ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "bgr24", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while len(raw := process.stdout.read(width * height * 3)) == width * height * 3:
            yield np.frombuffer(raw, np.uint8).reshape(height, width, 3)


class YuNet:
    def __init__(self):
        self.net = cv2.FaceDetectorYN.create(str(data / "weights/yunet_n_640_640.onnx"), "", (640, 640), 0.6)

    def __call__(self, picture):
        scale = min(1.0, 640 / max(picture.shape[:2]))
        if scale < 1:
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        self.net.setInputSize(picture.shape[1::-1])
        found = self.net.detect(picture)[1]
        found = [] if found is None else sorted(found, key=lambda f: -f[14])
        return [tuple(float(v) / scale for v in f[:4]) for f in found]


class MediaPipe:
    def __init__(self):
        self.net = mp.solutions.face_detection.FaceDetection(model_selection=0, min_detection_confidence=0.5)

    def __call__(self, picture):
        height, width = picture.shape[:2]
        found = self.net.process(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).detections or []
        boxes = [d.location_data.relative_bounding_box for d in sorted(found, key=lambda d: -d.score[0])]
        return [(b.xmin * width, b.ymin * height, b.width * width, b.height * height) for b in boxes]


def write(table, name, frame, boxes, seconds):
    for place, box in enumerate(boxes or [None]):
        cells = ["", "", "", ""] if box is None else [f"{v:.2f}" for v in box]
        table.writerow([name, frame, *cells, f"{1e3 * seconds:.3f}" if place == 0 else ""])


def names(path, column):
    with open(path) as file:
        return sorted({row[column] for row in csv.DictReader(file)})


for name, make in [("mediapipe", MediaPipe), ("yunet", YuNet)]:
    for kind, column in [("videos", "video"), ("photos", "image")]:
        with open(out / f"{name}-{kind}.csv", "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["name", "frame", "x", "y", "w", "h", "ms"])
            for entry in names(data / kind / "face_boxes.csv", column):
                detect = make()
                path = data / kind / entry
                pictures = frames(path) if kind == "videos" else [cv2.imread(str(path))]
                for index, picture in enumerate(pictures):
                    started = time.perf_counter()
                    boxes = detect(picture)
                    write(table, entry, index, boxes, time.perf_counter() - started)
