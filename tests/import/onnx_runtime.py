"""Runs an ONNX file in ONNX Runtime.

    onnx_runtime.py MODEL.onnx PICTURES OUT

PICTURES holds little-endian floats, whole pictures as the model's input has them; OUT gets the rows of 'logits', then those
of 'probabilities'. Printed: the input's and the outputs' names and shapes, and the metadata, as JSON.
"""

import json
import sys

import numpy
import onnxruntime

model, pictures, out = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
(faces,) = session.get_inputs()
values = numpy.fromfile(pictures, dtype="<f4").reshape(-1, *faces.shape[1:])
results = session.run(["logits", "probabilities"], {faces.name: values})
numpy.concatenate([result.ravel() for result in results]).astype("<f4").tofile(out)
print(json.dumps({
    "input": [faces.name, faces.shape],
    "outputs": [[output.name, output.shape] for output in session.get_outputs()],
    "metadata": session.get_modelmeta().custom_metadata_map,
}))
