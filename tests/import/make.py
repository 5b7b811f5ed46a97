"""Small random checkpoints as timm and Keras write them, and the logits that timm and Keras compute with them.

    pip install torch timm==0.9.16 safetensors onnx   # torch 1.13 was used
    python tests/import/make.py torch
    pip install tensorflow-cpu==2.16.2 tf_keras==2.16.0 tf2onnx==1.17.0
    python tests/import/make.py keras

Both networks are much narrower and shorter than the published ones, so that the files are small; their code, names,
padding and layouts are those of the libraries. Weights are rounded to 16 bits where the format allows it.
"""

import functools
import json
import pathlib
import sys

import numpy

FOLDER = pathlib.Path(__file__).parent
SIDE = 40


def pictures():
    """Pictures in [-1, 1), from the formula of tests/it/reference.rs."""
    count = 2 * SIDE * SIDE * 3
    seed = numpy.uint32(2166136261)
    with numpy.errstate(over="ignore"):
        for byte in b"pictures":
            seed = (seed ^ numpy.uint32(byte)) * numpy.uint32(16777619)
        x = numpy.arange(count, dtype=numpy.uint32) * numpy.uint32(2654435761) + seed
        x = (x ^ (x >> 16)) * numpy.uint32(0x7FEB352D)
        x = (x ^ (x >> 15)) * numpy.uint32(0x846CA68B)
    uniform = (x ^ (x >> 16)).astype(numpy.float64) / 2.0**32
    return (uniform * 2 - 1).reshape(2, SIDE, SIDE, 3).astype(numpy.float32)


def record(name, logits):
    path = FOLDER / "logits.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    known[name] = numpy.asarray(logits, numpy.float64).round(6).tolist()
    path.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


def make_torch():
    import onnx
    import safetensors.torch
    import timm.models.efficientnet as timm
    import torch

    def network(classes, seed):
        torch.manual_seed(seed)
        # As tf_efficientnet_b0, with fewer and narrower stages.
        stages = [["ds_r1_k3_s1_e1_c8_se0.25"], ["ir_r2_k3_s2_e4_c8_se0.25"], ["ir_r1_k5_s2_e4_c12_se0.25"]]
        model = timm.EfficientNet(
            block_args=timm.decode_arch_def(stages),
            num_classes=classes,
            num_features=24,
            stem_size=8,
            round_chs_fn=lambda channels: channels,
            norm_layer=functools.partial(torch.nn.BatchNorm2d, eps=1e-3),
            act_layer=torch.nn.SiLU,
            pad_type="same",
        )
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var") or (("bn" in name) and name.endswith("weight")):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith(("running_mean", "bias")):
                tensor.uniform_(-0.3, 0.3)
        return model.half().float().eval()

    x = torch.from_numpy(pictures().transpose(0, 3, 1, 2).copy())

    seven = network(7, 7)
    record("efficientnet7", seven(x).detach())
    # The published checkpoints have the classifier in a sequence of one.
    state = {name.replace("classifier.", "classifier.0."): tensor for name, tensor in seven.half().state_dict().items()}
    torch.save({"epoch": 3, "best": 0.5, "state_dict": state}, FOLDER / "efficientnet7.pt")
    seven.float()
    torch.onnx.export(seven, x, FOLDER / "efficientnet7.onnx", opset_version=11, input_names=["input"], output_names=["output"])
    # Nodes' names are half of the file, and nothing reads them.
    graph = onnx.load(FOLDER / "efficientnet7.onnx")
    for node in graph.graph.node:
        node.ClearField("name")
    onnx.save(graph, FOLDER / "efficientnet7.onnx")
    torch.save(torch.nn.Linear(2, 2), FOLDER / "whole_module.pt")

    eight = network(8, 8)
    record("efficientnet8", eight(x).detach())
    safetensors.torch.save_file(eight.half().state_dict(), FOLDER / "efficientnet8.safetensors")


def make_keras():
    import tf_keras as keras

    keras.utils.set_random_seed(7)
    x = inputs = keras.Input((SIDE, SIDE, 3))

    def norm(x, name):
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
        return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)

    # As keras.applications.MobileNet, with fewer and narrower blocks, and the seed's head.
    x = keras.layers.Conv2D(4, 3, 2, "same", use_bias=False, name="conv1")(x)
    x = norm(x, "conv1")
    for index, (channels, stride) in enumerate([(8, 1), (12, 2)], 1):
        x = keras.layers.DepthwiseConv2D(3, stride, "same", use_bias=False, name=f"conv_dw_{index}")(x)
        x = norm(x, f"conv_dw_{index}")
        x = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"conv_pw_{index}")(x)
        x = norm(x, f"conv_pw_{index}")
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Dense(6, "relu", name="feats")(x)
    x = keras.layers.Dense(7, "softmax", name="emotion_preds")(x)
    model = keras.Model(inputs, x, name="model_2")
    random = numpy.random.default_rng(7)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([random.uniform(low, low + 1, w.shape) for low, w in zip([0.5, -0.5, -0.5, 0.5], layer.get_weights())])
        if isinstance(layer, keras.layers.Dense):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel, random.uniform(-0.5, 0.5, bias.shape)])
    # The logits' differences are those of the logarithms of what the softmax gives.
    record("mobilenet7", numpy.log(model.predict(pictures(), verbose=0)))
    model.save(FOLDER / "mobilenet7.h5", include_optimizer=False)

    import tensorflow
    import tf2onnx

    signature = [tensorflow.TensorSpec((None, SIDE, SIDE, 3), tensorflow.float32, name="input")]
    tf2onnx.convert.from_keras(model, signature, opset=13, output_path=FOLDER / "mobilenet7.onnx")


{"torch": make_torch, "keras": make_keras}[sys.argv[1]]()
