"""What a CUDA card does with this program, beside the CPU and PyTorch: the steps that scripts/on_card.sh runs.

    card.py prepare FOLDER DATA                  adds crops, and training pictures where DATA has them
    card.py run FOLDER OUT --card|--dry-run      runs every step and reports each, also where another fails

A dry run takes the CPU for the card, for PyTorch too, and fewer sizes. OUT/card.json and
OUT/card.md are written after each step.
"""

import csv
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

# Seconds for all of it, and for the sizes of step d.
WHOLE, SPEED = 470, 100
NETWORKS = ["b0", "mobilenet_v1", "default"]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256]
# Dense TFLOP/s of an H100 or H200 (SXM) as NVIDIA states them; f32 without TF32.
PEAKS = {"f32": 67, "f16": 989, "bf16": 989}
# How far logits may be from the CPU's f32, over the largest of them.
TOLERANCES = {"f32": 1e-3, "f16": 2e-2, "bf16": 1e-1}
CLASSES = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"]
# FER2013's strips that fit beside the programs: half of the training pictures, and all that epochs are judged by.
STRIPS = ["training_a.png", "publictest.png"]


def prepare(folder, data):
    truth = Path(__file__).resolve().parent.parent / "assets/demo/truth.json"
    subprocess.run([folder / "bin/card", "cpu", "crops", folder / "demo.mp4", truth, folder / "crops"], check=True)
    source = data / "fer2013"
    if not (source / STRIPS[0]).exists():
        print("card: no training pictures; the epochs of step f will be skipped", file=sys.stderr)
        return
    manifest = folder / "all.csv"
    subprocess.run([folder / "bin/annotate", "data", "import", "fer2013", source, "--out", manifest], check=True)
    with open(manifest, newline="") as rows, open(folder / "data/faces.csv", "w", newline="") as kept:
        rows = csv.DictReader(rows)
        writer = csv.DictWriter(kept, rows.fieldnames)
        writer.writeheader()
        for row in rows:
            if (name := Path(row["path"]).name) in STRIPS:
                writer.writerow(row | {"path": name})
    manifest.unlink()
    for strip in STRIPS:
        shutil.copy(source / strip, folder / "data")


class Run:
    """Where things are, what was found so far, and how long there is."""

    def __init__(self, folder, out, dry, started):
        self.folder, self.out, self.dry = folder, out, dry
        self.end = started + WHOLE
        self.device = "cpu" if dry else "cuda"
        self.report = {"dry_run": dry, "steps": {}}

    def left(self):
        return self.end - time.time()

    def call(self, words, seconds):
        """Standard output of a program, which gets at most `seconds`."""
        limit = max(1, min(seconds, self.left()))
        words = [str(word) for word in words]
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-1500:]}")
        return done.stdout

    def program(self, *words, seconds):
        return self.call([self.folder / "bin/annotate", *words], seconds)

    def lines(self, *words, seconds, before=()):
        text = self.call([*before, self.folder / "bin/card", self.device, *words], seconds)
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def types(self):
        return ["f32"] if self.dry else ["f32", "f16", "bf16"]


def attempted(what, *arguments, **options):
    """A part of a step: what it gives, or why it gives nothing."""
    try:
        return what(*arguments, **options)
    except Exception as failure:
        return {"failure": f"{type(failure).__name__}: {failure}"}


# ---- a: environment ----


def environment(run, found):
    def tool(*words):
        return attempted(lambda: run.call(words, 20).strip())

    query = [
        "nvidia-smi",
        "--query-gpu=name,compute_cap,driver_version,memory.total,clocks.max.sm",
        "--format=csv,noheader",
    ]
    cpu = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
    found |= {
        "cpu": f"{len(cpu)} x {cpu[0] if cpu else 'unknown'}",
        "kernel": os.uname().release,
        "card": tool(*query),
        "nvcc": tool("nvcc", "--version"),
        "libraries": tool("ldd", str(run.folder / "bin/annotate")),
        "pytorch": attempted(lambda: __import__("torch").__version__),
    }
    bench = ["bench", "--device", run.device, "--batch-size", "32", "--seconds", "1", "--json"]
    found["bench"] = attempted(lambda: json.loads(run.program(*bench, seconds=60)))


# ---- b: operations ----


def operations(run, found):
    found["operations"] = attempted(run.lines, "operations", seconds=30)
    found["gradients"] = attempted(run.lines, "gradients", seconds=30)
    if not run.dry:
        # Ends with 1 where it finds something; on some virtual machines it refuses the card.
        checked = attempted(run.lines, "operations", seconds=40, before=["compute-sanitizer", "--error-exitcode", "1"])
        found["compute_sanitizer"] = checked if "failure" in checked else "no fault found"


# ---- c: logits ----


def logits(run, found):
    def one(network, dtype):
        (line,) = run.lines("logits", network, dtype, run.folder / "crops", 16 if run.dry else 256, seconds=40)
        return line | {"passes": line["error"] <= TOLERANCES[dtype]}

    for network in ["default", "mobilenet_v1", "b0"]:
        for dtype in run.types():
            found[f"{network} {dtype}"] = attempted(one, network, dtype)


# ---- c: half precision ----


def half_precision(run, found):
    """Whether f16 and bf16 may be used in place of f32: accuracy within 0.1 points, and 99.5 % of the labels the same."""
    if not (run.folder / "data/faces.csv").exists():
        raise RuntimeError("no labelled pictures were carried")

    def judged(dtype):
        out = run.out / f"judged-{dtype}"
        words = ["--data", run.folder / "data/faces.csv", "--split", "validation", "--out", out]
        run.program("evaluate", *words, "--device", run.device, "--precision", dtype, seconds=25)
        accuracy = json.loads((out / "report.json").read_text())["metrics"]["accuracy"]
        with open(out / "predictions.csv", newline="") as rows:
            labels = [max(CLASSES, key=lambda name: float(row[name])) for row in csv.DictReader(rows)]
        shutil.rmtree(out)
        return accuracy, labels

    accuracy, labels = judged("f32")
    found |= {"pictures": len(labels), "f32": {"accuracy": accuracy}}
    # A dry run's CPU may have neither.
    for dtype in ["f32"] if run.dry else ["f16", "bf16"]:
        other, theirs = judged(dtype)
        agreeing = sum(a == b for a, b in zip(labels, theirs)) / len(labels)
        may = abs(other - accuracy) <= 0.001 and agreeing >= 0.995
        found[dtype] = {"accuracy": other, "labels_agreeing": agreeing, "may_be_used": may}


# ---- d: speed ----


class Ours:
    def __init__(self, run, *words):
        command = [run.folder / "bin/card", run.device, *words]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def ask(self, line):
        try:
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (OSError, ValueError):
            self.process.kill()
            raise RuntimeError(self.process.communicate()[1].strip()[-1500:]) from None

    def close(self):
        self.process.kill()
        self.process.communicate()


def mobilenet(architecture, colours):
    """Our MobileNetV1 in PyTorch, from a model's config.json."""
    from torch import nn

    def normalised(convolution):
        return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels, eps=1e-3, momentum=0.01), nn.ReLU6())

    channels = architecture["stem_channels"]
    layers = [normalised(nn.Conv2d(colours, channels, 3, architecture["stem_stride"], 1, bias=False))]
    for block in architecture["blocks"]:
        layers.append(normalised(nn.Conv2d(channels, channels, 3, block["stride"], 1, groups=channels, bias=False)))
        layers.append(normalised(nn.Conv2d(channels, block["channels"], 1, bias=False)))
        channels = block["channels"]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(architecture["dropout"])]
    if units := architecture["feature_units"]:
        layers += [nn.Linear(channels, units), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(units or channels, 7))


WIDTHS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
SEED = {
    "stem_channels": 32,
    "stem_stride": 2,
    "blocks": [{"channels": channels, "stride": stride} for channels, stride in WIDTHS],
    "feature_units": 256,
    "dropout": 0.5,
}


class Theirs:
    """PyTorch, channels last: as it is, compiled, and replayed as a CUDA graph."""

    def __init__(self, run, network, dtype):
        import torch

        self.torch, self.device = torch, run.device
        self.dtype = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}[dtype]
        if network == "b0":
            import torchvision

            model, self.shape = torchvision.models.efficientnet_b0(num_classes=7), (3, 224, 224)
        elif network == "mobilenet_v1":
            model, self.shape = mobilenet(SEED, 3), (3, 224, 224)
        else:
            config = json.loads((run.folder / "config.json").read_text())
            side = config["input"]["side"]
            model, self.shape = mobilenet(config["architecture"], 1), (1, side, side)
        self.model = model.eval().to(self.device, self.dtype, memory_format=torch.channels_last)
        self.compiled = torch.compile(self.model, dynamic=False)

    def pictures(self, batch):
        return self.torch.rand(batch, *self.shape).contiguous(memory_format=self.torch.channels_last)

    def timed(self, once, count):
        with self.torch.inference_mode():
            once()
            started = time.perf_counter()
            for _ in range(count):
                once()
            return (time.perf_counter() - started) / count

    def eager(self, batch, count):
        pictures = self.pictures(batch)
        return self.timed(lambda: self.model(pictures.to(self.device, self.dtype)).float().cpu(), count)

    def compile(self, batch, count):
        pictures = self.pictures(batch)
        return self.timed(lambda: self.compiled(pictures.to(self.device, self.dtype)).float().cpu(), count)

    def graph(self, batch, count):
        torch, pictures = self.torch, self.pictures(batch).pin_memory()
        place = pictures.to(self.device, self.dtype)
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        with torch.inference_mode():
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    self.model(place)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph):
                logits = self.model(place)

        def once():
            place.copy_(pictures)
            graph.replay()
            return logits.float().cpu()

        return self.timed(once, count)


def median_ms(measure, rounds):
    return 1e3 * statistics.median(measure() for _ in range(rounds))


def one_speed(run, ours, theirs, dtype, batch):
    count, rounds = (1, 1) if run.dry else (max(64 // batch, 3), 3)
    ours.ask(f"{batch} 2")
    answers = [ours.ask(f"{batch} {count}") for _ in range(rounds)]
    middle = {part: statistics.median(answer[part] for answer in answers) for part in answers[0]}
    rate = middle["operations"] * batch / middle["network"]
    found = {
        "ours_ms": 1e3 * middle["seconds"],
        "ours_images_s": batch / middle["seconds"],
        "parts_ms": {part: 1e3 * middle[part] for part in ["upload", "network", "download"]},
        # Multiplications and additions, as NVIDIA counts them too.
        "network_tflops": rate / 1e12,
        "share_of_peak": rate / 1e12 / PEAKS[dtype],
    }
    if isinstance(theirs, dict):
        return found | {"pytorch": theirs}
    found["pytorch_ms"] = attempted(median_ms, lambda: theirs.eager(batch, count), rounds)
    if not run.dry:
        found["pytorch_graph_ms"] = attempted(median_ms, lambda: theirs.graph(batch, count), rounds)
    return found


def speed(run, found):
    """Every size as it is first; then torch.compile, which takes long, for as many sizes as there is time for."""
    end = time.time() + min(SPEED, run.left())
    peers = {}
    batches = [1, 4] if run.dry else BATCHES
    for network in NETWORKS:
        for dtype in run.types():
            theirs = peers[network, dtype] = attempted(Theirs, run, network, dtype)
            ours = Ours(run, "speed", network, dtype)
            for batch in batches:
                late = time.time() > end
                key = f"{network} {dtype} {batch}"
                found[key] = (
                    {"failure": "no time left"} if late else attempted(one_speed, run, ours, theirs, dtype, batch)
                )
            ours.close()
    for batch in batches[:1] if run.dry else [64, 1, 256]:
        for (network, dtype), theirs in peers.items():
            place = found[f"{network} {dtype} {batch}"]
            if isinstance(theirs, dict) or time.time() > end - 20:
                place["pytorch_compiled_ms"] = {"failure": "no time left, or no PyTorch"}
            else:
                place["pytorch_compiled_ms"] = attempted(
                    median_ms, lambda: theirs.compile(batch, 1 if run.dry else 5), 3
                )


# ---- e: the whole pipeline ----


def labels(run, device):
    path = run.out / f"labels-{device}.json"
    run.program(run.folder / "demo.mp4", "--device", device, "-q", "-o", path, seconds=40)
    timeline = json.loads(path.read_text())
    path.unlink()
    return {(track["id"], frame["frame"]): frame for track in timeline["tracks"] for frame in track["frames"]}


def pipeline(run, found):
    expected, there = labels(run, "cpu"), labels(run, run.device)
    different, ties, largest = 0, 0, 0.0
    for place, frame in expected.items():
        other = there.get(place, {})
        ours, theirs = frame.get("probabilities"), other.get("probabilities")
        if ours and theirs:
            largest = max(largest, *(abs(a - b) for a, b in zip(ours, theirs)))
        if frame.get("label") != other.get("label"):
            different += 1
            best = sorted(ours or [0, 1])
            ties += best[-1] - best[-2] < 0.01
    bench = ["bench", run.folder / "demo.mp4", "--device", run.device, "--seconds", "0.2", "--json"]
    found |= {
        "frames": len(expected),
        "same_frames": expected.keys() == there.keys(),
        "passes": different == ties,
        "labels_that_differ": different,
        "of_which_ties": ties,
        "largest_probability_difference": largest,
        "bench": attempted(lambda: json.loads(run.program(*bench, seconds=60))["video"]),
    }


# ---- f: training ----


def step_times(run, found):
    for side, colours in [(48, 1), (112, 3)]:
        ours = Ours(run, "training", str(side), str(colours), "64")
        steps = 1 if run.dry else 20
        ours.ask("2")
        found[f"{side}x{side}x{colours}"] = place = {"ours_ms": 1e3 * ours.ask(steps)["seconds"]}
        ours.close()
        place["pytorch_ms"] = attempted(their_step, run, side, colours, steps, False)
        # Compiling takes half a minute: once will do.
        if side == 48:
            place["pytorch_compiled_ms"] = attempted(their_step, run, side, colours, steps, True)


def their_step(run, side, colours, steps, compiled):
    import torch

    network = mobilenet(SEED, colours).to(run.device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    forward = torch.compile(network, dynamic=False) if compiled else network
    pictures = torch.rand(64, colours, side, side, device=run.device).contiguous(memory_format=torch.channels_last)
    targets = torch.arange(64, device=run.device) % 7

    def taken(count):
        started = time.perf_counter()
        for _ in range(count):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(forward(pictures), targets)
            loss.backward()
            optimiser.step()
        loss.item()
        return (time.perf_counter() - started) / count

    taken(3)
    return 1e3 * taken(steps)


def losses(metrics):
    lines = map(json.loads, metrics.read_text().splitlines())
    return [line["loss"] for line in lines if line["kind"] == "step"]


def trained(run, recipe, device, out, seconds, steps=None):
    """Trains until `steps` are taken or the time is over, as Ctrl-C ends it; the losses of its steps."""
    words = ["train", "--data", run.folder / "data/faces.csv", "--recipe", recipe, "--device", device, "--out", out]
    shutil.rmtree(out, ignore_errors=True)
    process = subprocess.Popen(
        [str(w) for w in [run.folder / "bin/annotate", *words]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics, end = out / "metrics.jsonl", time.time() + max(5, min(seconds, run.left() - 15))
    while (
        process.poll() is None
        and time.time() < end
        and not (steps and metrics.exists() and len(losses_so_far(metrics)) >= steps)
    ):
        time.sleep(0.2)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        said = process.communicate(timeout=12)[1]
    except subprocess.TimeoutExpired:
        process.kill()
        said = process.communicate()[1]
    found = losses(metrics) if metrics.exists() else []
    if not found:
        raise RuntimeError(said.strip()[-1500:])
    return found


def losses_so_far(metrics):
    """The last line may be half written."""
    return [line for line in metrics.read_text().split("\n")[:-1] if '"step"' in line]


def training(run, found):
    found["step"] = {}
    found["step"] |= attempted(step_times, run, found["step"]) or {}
    if not (run.folder / "data/faces.csv").exists():
        raise RuntimeError("no training pictures were carried")
    steps = 6 if run.dry else 200
    recipe = run.folder / "recipe.toml"
    cpu = attempted(trained, run, recipe, "cpu", run.out / "steps-cpu", 40, steps)
    card = attempted(trained, run, recipe, run.device, run.out / "steps-card", 40, steps)
    found["losses"] = (
        {"cpu": cpu[:steps], "card": card[:steps]}
        if isinstance(cpu, list) and isinstance(card, list)
        else {"cpu": cpu, "card": card}
    )
    shutil.rmtree(run.out / "steps-cpu", ignore_errors=True)
    shutil.rmtree(run.out / "steps-card", ignore_errors=True)
    teacher = run.folder / "teacher.toml"
    recipe = teacher if teacher.exists() else recipe
    seconds = 8 if run.dry else 180
    started = time.time()
    taken = attempted(trained, run, recipe, run.device, run.out / "trained", seconds)
    found["epochs"] = {
        "recipe": recipe.name,
        "seconds": time.time() - started,
        "steps": len(taken) if isinstance(taken, list) else taken,
    }
    metrics = run.out / "trained/metrics.jsonl"
    if metrics.exists():
        lines = map(json.loads, metrics.read_text().splitlines())
        found["epochs"]["records"] = [line for line in lines if line["kind"] == "epoch"]


# ---- the whole ----

# With the seconds after which a step is given up: PyTorch, which runs in this process, has no limit of its own.
STEPS = {
    "a environment": (environment, 60),
    "b operations": (operations, 90),
    "c logits": (logits, 60),
    "c half precision": (half_precision, 60),
    "d speed": (speed, 130),
    "e pipeline": (pipeline, 60),
    "f training": (training, WHOLE),
}


class GivenUp(BaseException):
    """A step took too long. No exception of the ordinary kind, so that nothing inside the step takes it for its own."""


def given_up(*_):
    raise GivenUp


def taken(run, step, found, seconds):
    """Runs a step, which fills `found`; what it found stays, also where it fails or is given up."""
    # Again every 5 seconds: PyTorch may swallow the first one.
    signal.setitimer(signal.ITIMER_REAL, max(1, min(seconds, run.left())), 5)
    try:
        found |= attempted(step, run, found) or {}
    except GivenUp:
        found["failure"] = f"given up after {seconds} s"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def failures(found, path=""):
    """Every place that says `failure`, or whose `passes` is false."""
    if isinstance(found, dict):
        if "failure" in found:
            yield f"{path.strip()}: {str(found['failure']).splitlines()[-1][:300]}"
        if found.get("passes") is False and "failure" not in found:
            yield f"{path.strip()}: does not pass, {json.dumps(found)[:300]}"
        for name, value in found.items():
            yield from failures(value, f"{path} {name}")
    elif isinstance(found, list):
        for place, value in enumerate(found):
            yield from failures(value, f"{path} {place}")


def number(value, digits=2):
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else "-"


def table(report):
    """Markdown for docs/benchmarks.md."""
    steps = report["steps"]
    lines = [
        "; ".join(f"{name}: {steps['a environment'].get(name)}" for name in ["card", "cpu", "pytorch"])
    ]
    if report["dry_run"]:
        lines.insert(0, "**A dry run on the CPU; no figure here is a card's.**")
    lines += [
        "",
        "| network | type | batch | ours, images/s | ours, ms | its network, ms | share of peak "
        "| PyTorch, ms | CUDA graph, ms | compiled, ms |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key, row in steps.get("d speed", {}).items():
        if isinstance(row, dict) and "ours_ms" in row:
            values = [
                number(row["ours_images_s"], 0),
                number(row["ours_ms"]),
                number(row["parts_ms"]["network"]),
                number(100 * row["share_of_peak"], 1) + " %",
            ]
            values += [number(row.get(name)) for name in ["pytorch_ms", "pytorch_graph_ms", "pytorch_compiled_ms"]]
            lines.append(f"| {' | '.join(key.split())} | {' | '.join(values)} |")
    lines += [
        "",
        "| network, type | pictures | largest difference over the largest logit | labels agreeing |",
        "|---|---|---|---|",
    ]
    for key, row in steps.get("c logits", {}).items():
        if isinstance(row, dict) and "error" in row:
            lines.append(f"| {key} | {row['images']} | {row['error']:.1e} | {row['labels_agreeing']} |")
    for dtype, row in steps.get("c half precision", {}).items():
        if isinstance(row, dict) and "may_be_used" in row:
            lines.append(
                f"\nThe default model in {dtype} on labelled pictures: accuracy {number(100 * row['accuracy'])} %, "
                f"{number(100 * row['labels_agreeing'])} % of the labels as in f32; "
                f"{'may' if row['may_be_used'] else 'may not'} stand in for f32."
            )
    for key, row in (steps.get("f training", {}).get("step") or {}).items():
        if isinstance(row, dict):
            lines.append(
                f"\nTraining step, 64 pictures of {key}: ours {number(row.get('ours_ms'))} ms, "
                f"PyTorch {number(row.get('pytorch_ms'))} ms, compiled {number(row.get('pytorch_compiled_ms'))} ms."
            )
    whole = steps.get("e pipeline", {})
    if "frames" in whole:
        lines.append(
            f"\nDemo clip: {whole['labels_that_differ']} of {whole['frames']} labels differ from the CPU's, "
            f"{whole['of_which_ties']} of them ties."
        )
    lines += ["", "Failures:", ""] + ([f"- {failure}" for failure in failures(steps)] or ["- none"])
    return "\n".join(lines) + "\n"


def main():
    what, folder, where, *words = sys.argv[1:]
    folder, where = Path(folder).resolve(), Path(where).resolve()
    if what == "prepare":
        return prepare(folder, where)
    started = float(words[words.index("--started") + 1]) if "--started" in words else time.time()
    run = Run(folder, where, "--dry-run" in words, started)
    signal.signal(signal.SIGALRM, given_up)
    for name, (step, seconds) in STEPS.items():
        begun = time.time()
        found = run.report["steps"][name] = {}
        taken(run, step, found, seconds)
        found["seconds"] = time.time() - begun
        (where / "card.json").write_text(json.dumps(run.report, indent=1))
        (where / "card.md").write_text(table(run.report))
        print(f"{name}: {found['seconds']:.0f} s, {sum(1 for _ in failures(found))} failures", flush=True)
    print((where / "card.md").read_text())
    # Without PyTorch or a card's tools a dry run has gaps, which are listed; anything else is a fault of ours.
    known = ["torch", "nvidia-smi", "nvcc", "no time left"]
    faults = [failure for failure in failures(run.report["steps"]) if not any(word in failure for word in known)]
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
