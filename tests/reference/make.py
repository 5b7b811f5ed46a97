"""Logits of Keras's networks on weights and pictures that a formula gives, so that the fixture is a few numbers.

    pip install tensorflow-cpu==2.21.0
    python tests/reference/make.py > tests/reference/logits.json

formula.py is the formula. Keras's own code builds the networks, so that padding,
eps, activations and the order of everything are its, not ours.
"""

import json
import sys

import numpy
import tensorflow

from formula import pictures, value

CLASSES = 7


def fill(model, convolution, norm, name):
    layer = model.get_layer(convolution)
    kernel = layer.get_weights()[0]
    if isinstance(layer, tensorflow.keras.layers.DepthwiseConv2D):
        shape = kernel.shape[:3]
    elif kernel.ndim == 4:
        shape = (int(numpy.prod(kernel.shape[:3])), kernel.shape[3])
    else:
        shape = kernel.shape
    weights = [value(f"{name}.weight", shape).reshape(kernel.shape)]
    if norm is None:
        weights.append(value(f"{name}.bias", (shape[-1],)))
    else:
        channels = (layer.output.shape[-1],)
        names = ["weight", "bias", "running_mean", "running_var"]
        model.get_layer(norm).set_weights([value(f"{name}.norm.{n}", channels) for n in names])
    layer.set_weights(weights)


def mobilenet(side):
    base = tensorflow.keras.applications.MobileNet(
        input_shape=(side, side, 3), alpha=1.0, include_top=False, weights=None, pooling="avg"
    )
    x = tensorflow.keras.layers.Dense(256, activation="relu", name="features")(base.output)
    model = tensorflow.keras.Model(base.input, tensorflow.keras.layers.Dense(CLASSES, name="classifier")(x))
    fill(model, "conv1", "conv1_bn", "stem")
    for block in range(13):
        fill(model, f"conv_dw_{block + 1}", f"conv_dw_{block + 1}_bn", f"blocks.{block}.depthwise")
        fill(model, f"conv_pw_{block + 1}", f"conv_pw_{block + 1}_bn", f"blocks.{block}.pointwise")
    fill(model, "features", None, "features")
    fill(model, "classifier", None, "classifier")
    return model, 1.0


def efficientnet(make, side):
    base = make(input_shape=(side, side, 3), include_top=False, weights=None, pooling="avg")
    model = tensorflow.keras.Model(
        base.input, tensorflow.keras.layers.Dense(CLASSES, name="classifier")(base.output)
    )
    names = {layer.name for layer in model.layers}
    fill(model, "stem_conv", "stem_bn", "stem")
    for stage in range(7):
        for repeat in range(26):
            block, ours = f"block{stage + 1}{chr(ord('a') + repeat)}_", f"stages.{stage}.{repeat}"
            if block + "dwconv" not in names:
                break
            if block + "expand_conv" in names:
                fill(model, block + "expand_conv", block + "expand_bn", f"{ours}.expand")
            fill(model, block + "dwconv", block + "bn", f"{ours}.depthwise")
            fill(model, block + "se_reduce", None, f"{ours}.squeeze_excite.reduce")
            fill(model, block + "se_expand", None, f"{ours}.squeeze_excite.expand")
            fill(model, block + "project_conv", block + "project_bn", f"{ours}.project")
    fill(model, "top_conv", "top_bn", "head")
    fill(model, "classifier", None, "classifier")
    # Keras's EfficientNets begin by dividing by 255.
    return model, 255.0


applications = tensorflow.keras.applications
networks = {
    "mobilenet_v1": (lambda: mobilenet(224), 224),
    "tf_efficientnet_b0": (lambda: efficientnet(applications.EfficientNetB0, 224), 224),
    "tf_efficientnet_b2": (lambda: efficientnet(applications.EfficientNetB2, 260), 260),
}
result = {"made_by": f"tests/reference/make.py, tensorflow {tensorflow.__version__}"}
for name, (build, side) in networks.items():
    model, factor = build()
    logits = model(pictures(2, side) * factor, training=False).numpy()
    trainable = int(sum(numpy.prod(w.shape) for w in model.trainable_weights))
    # Scaling and normalisation layers of Keras's have weights that are no part of the network.
    result[name] = {"side": side, "trainable_parameters": trainable, "logits": logits.tolist()}
json.dump(result, sys.stdout, indent=1)
