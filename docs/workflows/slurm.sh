#!/usr/bin/env bash
# `zensaibo cluster`, `detect`, `segment` or `count` shared by SLURM job arrays: N parts of each step, what is not shared out, the output.
#
#   ./slurm.sh atlas.h5ad out.h5ad 16 --set leiden.resolution=0.8
#   RECIPE=detect ./slurm.sh brain.ome.zarr cells.parquet 16 --set detect.soma_diameter=16
#   RECIPE=segment MERGE="--table nuclei.parquet" ./slurm.sh organoid.ome.zarr labels.ome.zarr 16 --set segment.diameter=9
#
# Options are those of all jobs; those in MERGE, parted by spaces, are of the one that writes the output.
# All nodes see the files under the same names. Jobs that fail can be submitted again: what is there is not computed again.
set -euo pipefail

input=$(realpath "$1") output=$(realpath -m "$2") parts=$3
options=(--recipe "${RECIPE:-cluster}" "${@:4}")
read -r -a merge <<< "${MERGE:-}"
work="$output.parts"

# Submits one job after another one; prints its number.
after=()
submit() {
    local name=$1 cpus=$2 array=$3
    shift 3
    local job
    job=$(sbatch --parsable --job-name "zensaibo-$name" --cpus-per-task "$cpus" --mem 8G "${after[@]}" ${array:+--array "$array"} \
        --wrap "$(printf '%q ' "$@")${array:+--blocks \$SLURM_ARRAY_TASK_ID/$parts}")
    after=(--dependency "afterok:$job")
    echo "$name: job $job"
}

for step in $(zensaibo run-blocks list "${options[@]}"); do
    if [ "$step" = markers ]; then
        submit clusters 16 "" zensaibo merge "$input" --work "$work" --until markers --quiet "${options[@]}"
    fi
    submit "$step" 1 "1-$parts" zensaibo run-blocks "$step" "$input" --work "$work" --threads 1 --quiet "${options[@]}"
done
submit output 16 "" zensaibo merge "$input" --work "$work" -o "$output" --quiet "${options[@]}" "${merge[@]}"
