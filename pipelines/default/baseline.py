"""What mini-XCEPTION says about PrivateTest, beside our own predictions on the same images.

    annotate evaluate --model default --data ferplus.csv --out report
    python baseline.py report/predictions.csv fer2013_mini_XCEPTION.102-0.66.converted.onnx

needs numpy, pillow and onnxruntime. The network takes 64x64 grey pictures (bilinear), x / 127.5 - 1, and answers in
FER2013's order of classes.
"""

import sys

import numpy
import onnxruntime
from PIL import Image

from pictures import CLASSES, pictures

FER2013_ORDER = ["anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral"]


def main(predictions, network):
    session = onnxruntime.InferenceSession(network)
    name = session.get_inputs()[0].name
    truth, baseline, own = [], [], []
    for face, label, answer in pictures(predictions):
        face = numpy.asarray(face.resize((64, 64), Image.BILINEAR), numpy.float32) / 127.5 - 1
        theirs = FER2013_ORDER[int(session.run(None, {name: face[None, None]})[0].argmax())]
        truth.append(CLASSES.index(label))
        baseline.append(CLASSES.index(theirs))
        own.append(CLASSES.index(answer))
    truth, baseline, own = map(numpy.array, (truth, baseline, own))
    print(f"{len(truth)} images")
    print(f"{'':12}{'mini-XCEPTION':>14}{'ours':>8}")

    def recalls(answers):
        return [float((answers[truth == c] == c).mean()) for c in range(len(CLASSES))]

    for name, a, b in zip(CLASSES, recalls(baseline), recalls(own)):
        print(f"{name:12}{100 * a:13.1f} {100 * b:7.1f}")
    print(f"{'balanced':12}{100 * numpy.mean(recalls(baseline)):13.1f} {100 * numpy.mean(recalls(own)):7.1f}")
    print(f"{'accuracy':12}{100 * (baseline == truth).mean():13.1f} {100 * (own == truth).mean():7.1f}")
    only_ours = int(((own == truth) & (baseline != truth)).sum())
    only_theirs = int(((own != truth) & (baseline == truth)).sum())
    print(f"right in ours only: {only_ours}, right in theirs only: {only_theirs} (McNemar's discordant pairs)")


if __name__ == "__main__":
    main(*sys.argv[1:])
