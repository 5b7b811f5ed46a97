#!/usr/bin/env python3
"""What MediaPipe's networks for palms and hands say of a hand that is drawn: tests/faces/hand.png and hands.json.

pip install ai-edge-litert opencv-python-headless numpy; unpack the Python package mediapipe 0.10.14; then, from the repository's
root: python tests/faces/hands.py FOLDER_OF_MEDIAPIPE (the one with modules/ in it)
"""
import json
import sys

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

SIDE = 256
# Wrist, then each finger from its root to its tip, the thumb first: where they are drawn.
FINGERS = [
    [(104, 190), (78, 168), (58, 148), (44, 132)],
    [(108, 128), (100, 92), (96, 68), (93, 46)],
    [(130, 122), (129, 82), (129, 54), (129, 32)],
    [(151, 126), (157, 88), (160, 64), (163, 44)],
    [(170, 140), (182, 110), (189, 92), (196, 74)],
]
# Raw outputs that are kept: every 97th anchor's.
KEPT = 97


def drawn():
    """A hand with its palm to the front, on a background that grows lighter."""
    over = 4
    size = SIDE * over
    picture = np.zeros((size, size, 3), np.float32)
    ramp = np.linspace(60, 110, size, dtype=np.float32)
    picture[:] = np.stack([ramp[:, None].repeat(size, 1)] * 3, -1) * np.array([0.8, 0.95, 1.1], np.float32)
    scaled = lambda point: (int(point[0] * over), int(point[1] * over))
    skin, edge = (214, 164, 138), (158, 104, 84)
    palm = np.array([scaled(p) for p in [(104, 226), (92, 180), (100, 128), (130, 118), (154, 122), (176, 138), (172, 186), (158, 226)]])
    for colour, more in [(edge, 3), (skin, 0)]:
        for number, finger in enumerate(FINGERS):
            wide = (13 if number == 0 else 11) + more
            for a, b in zip(finger, finger[1:]):
                cv2.line(picture, scaled(a), scaled(b), colour, 2 * wide * over)
        cv2.fillPoly(picture, [palm], colour)
        cv2.polylines(picture, [palm], True, colour, 2 * (8 + more) * over)
        cv2.rectangle(picture, scaled((108, 220)), scaled((156, 260)), colour, -1)
    for finger in FINGERS:
        for x, y in finger[1:3]:
            cv2.line(picture, scaled((x - 6, y)), scaled((x + 6, y)), edge, over)
    for a, b in [((106, 150), (160, 140)), ((108, 168), (150, 166)), ((112, 150), (124, 206))]:
        cv2.line(picture, scaled(a), scaled(b), edge, 2 * over)
    picture = cv2.GaussianBlur(picture, (0, 0), 1.2 * over)
    return cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA).round().clip(0, 255).astype(np.uint8)


def network(path, picture, margin):
    """The outputs of a network on a picture of its side, in which the hand has so much room on all sides."""
    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    side = interpreter.get_input_details()[0]["shape"][1]
    within = side - 2 * margin
    scaled = cv2.resize(picture, (within, within), interpolation=cv2.INTER_AREA)
    scaled = cv2.copyMakeBorder(scaled, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], scaled[None].astype(np.float32) / 255)
    interpreter.invoke()
    return scaled, [interpreter.get_tensor(output["index"])[0] for output in interpreter.get_output_details()]


def main():
    modules = sys.argv[1] + "/modules"
    picture = drawn()
    palm_picture, (boxes, scores) = network(f"{modules}/palm_detection/palm_detection_lite.tflite", picture, 48)
    hand_picture, (points, presence, _, _) = network(f"{modules}/hand_landmark/hand_landmark_lite.tflite", picture, 0)
    best = int(scores[:, 0].argmax())
    rounded = lambda values: [round(float(value), 5) for value in np.asarray(values).ravel()]
    kept = sorted({*range(0, len(scores), KEPT), best})
    found = {
        "palm_anchors": [{"anchor": a, "score": rounded(scores[a])[0], "box": rounded(boxes[a])} for a in kept],
        "best_anchor": best,
        "points": rounded(points.reshape(21, 3)[:, :2]),
        "presence": rounded(presence)[0],
    }
    for name, scaled in [("palm", palm_picture), ("hand", hand_picture)]:
        cv2.imwrite(f"tests/faces/{name}.png", cv2.cvtColor(scaled, cv2.COLOR_RGB2BGR))
    json.dump(found, open("tests/faces/hands.json", "w"), separators=(",", ":"))
    print("score", 1 / (1 + np.exp(-scores[best, 0])), "presence", found["presence"])


if __name__ == "__main__":
    main()
