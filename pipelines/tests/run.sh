#!/usr/bin/env bash
# run.sh ANNOTATE [snakemake|slurm|ray]...: a corpus through every engine that is there, against `annotate batch`.
#
# Each engine meets 20 sound clips, most of them with odd names and one long enough to be cut, and one broken clip; a worker
# is killed (a job is requeued) in the middle. Everything but the broken clip must come out as from `annotate batch`; after
# the clip is repaired, exactly one unit may be worked on. Says 'skipped' for what is not installed.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
annotate=$(realpath "$1")
shift
engines=${*:-snakemake slurm ray}
pipelines=$here/..
demo=$here/../../assets/demo/demo.mp4
work=$(mktemp -d)
stop_all() {
    if [[ -d $work/slurm ]]; then "$here/slurm_localhost.sh" stop "$work/slurm" || true; fi
    rm -rf "$work"
}
trap stop_all EXIT
export ANNOTATE=$annotate
failed() { echo "FAILED: $*" >&2; exit 1; }

# --- the corpus --------------------------------------------------------------------------------------------------------

corpus=$work/corpus
mkdir -p "$corpus/with spaces/é"
encode() { ffmpeg -nostdin -v error -y "$@"; }
encode -i "$demo" -t 0.6 -c copy "$work/clip.mp4"
names=(a.mp4 a.mov "b c.mp4" -dash.mp4 "new
line.mp4" "it's \"quoted\".mp4" '$(touch INJECTED).mp4' '{braces}.mp4' 'per%03dcent.mp4' '*.mp4' 'semi;colon&.mp4'
    'pipe|.mp4' "with spaces/plain.mp4" "with spaces/é/手话.mp4" "#hash.mp4" "tilde~.mp4" "back\\slash.mp4" "x=y.mp4" z.mp4)
for name in "${names[@]}"; do cp "$work/clip.mp4" "$corpus/$name"; done
encode -stream_loop 1 -i "$demo" -c copy "$corpus/long.mp4"
head -c 3000 "$work/clip.mp4" > "$corpus/broken.mp4"

# What every engine has to give; the broken clip is repaired at the end of each.
repair() { encode -i "$demo" -ss 1 -t 0.6 -c:v mpeg4 "$corpus/broken.mp4"; }
break_again() { head -c 3000 "$work/clip.mp4" > "$corpus/broken.mp4"; }
code=0
"$annotate" batch "$corpus" --output-dir "$work/batch" -f json -q || code=$?
[[ $code == 8 ]] || failed "batch ended with $code and not with 8"

# --- what is the same for every engine ---------------------------------------------------------------------------------

labels() { (cd "$1" && find . -name '*.mp4.json' -o -name '*.mov.json' | sort -z | tr '\n' '?'); }
same_as_batch() {
    local file
    [[ -n $(find "$1/labels" -name 'long.mp4.json') ]] || failed "$2: no labels"
    while IFS= read -r -d '' file; do
        cmp "$work/batch/$file" "$1/labels/$file" || failed "$2: $file differs from batch's"
    done < <(cd "$work/batch" && find . \( -name '*.mp4.json' -o -name '*.mov.json' \) -print0)
    [[ -z $(find "$work" -name INJECTED) ]] || failed "$2: a file name was run as a command"
}
units() { find "$1/parts" -name '*.part' -printf '%f %T@\n' | sort; }

# check NAME FOLDER COMMAND...: the command runs into the broken clip, then goes on after its repair.
check() {
    local name=$1 out=$2 code=0
    shift 2
    "$@" > "$out.first.log" 2>&1 || code=$?
    [[ $code != 0 ]] || failed "$name: the broken clip is not noticed"
    grep -q broken.mp4 "$out/labels/failures.json" || { cat "$out.first.log"; failed "$name: the broken clip is not named"; }
    same_as_batch "$out" "$name"
    units "$out" > "$out.before"
    repair
    "$@" > "$out.second.log" 2>&1 || { cat "$out.second.log"; failed "$name: does not finish after the repair"; }
    units "$out" > "$out.after"
    local redone
    redone=$(comm -13 "$out.before" "$out.after" | wc -l)
    [[ $redone == 1 ]] || failed "$name: $redone units were worked on after the repair of one"
    [[ -f $out/labels/broken.mp4.json ]] || failed "$name: the repaired clip has no labels"
    break_again
    echo "passed: $name"
}

# Kills the first worker that is met.
assassin() {
    local worker
    for _ in $(seq 600); do
        worker=$(pgrep -f "^$annotate work $1/plan.jsonl" | head -n 1) || true
        if [[ -n $worker ]]; then
            sleep 0.3
            kill -9 "$worker" 2>/dev/null && touch "$1.killed" && return
        fi
        sleep 0.1
    done
}

# --- the engines -------------------------------------------------------------------------------------------------------

snakemake_with() {
    local profile=$1 out=$2
    shift 2
    (cd "$work" && snakemake --snakefile "$pipelines/snakemake/Snakefile" --profile "$pipelines/snakemake/profiles/$profile" \
        --directory "$out.run" --config corpus="$corpus" out="$out" annotate="$annotate" shards=3 segment=10s mem_mb=300 \
        runtime=10 "$@")
}

for engine in $engines; do
    out=$work/$engine
    mkdir -p "$out" "$out.run"
    case $engine in
    snakemake)
        if ! command -v snakemake >/dev/null; then echo "skipped: snakemake (pip install -r pipelines/requirements.txt)"; continue; fi
        assassin "$out" &
        check "snakemake, one worker killed" "$out" snakemake_with local "$out" --cores 2
        [[ -f $out.killed ]] || failed "no worker was met to be killed"
        ;;
    slurm)
        if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null || [[ $(id -u) != 0 ]]; then
            echo "skipped: slurm (apt-get install slurm-wlm munge, as root)"
            continue
        fi
        "$here/slurm_localhost.sh" start "$work/slurm"
        array() {
            "$annotate" plan -q --segment 10s -o "$out/plan.jsonl" -- "$corpus"
            (cd "$out.run" && sbatch --wait --array=0-2%2 --gpus=1 --mem=300 --time=10 \
                "$pipelines/slurm/annotate_array.sbatch" "$out") || return
            "$annotate" collect "$out/plan.jsonl" "$out/parts" --output-dir "$out/labels" -q
        }
        requeue() {
            local job
            for _ in $(seq 600); do
                job=$(squeue -h -t R -o %A | head -n 1) || true
                if [[ -n $job ]]; then
                    sleep 0.5
                    scontrol requeue "$job" && touch "$out.requeued" && return
                fi
                sleep 0.1
            done
        }
        requeue &
        check "a Slurm array, one job requeued" "$out" array
        [[ -f $out.requeued ]] || failed "no job was met to be requeued"
        if command -v snakemake >/dev/null && python3 -c 'import snakemake_executor_plugin_slurm' 2>/dev/null; then
            out=$work/snakemake_slurm
            mkdir -p "$out" "$out.run"
            # There is no accounting here to ask, as there is at a real site.
            check "snakemake over Slurm" "$out" snakemake_with slurm "$out" --jobs 2 --slurm-no-account \
                --slurm-status-command squeue --slurm-init-seconds-before-status-checks 2 --seconds-between-status-checks 2 \
                --latency-wait 5 --default-resources slurm_partition=main
        else
            echo "skipped: snakemake over Slurm (pip install -r pipelines/requirements.txt)"
        fi
        ;;
    ray)
        if ! python3 -c 'import ray' 2>/dev/null; then echo "skipped: ray (pip install -r pipelines/ray/requirements.txt)"; continue; fi
        assassin "$out" &
        # A task whose worker is killed ends with an error of its own; what is missing is named and done the next time.
        ray_driver() { python3 "$pipelines/ray/annotate_ray.py" "$corpus" "$out" --shards 3 --segment 10s --annotate "$annotate"; }
        ray_until_collected() { ray_driver || { [[ -f $out.killed && ! -f $out.again ]] && touch "$out.again" && ray_driver; }; }
        check "ray, one worker killed" "$out" ray_until_collected
        ;;
    esac
done
