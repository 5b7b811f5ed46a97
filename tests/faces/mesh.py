#!/usr/bin/env python3
"""MediaPipe's own face mesh on frames of the demo clip, which shows nobody: tests/faces/mesh.json and mesh_*.png.

pip install mediapipe==0.10.14 opencv-python-headless numpy; then: python tests/faces/mesh.py (from the repository's root)
"""
import json
import os

import cv2
import mediapipe as mp
import numpy as np

FOLDER = os.path.join(os.path.dirname(mp.__file__), "modules", "face_landmark")
NETWORK = os.path.join(FOLDER, "face_landmark_with_attention.tflite")
# Sizes of the network's outputs, in its order: mesh, lips, left and right eye (as seen in the picture), irises, flag.
SIZES = [1404, 160, 142, 142, 10, 10, 1]
SIDE = 192


class Network:
    """The network inside MediaPipe, with its own inference."""

    def __init__(self):
        outputs = "\n".join(f'output_stream:"out{k}"' for k in range(len(SIZES)))
        ranges = " ".join(f"ranges:{{begin:{k} end:{k + 1}}}" for k in range(len(SIZES)))
        floats = "\n".join(
            f'node{{calculator:"TensorsToFloatsCalculator" input_stream:"TENSORS:out{k}" output_stream:"FLOATS:f{k}"}}'
            for k in range(len(SIZES))
        )
        graph = f"""input_stream:"image"
node{{calculator:"ImageToTensorCalculator" input_stream:"IMAGE:image" output_stream:"TENSORS:input" options{{
  [mediapipe.ImageToTensorCalculatorOptions.ext]{{output_tensor_width:{SIDE} output_tensor_height:{SIDE}
  output_tensor_float_range{{min:0 max:1}}}}}}}}
node{{calculator:"TfLiteCustomOpResolverCalculator" output_side_packet:"OP_RESOLVER:resolver"}}
node{{calculator:"InferenceCalculator" input_stream:"TENSORS:input" input_side_packet:"OP_RESOLVER:resolver"
  output_stream:"TENSORS:out" options{{[mediapipe.InferenceCalculatorOptions.ext]{{model_path:"{NETWORK}"
  delegate{{xnnpack{{num_threads:1}}}}}}}}}}
node{{calculator:"SplitTensorVectorCalculator" input_stream:"out" {outputs} options{{
  [mediapipe.SplitVectorCalculatorOptions.ext]{{{ranges}}}}}}}
{floats}"""
        self.graph = mp.CalculatorGraph(graph_config=graph)
        self.found, self.time = {}, 0
        for k in range(len(SIZES)):
            keep = lambda name, packet: self.found.__setitem__(name, list(mp.packet_getter.get_float_list(packet)))
            self.graph.observe_output_stream(f"f{k}", keep)
        self.graph.start_run()

    def run(self, rgb):
        self.time += 1
        image = mp.packet_creator.create_image_frame(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(rgb))
        self.graph.add_packet_to_input_stream("image", image.at(self.time))
        self.graph.wait_until_idle()
        return [self.found[f"f{k}"] for k in range(len(SIZES))]


def main():
    geometry = json.load(open("assets/models/face_mesh/geometry.json"))
    truth = json.load(open("assets/demo/truth.json"))
    network = Network()
    clip = cv2.VideoCapture("assets/demo/demo.mp4")
    pictures = []
    for frame in range(truth["frames"]):
        picture = clip.read()[1]
        if frame not in (40, 150):
            continue
        x, y, w, h = truth["faces"][frame]
        side, centre = 1.6 * w, (x + w / 2, y + h / 2)
        angle = 0.3 if frame == 150 else 0.0
        c, s = np.cos(angle) * side / 2, np.sin(angle) * side / 2
        corners = np.float32([[-c + s, -s - c], [c + s, s - c], [c - s, s + c], [-c - s, -s + c]]) + np.float32(centre)
        target = np.float32([[0, 0], [SIDE, 0], [SIDE, SIDE], [0, SIDE]])
        crop = cv2.warpPerspective(picture, cv2.getPerspectiveTransform(corners, target), (SIDE, SIDE))
        name = f"mesh_{frame}.png"
        cv2.imwrite(f"tests/faces/{name}", crop, [cv2.IMWRITE_PNG_COMPRESSION, 9])
        mesh, lips, right, left, right_iris, left_iris, flag = network.run(cv2.cvtColor(crop, cv2.COLOR_BGR2RGB))
        points = np.zeros((478, 3))
        points[:468] = np.reshape(mesh, (468, 3))
        # The eye to the left in the picture is the person's right one.
        for found, places in ((lips, geometry["lips"]), (right, geometry["eyes"][0]), (left, geometry["eyes"][1])):
            points[places, :2] = np.reshape(found, (-1, 2))
        for eye, iris in enumerate((right_iris, left_iris)):
            places = slice(468 + 5 * eye, 473 + 5 * eye)
            points[places, :2] = np.reshape(iris, (5, 2))
            points[places, 2] = points[geometry["eye_contours"][eye], 2].mean()
        rounded = [[round(float(value), 4) for value in point] for point in points]
        pictures.append({"picture": name, "points": rounded, "flag": round(float(flag[0]), 4)})
    with open("tests/faces/mesh.json", "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(picture, separators=(",", ":")) for picture in pictures) + "\n]\n")


main()
