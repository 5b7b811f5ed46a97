"""Times ONNX Runtime, OpenVINO and PyTorch beside `annotate bench`: the same network, the same weights, the same batch,
one after the other in every round.

    make bench-peers                                     (builds the program, makes a virtual environment, runs this)
    python benches/peers.py PROGRAM [--rounds N] [--seconds S] [--networks default,b0,mobilenet]
                                    [--batches 1,8,32] [--threads 1,2] [--json FILE]

Networks are read from model directories (config.json and model.safetensors), so that all engines get the program's
models; networks with random weights are made here. Batch normalisation is folded into the weights for every peer, as each
would do itself; of a model that looks at mirror images too, peers get both. Each cell is the median over the rounds of a round's median, with the shortest of all
repeats beside it, which is what counts on a busy machine. PyTorch is left out where it is not installed.
What a machine without AVX-512 would do: LD_PRELOAD=target/mask_avx512.so (see mask_avx512.c) and --precisions f32.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file

try:
    import torch
except ImportError:  # It is measured where it is there.
    torch = None

CLASSES = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"]
SEED = 20220624


# A network is a list of layers; each layer is a tuple of its kind and its parameters.


def same(size, kernel, stride):
    """TensorFlow's SAME padding, before and after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def layers(config, tensors):
    """The layers of a model directory, normalisation folded in, weights in PyTorch's order."""

    def folded(name):
        norm = {k: tensors[f"{name}.norm.{k}"].astype(np.float64) for k in ["weight", "bias", "running_mean", "running_var"]}
        scale = norm["weight"] / np.sqrt(norm["running_var"] + 1e-3)
        return scale, (norm["bias"] - norm["running_mean"] * scale).astype(np.float32)

    def dense(name, stride, colours, activation):
        scale, bias = folded(name)
        weights = (tensors[f"{name}.weight"] * scale).reshape(3, 3, colours, -1).transpose(3, 2, 0, 1)
        return ("conv", weights.astype(np.float32), bias, stride, 1, activation)

    def depthwise(name, stride, activation):
        scale, bias = folded(name)
        weights = (tensors[f"{name}.weight"] * scale).transpose(2, 0, 1)[:, None]
        return ("conv", weights.astype(np.float32), bias, stride, weights.shape[0], activation)

    def pointwise(name, activation):
        scale, bias = folded(name)
        return ("conv", (tensors[f"{name}.weight"] * scale).T[:, :, None, None].astype(np.float32), bias, 1, 1, activation)

    def linear(name, activation=None):
        return ("linear", np.ascontiguousarray(tensors[f"{name}.weight"].T), tensors[f"{name}.bias"], activation)

    net, colours = config["architecture"], {"luma": 1, "rgb": 3}[config["input"]["colours"]]
    if net["family"] == "mobilenet_v1":
        yield dense("stem", net["stem_stride"], colours, "relu6")
        for index, block in enumerate(net["blocks"]):
            yield depthwise(f"blocks.{index}.depthwise", block["stride"], "relu6")
            yield pointwise(f"blocks.{index}.pointwise", "relu6")
        yield ("mean",)
        if net.get("feature_units"):
            yield linear("features", "relu")
    else:
        yield dense("stem", net["stem_stride"], colours, "silu")
        channels = net["stem_channels"]
        for index, stage in enumerate(net["stages"]):
            for repeat in range(stage["repeats"]):
                name, stride = f"stages.{index}.{repeat}", stage["stride"] if repeat == 0 else 1
                block = [pointwise(f"{name}.expand", "silu")] if stage["expand"] != 1 else []
                block.append(depthwise(f"{name}.depthwise", stride, "silu"))
                block.append(("squeeze", linear(f"{name}.squeeze_excite.reduce"), linear(f"{name}.squeeze_excite.expand")))
                block.append(pointwise(f"{name}.project", None))
                if stride == 1 and channels == stage["channels"]:
                    yield ("residual", block)
                else:
                    yield from block
                channels = stage["channels"]
        yield pointwise("head", "silu")
        yield ("mean",)
    yield linear("classifier")


def to_onnx(description, batch, side, colours):
    """An ONNX model of fixed shape, NCHW."""
    nodes, weights = [], []

    def constant(values):
        name = f"w{len(weights)}"
        weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(kind, inputs, **attributes):
        name = f"x{len(nodes)}"
        nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def activated(x, activation):
        if activation == "silu":
            return node("Mul", [x, node("Sigmoid", [x])])
        if activation == "relu6":
            return node("Clip", [x, constant(np.float32(0)), constant(np.float32(6))])
        return node("Relu", [x]) if activation == "relu" else x

    def build(description, x, size):
        for kind, *what in description:
            if kind == "conv":
                w, b, stride, groups, activation = what
                (before, after), k = same(size, w.shape[2], stride), w.shape[2]
                x = node("Conv", [x, constant(w), constant(b)], kernel_shape=[k, k], strides=[stride] * 2, group=groups,
                         pads=[before, before, after, after])
                x, size = activated(x, activation), -(-size // stride)
            elif kind == "squeeze":
                s = node("GlobalAveragePool", [x])
                for (_, w, b, _), name in zip(what, ["silu", None]):
                    s = activated(node("Conv", [s, constant(w[:, :, None, None]), constant(b)]), name)
                x = node("Mul", [x, node("Sigmoid", [s])])
            elif kind == "residual":
                x = node("Add", [build(what[0], x, size)[0], x])
            elif kind == "mean":
                x = node("Flatten", [node("GlobalAveragePool", [x])])
            else:
                w, b, activation = what
                x = activated(node("Gemm", [x, constant(w), constant(b)], transB=1), activation)
        return x, size

    result, _ = build(description, "picture", side)
    shape = [batch, colours, side, side]
    graph = helper.make_graph(
        nodes, "network",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(result, TensorProto.FLOAT, [batch, len(CLASSES)])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


class Layers(torch.nn.Module if torch else object):
    """The same network in PyTorch."""

    def __init__(self, description, size):
        super().__init__()
        self.steps, modules = [], []
        for kind, *what in description:
            if kind == "conv":
                w, b, stride, groups, activation = what
                conv = torch.nn.Conv2d(w.shape[1] * groups, w.shape[0], w.shape[2], stride, groups=groups)
                conv.weight.data, conv.bias.data = torch.tensor(w), torch.tensor(b)
                before, after = same(size, w.shape[2], stride)
                if before == after:
                    conv.padding = (before, before)
                size = -(-size // stride)
                self.steps.append((kind, conv, (before, after) if before != after else None, activation))
                modules.append(conv)
            elif kind == "squeeze":
                pair = [self.linear(*w[1:3]) for w in what]
                self.steps.append((kind, pair, None, None))
                modules.extend(pair)
            elif kind == "residual":
                body = Layers(what[0], size)
                self.steps.append((kind, body, None, None))
                modules.append(body)
            elif kind == "mean":
                self.steps.append((kind, None, None, None))
            else:
                self.steps.append((kind, self.linear(*what[:2]), None, what[2]))
                modules.append(self.steps[-1][1])
        self.modules_ = torch.nn.ModuleList(modules)

    @staticmethod
    def linear(w, b):
        linear = torch.nn.Linear(w.shape[1], w.shape[0])
        linear.weight.data, linear.bias.data = torch.tensor(w), torch.tensor(b)
        return linear

    def forward(self, x):
        f = torch.nn.functional
        for kind, module, padding, activation in self.steps:
            if kind == "squeeze":
                s = torch.sigmoid(module[1](f.silu(module[0](x.mean((2, 3))))))
                x = x * s[:, :, None, None]
                continue
            if kind == "mean":
                x = x.mean((2, 3))
                continue
            if kind == "residual":
                x = x + module(x)
                continue
            if padding:
                x = f.pad(x, (*padding, *padding))
            x = module(x)
            x = {"silu": f.silu, "relu6": f.relu6, "relu": f.relu, None: lambda v: v}[activation](x)
        return x


# The engines. Each takes a number of repeats and returns the seconds of each; it returns its logits once.


def timed(run, seconds):
    run()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times), min(times)


def onnx_runtime(model, pictures, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"picture": pictures})[0]


def open_vino(model, pictures, threads, precision):
    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    return lambda: request.infer({0: pictures})[0]


def py_torch(description, side, pictures, threads, bf16):
    torch.set_num_threads(threads)
    module = Layers(description, side).eval().to(memory_format=torch.channels_last)
    x = torch.tensor(pictures).contiguous(memory_format=torch.channels_last)
    if bf16:
        module, x = module.bfloat16(), x.bfloat16()
    with torch.inference_mode():
        module = torch.jit.freeze(torch.jit.trace(module, x))

    def run():
        torch.set_num_threads(threads)
        with torch.inference_mode():
            return module(x).float().numpy()

    return run


def ours(program, directory, batch, threads, precision, seconds):
    command = [program, "bench", "--model", directory, "--batch-size", batch, "--threads", threads, "--seconds", seconds]
    result = subprocess.run([str(c) for c in [*command, "--precision", precision, "--json"]], stdout=subprocess.PIPE, check=True)
    return json.loads(result.stdout)["classifier"]


# Networks with random weights.


def random_model(folder, name, architecture, shapes):
    random = np.random.default_rng(SEED)
    tensors = {}
    for tensor, shape in shapes.items():
        fan = int(np.prod(shape[:-1]))
        if tensor.endswith(("running_var", "norm.weight")):
            values = random.uniform(0.5, 1.5, shape)
        elif tensor.endswith("weight"):
            values = random.normal(0, np.sqrt(2 / fan), shape)
        else:
            values = random.normal(0, 0.1, shape)
        tensors[tensor] = values.astype(np.float32)
    directory = folder / name
    directory.mkdir()
    save_file(tensors, directory / "model.safetensors")
    config = {
        "name": name, "architecture": architecture,
        "input": {"side": 224, "colours": "rgb", "mean": [0.5] * 3, "deviation": [0.25] * 3},
        "crop": {"scale": 1.1, "shift_y": 0.0}, "classes": CLASSES, "temperature": 1.0,
        "sha256": hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest(),
    }
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def norm(name, channels):
    return {f"{name}.norm.{k}": (channels,) for k in ["weight", "bias", "running_mean", "running_var"]}


def mobilenet(folder):
    channels = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    blocks = [{"channels": c, "stride": 2 if i in (1, 3, 5, 11) else 1} for i, c in enumerate(channels)]
    net = {"family": "mobilenet_v1", "stem_channels": 32, "stem_stride": 2, "blocks": blocks, "feature_units": 256, "dropout": 0.5}
    shapes, width = {"stem.weight": (27, 32), **norm("stem", 32)}, 32
    for i, block in enumerate(blocks):
        shapes |= {f"blocks.{i}.depthwise.weight": (3, 3, width), **norm(f"blocks.{i}.depthwise", width)}
        shapes |= {f"blocks.{i}.pointwise.weight": (width, block["channels"]), **norm(f"blocks.{i}.pointwise", block["channels"])}
        width = block["channels"]
    shapes |= {"features.weight": (width, 256), "features.bias": (256,), "classifier.weight": (256, 7), "classifier.bias": (7,)}
    return random_model(folder, "mobilenet_v1", net, shapes)


def efficientnet_b0(folder):
    table = [[3, 1, 1, 16, 1], [3, 2, 6, 24, 2], [5, 2, 6, 40, 2], [3, 2, 6, 80, 3], [5, 1, 6, 112, 3], [5, 2, 6, 192, 4], [3, 1, 6, 320, 1]]
    stages = [dict(zip(["kernel", "stride", "expand", "channels", "repeats"], row)) for row in table]
    net = {"family": "efficientnet", "stem_channels": 32, "stem_stride": 2, "stages": stages, "head_channels": 1280, "dropout": 0.0}
    shapes, width = {"stem.weight": (27, 32), **norm("stem", 32)}, 32
    for i, stage in enumerate(stages):
        for repeat in range(stage["repeats"]):
            name, wide = f"stages.{i}.{repeat}", width * stage["expand"]
            if stage["expand"] != 1:
                shapes |= {f"{name}.expand.weight": (width, wide), **norm(f"{name}.expand", wide)}
            kernel, reduced = stage["kernel"], max(width // 4, 1)
            shapes |= {f"{name}.depthwise.weight": (kernel, kernel, wide), **norm(f"{name}.depthwise", wide)}
            squeeze = f"{name}.squeeze_excite"
            shapes |= {f"{squeeze}.reduce.weight": (wide, reduced), f"{squeeze}.reduce.bias": (reduced,)}
            shapes |= {f"{squeeze}.expand.weight": (reduced, wide), f"{squeeze}.expand.bias": (wide,)}
            shapes |= {f"{name}.project.weight": (wide, stage["channels"]), **norm(f"{name}.project", stage["channels"])}
            width = stage["channels"]
    shapes |= {"head.weight": (width, 1280), **norm("head", 1280), "classifier.weight": (1280, 7), "classifier.bias": (7,)}
    return random_model(folder, "efficientnet_b0", net, shapes)


def peak(threads, bf16):
    """GFLOP/s of PyTorch's (oneDNN's) best matrix product."""
    torch.set_num_threads(threads)
    a, b = (torch.rand(1536, 1536).to(torch.bfloat16 if bf16 else torch.float32) for _ in range(2))
    seconds = min(timed(lambda: a @ b, 0.3)[0] for _ in range(3))
    return 2 * 1536**3 / seconds / 1e9


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.6)
    numbers = lambda text: [int(n) for n in text.split(",")]
    parser.add_argument("--networks", default="default,b0,mobilenet", type=lambda text: text.split(","))
    parser.add_argument("--batches", default="1,8,32", type=numbers)
    parser.add_argument("--threads", default="1,2", type=numbers)
    parser.add_argument("--precisions", default="f32,bf16", type=lambda text: text.split(","))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    program = arguments.program.resolve()
    cpu = Path("/proc/cpuinfo").read_text()
    has_bf16 = "avx512_bf16" in cpu or "amx_bf16" in cpu
    precisions = [p for p in arguments.precisions if p == "f32" or has_bf16]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        makers = {
            "default": lambda: Path(__file__).parents[1] / "assets/models/default",
            "b0": lambda: efficientnet_b0(Path(scratch)),
            "mobilenet": lambda: mobilenet(Path(scratch)),
        }
        known = {name: makers[name]() for name in arguments.networks}
        for threads in arguments.threads:
            peaks = {p: peak(threads, p == "bf16") if torch else float("nan") for p in precisions}
            for p, value in peaks.items():
                print(f"matrix peak, {threads} thread(s), {p}: {value:.0f} GFLOP/s", flush=True)
            for name, directory in known.items():
                config = json.loads((directory / "config.json").read_text())
                side, colours = config["input"]["side"], {"luma": 1, "rgb": 3}[config["input"]["colours"]]
                tensors = {k: v.astype(np.float32) for k, v in load_file(directory / "model.safetensors").items()}
                description = list(layers(config, tensors))
                # A symmetric model looks at a face and at its mirror image.
                views = 2 if config["input"].get("symmetric") else 1
                for batch in arguments.batches:
                    shape = (batch * views, colours, side, side)
                    pictures = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
                    model = to_onnx(description, batch * views, side, colours)
                    engines = {"onnxruntime f32": onnx_runtime(model, pictures, threads)}
                    for p in precisions:
                        engines[f"openvino {p}"] = open_vino(model, pictures, threads, p)
                        if torch:
                            engines[f"pytorch {p}"] = py_torch(description, side, pictures, threads, p == "bf16")
                    reference = engines["onnxruntime f32"]()
                    scale = max(1.0, float(np.abs(reference).max()))
                    for engine, run in engines.items():
                        error = float(np.abs(run() - reference).max()) / scale
                        assert error < (1e-4 if engine.endswith("f32") else 0.1), f"{engine} computes something else: {error}"
                    times, lowest = {}, {}
                    for _ in range(arguments.rounds):
                        for p in precisions:
                            measured = ours(program, directory, batch, threads, p, arguments.seconds)
                            times.setdefault(f"annotate {p}", []).append(measured["ms_per_face"]["median"])
                            lowest.setdefault(f"annotate {p}", []).append(measured["ms_per_face"]["lowest"])
                            operations = measured["operations_per_face"]
                        for engine, run in engines.items():
                            median, least = timed(run, arguments.seconds)
                            times.setdefault(engine, []).append(1e3 * median / batch)
                            lowest.setdefault(engine, []).append(1e3 * least / batch)
                    for engine, values in sorted(times.items()):
                        ms, p = statistics.median(values), engine.split()[1]
                        gflops = operations / ms / 1e6
                        ratio = ms / statistics.median(times[f"annotate {p}"])
                        least = min(lowest[engine])
                        ratio_of_minima = least / min(lowest[f"annotate {p}"])
                        rows.append({"network": name, "batch": batch, "threads": threads, "engine": engine, "ms_per_face": ms,
                                     "lowest": least, "highest": max(values), "gflops": gflops,
                                     "share_of_peak": gflops / peaks[p], "times_ours": ratio})
                        print(f"{name:9} batch {batch:2}, {threads} thread(s)  {engine:16} {ms:8.3f} ms ({least:.3f} to {max(values):.3f})"
                              f"  {gflops:6.1f} GFLOP/s  {100 * gflops / peaks[p]:4.0f} % of peak  {ratio:5.2f} x ours ({ratio_of_minima:.2f} of the minima)", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main())
