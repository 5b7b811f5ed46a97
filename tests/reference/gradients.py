"""PyTorch's gradients of one training step on weights and pictures that a formula gives.

    pip install torch numpy
    python tests/reference/gradients.py > tests/reference/gradients.json

Two small networks that between them have every layer, odd sizes included, in double precision. Of each tensor's gradient
and of the running statistics after the step the fixture keeps the norm and two projections: sums of the elements times
numbers from the formula.
"""

import functools
import json
import sys

import numpy
import torch
from torch.nn import functional

import formula
from formula import uniform

CLASSES = 7
IMAGES = 6


def value(name, shape):
    # Through single precision, as our weights are.
    return torch.from_numpy(formula.value(name, shape).astype(numpy.float64))


class Tensors(dict):
    """Tensors by name, made when first asked for."""

    def of(self, name, shape):
        if name not in self:
            self[name] = value(name, shape).requires_grad_("running" not in name)
        return self[name]


def same(x, kernel, stride):
    """TensorFlow's padding."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return functional.pad(x, pads)


def normalised(tensors, name, x, weights, stride, groups, momentum, activation):
    x = functional.conv2d(same(x, weights.shape[2], stride), weights, stride=stride, groups=groups)
    of = lambda kind: tensors.of(f"{name}.norm.{kind}", (x.shape[1],))
    mean, variance = of("running_mean"), of("running_var")
    x = functional.batch_norm(x, mean, variance, of("weight"), of("bias"), True, momentum, 1e-3)
    return activation(x)


def dense(tensors, name, x, to, kernel, stride, momentum, activation):
    weights = tensors.of(f"{name}.weight", (kernel * kernel * x.shape[1], to))
    weights = weights.reshape(kernel, kernel, x.shape[1], to).permute(3, 2, 0, 1)
    return normalised(tensors, name, x, weights, stride, 1, momentum, activation)


def depthwise(tensors, name, x, kernel, stride, momentum, activation):
    channels = x.shape[1]
    weights = tensors.of(f"{name}.weight", (kernel, kernel, channels)).permute(2, 0, 1).unsqueeze(1)
    return normalised(tensors, name, x, weights, stride, channels, momentum, activation)


def linear(tensors, name, x, to):
    return x @ tensors.of(f"{name}.weight", (x.shape[1], to)) + tensors.of(f"{name}.bias", (to,))


def mobilenet(tensors, x):
    relu6 = functional.relu6
    x = dense(tensors, "stem", x, 8, 3, 2, 0.01, relu6)
    for index, (channels, stride) in enumerate([(16, 1), (20, 2), (72, 1)]):
        x = depthwise(tensors, f"blocks.{index}.depthwise", x, 3, stride, 0.01, relu6)
        x = dense(tensors, f"blocks.{index}.pointwise", x, channels, 1, 1, 0.01, relu6)
    x = linear(tensors, "features", x.mean((2, 3)), 12).relu()
    return linear(tensors, "classifier", x, CLASSES)


def efficientnet(tensors, x, lite=False):
    silu, identity = functional.relu6 if lite else functional.silu, lambda x: x
    x = dense(tensors, "stem", x, 8, 3, 2, 0.1, silu)
    for index, (kernel, stride, expand, channels, repeats) in enumerate([(3, 1, 1, 8, 1), (5, 2, 6, 12, 2)]):
        for repeat in range(repeats):
            name, start = f"stages.{index}.{repeat}", x
            if expand > 1:
                x = dense(tensors, f"{name}.expand", x, x.shape[1] * expand, 1, 1, 0.1, silu)
            x = depthwise(tensors, f"{name}.depthwise", x, kernel, stride if repeat == 0 else 1, 0.1, silu)
            if not lite:
                gate = linear(tensors, f"{name}.squeeze_excite.reduce", x.mean((2, 3)), max(start.shape[1] // 4, 1))
                gate = linear(tensors, f"{name}.squeeze_excite.expand", silu(gate), x.shape[1]).sigmoid()
                x = x * gate[:, :, None, None]
            x = dense(tensors, f"{name}.project", x, channels, 1, 1, 0.1, identity)
            if x.shape == start.shape:
                x = x + start
    x = dense(tensors, "head", x, 24, 1, 1, 0.1, silu)
    return linear(tensors, "classifier", x.mean((2, 3)), CLASSES)


result = {"made_by": f"tests/reference/gradients.py, torch {torch.__version__}"}
networks = [
    ("mobilenet_v1", mobilenet, 15),
    ("efficientnet", efficientnet, 18),
    ("efficientnet_lite", functools.partial(efficientnet, lite=True), 18),
]
for name, network, side in networks:
    tensors = Tensors()
    pictures = (uniform("pictures", IMAGES * side * side) * 2 - 1).astype(numpy.float32).astype(numpy.float64)
    logits = network(tensors, torch.from_numpy(pictures.reshape(IMAGES, 1, side, side)))
    loss = functional.cross_entropy(logits, torch.arange(IMAGES) % CLASSES)
    loss.backward()
    kept = {"side": side, "images": IMAGES, "loss": loss.item(), "gradients": {}, "running": {}}
    for key, tensor in sorted(tensors.items()):
        kind, values = ("gradients", tensor.grad) if tensor.requires_grad else ("running", tensor)
        values = values.flatten()
        probes = [torch.from_numpy(uniform(f"{key}/{probe}", len(values)) - 0.5) for probe in range(2)]
        kept[kind][key] = [values.norm().item()] + [(values * probe).sum().item() for probe in probes]
    result[name] = kept
json.dump(result, sys.stdout, indent=1)
