"""Images a second on a CUDA card for batches of 1 to 256, with our program and PyTorch alternating in one run.

    pip install torch timm
    scripts/cuda.sh cargo build --release --locked --features cuda --example card_speed
    python benches/card.py

Same networks (EfficientNet-B0 and the seed's MobileNetV1 at 224 pixels), from pictures in the computer's memory to logits there.
Prints the card's name and a table for docs/benchmarks.md, or that there is no card.
"""

import statistics
import subprocess
import sys
import time

import timm
import torch

from train_step import mobilenet

PROGRAM = "target/cuda/build/release/examples/card_speed"
ROUNDS, BATCHES, SIDE = 5, [1, 2, 4, 8, 16, 32, 64, 128, 256], 224
TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


class Ours:
    def __init__(self, network, dtype):
        self.process = subprocess.Popen([PROGRAM, network, dtype], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, batch, count):
        self.process.stdin.write(f"{batch} {count}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


class Theirs:
    def __init__(self, network, dtype):
        model = mobilenet(3) if network == "mobilenet_v1" else timm.create_model(network, num_classes=7)
        self.dtype = TYPES[dtype]
        self.model = model.eval().to("cuda", self.dtype, memory_format=torch.channels_last)

    def seconds(self, batch, count):
        pictures = torch.rand(batch, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
        started = time.perf_counter()
        with torch.inference_mode():
            for _ in range(count):
                self.model(pictures.to("cuda", self.dtype)).float().cpu()
        return (time.perf_counter() - started) / count


def main():
    if not torch.cuda.is_available():
        sys.exit("skipped: no CUDA card here")
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}\n")
    print("| network | type | batch | ours, images/s | PyTorch, images/s | ratio |\n|---|---|---|---|---|---|")
    for network in ["tf_efficientnet_b0", "mobilenet_v1"]:
        for dtype in TYPES:
            peers = [Ours(network, dtype), Theirs(network, dtype)]
            for batch in BATCHES:
                count = max(256 // batch, 4)
                for peer in peers:
                    peer.seconds(batch, 3)
                rounds = [[batch / peer.seconds(batch, count) for peer in peers] for _ in range(ROUNDS)]
                ours, theirs = (statistics.median(column) for column in zip(*rounds))
                print(f"| {network} | {dtype} | {batch} | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} |")


if __name__ == "__main__":
    main()
