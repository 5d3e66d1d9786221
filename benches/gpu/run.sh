#!/bin/sh
# Measures a real GPU: presets of the WGSL kernels (`monolens tune`), then operators, prompts, answers, the first token of an image and
# the routed network, by wgpu (with the presets that were found, and speed without them too) and by CUDA, and leaves tables in OUT.
#
#   cargo build --release && benches/gpu/run.sh [MONOLENS] [OUT]
#
# Needs no download: weights are random, at the full size of Mono-InternVL-2B. It has not run on a GPU yet. What
# fails (a backend that is not there, too little memory) is told at the end and leaves the rest alone. MODEL=mono-2b, WEIGHTS="stored
# 8bit 4bit", BACKENDS="wgpu cuda" and DEVICE=NAME change what is measured. Correctness on CUDA: cuda/gpu-check.
set -u
monolens=${1:-$(dirname "$0")/../../target/release/monolens}
if ! "$monolens" --version > /dev/null; then
    echo "$monolens does not run; \`cargo build --release\` in the repository makes it, or name another" >&2
    exit 2
fi
out=${2:-gpu-results}
model=${MODEL:-mono-2b}
mkdir -p "$out"
failed=""

# measure NAME ARGUMENTS..: one table, and beside it what was said about device and limits.
measure() {
    name=$1
    shift
    echo "$name" >&2
    if ! "$monolens" "$@" --random "$model" > "$out/$name.md" 2> "$out/$name.log"; then
        failed="$failed $name"
        tail -n 3 "$out/$name.log" >&2
    fi
}

backends=${BACKENDS:-wgpu cuda}
formats=${WEIGHTS:-stored 8bit 4bit}
# What is found is kept in the user's cache folder, or in MONOLENS_CACHE.
case " $backends " in
*" wgpu "*) measure wgpu-tune tune ${DEVICE:+--device "$DEVICE"} --weights "$(echo $formats | tr ' ' ',')" ;;
esac
"$monolens" doctor ${DEVICE:+--device "$DEVICE"} > "$out/doctor.txt" 2>&1
for backend in $backends; do
    for weights in $formats; do
        set -- --backend "$backend" ${DEVICE:+--device "$DEVICE"}
        [ "$weights" = stored ] || set -- "$@" --weights "$weights"
        measure "$backend-$weights-speed" bench "$@" --pp 310,822,2048 --tg 64 --depth 0,4096 --ttft 6:64
        [ "$backend" != wgpu ] || measure "wgpu-$weights-speed-untuned" bench "$@" --no-tuning --pp 310,822,2048 --tg 64
        measure "$backend-$weights-kv8" bench "$@" --kv 8bit --pp 2048 --tg 64 --depth 0,4096
        measure "$backend-$weights-batch" bench "$@" --pp 0 --tg 64 --batch 4,16
        measure "$backend-$weights-ops" bench ops "$@" --pp 2048 --tiles 6
    done
    measure "$backend-mmoe" bench mmoe --backend "$backend" ${DEVICE:+--device "$DEVICE"} \
        --tokens 256,1024,2048,4096 --plot "$out/$backend-mmoe.svg"
done
if [ -n "$failed" ]; then
    echo "failed:$failed (see the .log files in $out)" >&2
    exit 1
fi
