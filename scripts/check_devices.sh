#!/usr/bin/env bash
# Builds mien's other engines and compares a training step on each with the CPU. Not part of .ci/run: a build takes a quarter of an
# hour or more on two cores. Usage: scripts/check_devices.sh [FEATURE…]   (default: wgpu)
#
# wgpu    meant for any graphics API, through WGSL (software drivers too; Debian: apt-get install mesa-vulkan-drivers)
# vulkan  the same with SPIR-V made by CubeCL; needs a GPU's driver: Mesa's software driver crashes on that code (22.3 and 25.0)
# cuda    builds without the toolkit, but its build downloads Burn's LLVM bundle; needs NVIDIA's driver to run
# rocm    the same for AMD;  metal builds on macOS
# libtorch needs LibTorch 2.9 (pip install torch==2.9.1 and LIBTORCH_USE_PYTORCH=1, or LIBTORCH=FOLDER)
set -euo pipefail
cd "$(dirname "$0")/.."

features=("${@:-wgpu}")
list=$(IFS=,; echo "${features[*]}")
cargo build --release --features "$list" --bin mien
mien=${CARGO_TARGET_DIR:-target}/release/mien
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$mien" draw "$work/faces" --per-class 10 --size 32 --quiet

step_losses() { # DEVICE -> the losses of seven steps
    "$mien" train "$work/faces" --out "$work/run-$1" --device "$1" --precision f32 --model vgg16_bn_cbam --width 0.0625 --head gap \
        --input-size 32 --batch-size 8 --epochs 1 --learning-rate 0.01 --json |
        sed -n 's/.*"event":"step".*"loss":\([0-9.]*\),"accuracy".*/\1/p'
}

step_losses cpu >"$work/cpu"
status=0
for device in "${features[@]}"; do
    if ! step_losses "$device" >"$work/$device"; then
        echo "$device: built; there is no device here to run it on"
        continue
    fi
    paste "$work/cpu" "$work/$device" | awk -v device="$device" '
        { d = ($1 - $2) / $1; if (d < 0) d = -d; if (d > worst) worst = d }
        END { printf "%s: %d steps, largest relative difference of the losses to the CPU %.1e\n", device, NR, worst; exit !(NR == 7 && worst < 0.01) }' || status=1
done
exit $status
