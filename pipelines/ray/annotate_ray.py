#!/usr/bin/env python3
"""The shards of a plan as tasks of a Ray cluster; what is finished is skipped, so running it again goes on.

    annotate_ray.py CORPUS OUT --shards 16 [--cpus 1] [--gpus 1] [--address auto]

CORPUS and OUT must be the same place on every machine. Ends with what `annotate collect` ends with.
"""

import argparse
import os
import subprocess
import sys

# Nothing is told to anybody.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray  # noqa: E402

TRY_AGAIN = 75


class TryAgain(Exception):
    """The program said that trying again may help."""


def run(annotate, *arguments):
    """Runs the program; its exit code and what it said."""
    ended = subprocess.run([annotate, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    return ended.returncode, ended.stderr.decode(errors="replace")


@ray.remote(max_retries=3, retry_exceptions=[TryAgain])
def work(annotate, plan, parts, shard, jobs):
    code, said = run(annotate, "work", plan, "-q", "--shard", shard, "--jobs", str(jobs), "--out", parts)
    if code == TRY_AGAIN:
        raise TryAgain(said)
    return code, said


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("out")
    parser.add_argument("--shards", type=int, default=8)
    parser.add_argument("--cpus", type=float, default=1, help="cores a shard wants")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs a shard wants")
    parser.add_argument("--address", help="of a running cluster; without, one is started here")
    parser.add_argument("--annotate", default="annotate", help="the program")
    parser.add_argument("--model", default="default")
    parser.add_argument("--segment", default="5min")
    parser.add_argument("--format", default="json")
    asked = parser.parse_args()

    out = os.path.abspath(asked.out)
    os.makedirs(out, exist_ok=True)
    plan, parts, labels = (os.path.join(out, name) for name in ("plan.jsonl", "parts", "labels"))
    what = ["--segment", asked.segment, "--model", asked.model, "--", os.path.abspath(asked.corpus)]
    code, said = run(asked.annotate, "plan", "-q", "-o", plan, *what)
    if code:
        sys.exit(said.strip() or code)

    ray.init(address=asked.address, include_dashboard=False, log_to_driver=False)
    task = work.options(num_cpus=asked.cpus, num_gpus=asked.gpus)
    jobs = max(1, int(asked.cpus))
    shards = [task.remote(asked.annotate, plan, parts, f"{i}/{asked.shards}", jobs) for i in range(asked.shards)]
    for index, shard in enumerate(shards):
        try:
            code, said = ray.get(shard)
        except (TryAgain, ray.exceptions.RayError) as error:
            # Others go on; `collect` names what is missing.
            code, said = TRY_AGAIN, str(error)
        if code:
            print(f"shard {index} ended with {code}: {said.strip()}", file=sys.stderr)
    ray.shutdown()

    code, said = run(asked.annotate, "collect", plan, parts, "-q", "--output-dir", labels, "-f", asked.format)
    sys.stderr.write(said)
    sys.exit(code)


if __name__ == "__main__":
    main()
