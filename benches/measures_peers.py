#!/usr/bin/env python3
"""Times the whole program with its face measures beside MediaPipe's own graph for the same network, on the same videos.

    benches/measures_peers.py ANNOTATE VIDEO...          (`make bench-measures`, which makes the virtual environment)

MediaPipe reads the video with OpenCV and follows one face with attention (`refine_landmarks`), and gives points only; ours writes
the whole timeline, labels and events included. Both use every core they like. Wall time and processor time, in turns, the shortest of
ROUNDS; the start of either is part of it, and so is decoding.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time

ROUNDS = 3

# Read by this file's own child, so that imports and the network's start are counted as those of the program are.
MEDIAPIPE = """
import sys, cv2, mediapipe as mp
video, seen, frames = cv2.VideoCapture(sys.argv[1]), 0, 0
with mp.solutions.face_mesh.FaceMesh(max_num_faces=1, refine_landmarks=True) as mesh:
    while (read := video.read())[0]:
        frames += 1
        seen += mesh.process(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)).multi_face_landmarks is not None
print(frames, seen)
"""


def spent(command):
    """Wall seconds, processor seconds and what a command prints."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, printed


def main():
    annotate, videos = sys.argv[1], sys.argv[2:]
    print("| video | frames | | frames/s | processor time, ms a frame |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        ours = [annotate, "--quiet", "--overwrite", "-o", os.path.join(folder, "labels.json")]
        for video in videos:
            engines = {
                "annotate, everything measured": [*ours, video],
                "annotate, without hands": [*ours, "--measures", "head,brows,eyes,mouth", video],
                "MediaPipe 0.10.14, points only": [sys.executable, "-c", MEDIAPIPE, video],
            }
            runs = {name: [] for name in engines}
            for _ in range(ROUNDS):
                for name, command in engines.items():
                    runs[name].append(spent(command))
            frames = int(runs["MediaPipe 0.10.14, points only"][0][2].split()[0])
            for name, measured in runs.items():
                wall, processor = min(run[0] for run in measured), min(run[1] for run in measured)
                print(f"| {os.path.basename(video)} | {frames} | {name} | {frames / wall:.1f} | {1000 * processor / frames:.1f} |")


main()
