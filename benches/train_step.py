"""Training steps of the seed's MobileNetV1 on the CPU, with our program and PyTorch alternating in one run.

    make bench-training                      (sets up PyTorch in target/pytorch and calls this)
    python benches/train_step.py [--threads 2] [--rounds 9]

Same network, batch of 32, AdamW; f32, PyTorch's tensors channels-last. Prints the median seconds of a step and their ratio.
"""

import argparse
import statistics
import subprocess
import time

import torch
from torch import nn

BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
STEPS = {48: 5, 112: 2}
BATCH = 32


def normalised(convolution):
    channels = convolution.out_channels
    return nn.Sequential(convolution, nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01), nn.ReLU6())


def mobilenet(colours):
    layers = [normalised(nn.Conv2d(colours, 32, 3, 2, 1, bias=False))]
    channels = 32
    for width, stride in BLOCKS:
        layers.append(normalised(nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)))
        layers.append(normalised(nn.Conv2d(channels, width, 1, bias=False)))
        channels = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, 7)]
    return nn.Sequential(*layers, *head)


class Theirs:
    def __init__(self, side, colours):
        torch.manual_seed(1)
        self.network = mobilenet(colours).to(memory_format=torch.channels_last).train()
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
        self.pictures = torch.rand(BATCH, colours, side, side).contiguous(memory_format=torch.channels_last)
        self.targets = torch.arange(BATCH) % 7

    def seconds(self, steps):
        started = time.perf_counter()
        for _ in range(steps):
            self.optimiser.zero_grad()
            nn.functional.cross_entropy(self.network(self.pictures), self.targets).backward()
            self.optimiser.step()
        return (time.perf_counter() - started) / steps


class Ours:
    def __init__(self, side, colours, threads):
        command = ["target/release/examples/train_step", str(side), str(colours), str(BATCH)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"RAYON_NUM_THREADS": str(threads)}
        )

    def seconds(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--rounds", type=int, default=9)
    arguments = arguments.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"PyTorch {torch.__version__}, {arguments.threads} threads, batch {BATCH}, {arguments.rounds} rounds")
    print("input      ours ms   PyTorch ms   ratio (lowest to highest)")
    for side, colours in [(48, 1), (112, 3)]:
        peers = [Ours(side, colours, arguments.threads), Theirs(side, colours)]
        for peer in peers:
            peer.seconds(2)
        rounds = [[peer.seconds(STEPS[side]) for peer in peers] for _ in range(arguments.rounds)]
        ours, theirs = (statistics.median(column) * 1e3 for column in zip(*rounds))
        ratios = sorted(a / b for a, b in rounds)
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        print(f"{side}x{side}x{colours:<5}{ours:8.1f}{theirs:13.1f}   {spread}")


if __name__ == "__main__":
    main()
