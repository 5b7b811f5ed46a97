"""Logits of timm's EfficientNets and of the seed's MobileNetV1 written down in NumPy, on weights and pictures that a formula
gives: two witnesses that share no code with Keras's networks, whose logits make.py keeps.

    pip install torch timm==1.0.31 numpy
    python tests/reference/timm_logits.py > tests/reference/timm_logits.json

The NumPy network reads its weights in Keras's layout and order, as the `.h5` files of SLTAT 2022 hold them: kernels
`[height, width, in, out]`, depthwise ones `[height, width, in, 1]`, normalisation gamma, beta, mean, variance.
"""

import json
import sys

import numpy
import timm
import torch

from formula import pictures, value

CLASSES = 7


def set_convolution(convolution, norm, name):
    out, within, height, width = convolution.weight.shape
    if convolution.groups > 1:
        kernel = value(f"{name}.weight", (height, width, out)).transpose(2, 0, 1)[:, None]
    else:
        kernel = value(f"{name}.weight", (height * width * within, out))
        kernel = kernel.reshape(height, width, within, out).transpose(3, 2, 0, 1)
    convolution.weight.data = torch.from_numpy(kernel.copy())
    if norm is None:
        convolution.bias.data = torch.from_numpy(value(f"{name}.bias", (out,)))
    else:
        for theirs in ["weight", "bias", "running_mean", "running_var"]:
            getattr(norm, theirs).data = torch.from_numpy(value(f"{name}.norm.{theirs}", (out,)))


def efficientnet(variant, side):
    model = timm.create_model(variant, num_classes=CLASSES).eval()
    set_convolution(model.conv_stem, model.bn1, "stem")
    for stage, blocks in enumerate(model.blocks):
        for repeat, block in enumerate(blocks):
            name = f"stages.{stage}.{repeat}"
            if hasattr(block, "conv_pwl"):
                set_convolution(block.conv_pw, block.bn1, f"{name}.expand")
                set_convolution(block.conv_dw, block.bn2, f"{name}.depthwise")
                set_convolution(block.conv_pwl, block.bn3, f"{name}.project")
            else:
                set_convolution(block.conv_dw, block.bn1, f"{name}.depthwise")
                set_convolution(block.conv_pw, block.bn2, f"{name}.project")
            if hasattr(block.se, "conv_reduce"):
                set_convolution(block.se.conv_reduce, None, f"{name}.squeeze_excite.reduce")
                set_convolution(block.se.conv_expand, None, f"{name}.squeeze_excite.expand")
    set_convolution(model.conv_head, model.bn2, "head")
    width = model.classifier.weight.shape[1]
    model.classifier.weight.data = torch.from_numpy(value("classifier.weight", (width, CLASSES)).T.copy())
    model.classifier.bias.data = torch.from_numpy(value("classifier.bias", (CLASSES,)))
    with torch.no_grad():
        logits = model(torch.from_numpy(pictures(2, side).transpose(0, 3, 1, 2).copy())).numpy()
    return logits, sum(p.numel() for p in model.parameters())


def seeds_mobilenet(side):
    """In double precision, one image row of arithmetic after another, as the paper's figure 2 draws it."""
    count = 0

    def layer(x, kernel, stride, name):
        nonlocal count
        height, width, within, last = kernel.shape
        count += kernel.size
        # Keras's MobileNet pads the strided convolutions below and on the right only, the others evenly.
        before = 0 if stride == 2 else height // 2
        padded = numpy.pad(x, ((0, 0), (before, 1), (before, 1), (0, 0))) if height == 3 else x
        out = (padded.shape[1] - height) // stride + 1
        z = 0.0
        for row in range(height):
            for column in range(width):
                seen = padded[:, row : row + stride * out : stride, column : column + stride * out : stride]
                z = z + (seen * kernel[row, column, :, 0] if last == 1 else seen @ kernel[row, column])
        gamma, beta, mean, variance = (
            value(f"{name}.norm.{kind}", (z.shape[-1],)).astype(float)
            for kind in ["weight", "bias", "running_mean", "running_var"]
        )
        count += gamma.size + beta.size
        return numpy.clip((z - mean) / numpy.sqrt(variance + 1e-3) * gamma + beta, 0, 6)

    x = layer(pictures(2, side).astype(float), value("stem.weight", (27, 32)).reshape(3, 3, 3, 32), 2, "stem")
    widths = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    for index, width in enumerate(widths):
        name, channels = f"blocks.{index}", x.shape[-1]
        kernel = value(f"{name}.depthwise.weight", (3, 3, channels))[..., None]
        x = layer(x, kernel, 2 if index in (1, 3, 5, 11) else 1, f"{name}.depthwise")
        kernel = value(f"{name}.pointwise.weight", (channels, width))[None, None]
        x = layer(x, kernel, 1, f"{name}.pointwise")
    x = x.mean((1, 2))
    for name, width in [("features", 256), ("classifier", CLASSES)]:
        kernel, bias = value(f"{name}.weight", (x.shape[-1], width)), value(f"{name}.bias", (width,))
        count += kernel.size + bias.size
        x = x @ kernel.astype(float) + bias
        if name == "features":
            x = numpy.maximum(x, 0)
    return x, count


result = {"made_by": f"tests/reference/timm_logits.py, timm {timm.__version__}, torch {torch.__version__}"}
sides = {"tf_efficientnet_b0": 224, "tf_efficientnet_b2": 260, "tf_efficientnet_lite0": 224, "mobilenet_v1": 224}
for name, side in sides.items():
    logits, count = seeds_mobilenet(side) if name == "mobilenet_v1" else efficientnet(name, side)
    result[name] = {"side": side, "trainable_parameters": int(count), "logits": logits.tolist()}
json.dump(result, sys.stdout, indent=1)
