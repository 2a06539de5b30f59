#!/usr/bin/env python3
"""Runs a built `wgbn` on random data and compares every result with PyTorch in f32 and with the truth in f64.

    pip install numpy safetensors torch
    cargo build --release
    python tests/goldens/compare_with_pytorch.py target/release/wgbn [--device gpu,cpu] [--seed N]

Ordinary data: within 1e-4 of PyTorch, and within the project's own bounds of the truth. Large mean, small
spread: within the same bounds of the truth, where PyTorch's f32 is far off (printed, not judged).
Errors are over the scales of make_goldens.py's `errors`. Exit status 1 on a miss.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

sys.dont_write_bytecode = True  # no __pycache__ beside the goldens
from make_goldens import errors, run_torch, truth_eval, truth_train  # noqa: E402

NEAR_PYTORCH = 1e-4
BOUND = {"dx": 1e-6, "dweight": 1e-6, "dbias": 1e-6}  # everything else 5e-7
EPS, MOMENTUM = 1e-5, 0.1
WANTED = {  # the tensors that each command promises
    ("forward", "train"): {"y", "batch_mean", "batch_var", "inv_std", "running_mean", "running_var", "num_batches_tracked"},
    ("forward", "eval"): {"y"},
    ("backward", "train"): {"dx", "dweight", "dbias"},
    ("backward", "eval"): {"dx", "dweight", "dbias"},
}
CASES = [  # name, shape, channel axis, mean and spread of the channels (None: ordinary)
    ("NCHW", (8, 16, 14, 14), 1, None),
    ("NCHW, odd", (5, 7, 9, 11), 1, None),
    ("NCHW, 3 channels", (4, 3, 96, 80), 1, None),
    ("NHWC", (8, 14, 14, 16), -1, None),
    ("NHWC, odd", (3, 7, 5, 13), -1, None),
    ("(N, C)", (64, 130), 1, None),
    ("(N, C, L)", (8, 12, 37), 1, None),
    ("NCHW mean 1e4 std 1", (8, 6, 28, 28), 1, (1e4, 1.0)),
    ("NHWC mean 1e4 std 1", (8, 28, 28, 6), -1, (1e4, 1.0)),
    ("NCHW mean 1e3 std 1e-2", (8, 6, 28, 28), 1, (1e3, 1e-2)),
    ("NHWC mean 1e3 std 1e-2", (8, 28, 28, 6), -1, (1e3, 1e-2)),
]


def inputs(generator, shape, axis, mean_std):
    c = shape[axis]
    normal = lambda *size: torch.randn(*size, generator=generator, dtype=torch.float64)
    uniform = lambda low, high: low + (high - low) * torch.rand(c, generator=generator, dtype=torch.float64)
    if mean_std is None:
        mean, std = uniform(-2, 2), uniform(0.5, 2)
    else:
        mean, std = (torch.full((c,), v, dtype=torch.float64) for v in mean_std)
    weight = normal(c)
    weight[0] = 0.0
    t = {
        "x": (mean + std * normal(*shape).movedim(axis, -1)).movedim(-1, axis),
        "dy": normal(*shape),
        "weight": weight,
        "bias": normal(c),
        "running_mean": mean + 0.3 * std * normal(c),
        "running_var": std**2 * uniform(0.7, 1.4),
    }
    t = {k: np.ascontiguousarray(v.to(torch.float32).numpy()) for k, v in t.items()}
    return t | {"num_batches_tracked": np.array(41, dtype=np.int64)}


def run_wgbn(wgbn, folder, command, mode, axis, device):
    """The output's tensors, or one line about what went wrong."""
    out = folder / "out.safetensors"
    out.unlink(missing_ok=True)
    args = [wgbn, command, folder / "in.safetensors", "-o", out, "--mode", mode, "--axis", axis, "--device", device]
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True)
    if done.returncode != 0:
        return None, f"exit status {done.returncode}: {done.stderr.strip()}"
    got = load_file(out)
    if set(got) != WANTED[command, mode]:
        return None, f"tensors {sorted(got)} instead of {sorted(WANTED[command, mode])}"
    return got, None


def compare(got, t, truth, pytorch, mode, axis, ordinary):
    """One row a tensor: name, error against the truth, against PyTorch, PyTorch's own, what is wrong."""
    against = [errors(t, got, truth, mode, axis), errors(t, got, truth, mode, axis, against=pytorch)]
    theirs = errors(t, pytorch, truth, mode, axis)
    for name in sorted(got):
        if name == "num_batches_tracked":
            same = got[name].dtype == np.int64 and got[name].shape == () and got[name] == pytorch[name]
            yield name, None, None, None, "" if same else f"{got[name]!r} instead of {pytorch[name]}"
            continue
        ours, near, off = against[0][name], against[1].get(name), theirs.get(name)
        bad = []
        if got[name].dtype != np.float32 or got[name].shape != truth[name].shape:
            bad.append(f"{got[name].dtype} {got[name].shape} instead of float32 {truth[name].shape}")
        if not ours <= BOUND.get(name, 5e-7):
            bad.append(f"bound {BOUND.get(name, 5e-7):.0e}")
        if ordinary and near is not None and not near <= NEAR_PYTORCH:
            bad.append(f"PyTorch differs by more than {NEAR_PYTORCH:.0e}")
        yield name, ours, near, off, ", ".join(bad)


def main():
    parser = argparse.ArgumentParser(description="compare wgbn with PyTorch")
    parser.add_argument("wgbn", type=pathlib.Path)
    parser.add_argument("--device", default="gpu,cpu", help="comma-separated, default gpu,cpu")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    generator = torch.Generator().manual_seed(options.seed)
    torch.set_num_threads(1)
    print(f"PyTorch {torch.__version__}; errors over the scale of each tensor, worst channel")
    print(f"{'case':24} {'mode':5} {'device':6} {'tensor':20} {'truth':>8} {'PyTorch':>8} {'its own':>8}")
    misses = rows = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, shape, axis, mean_std in CASES:
            t = inputs(generator, shape, axis, mean_std)
            save_file(t, folder / "in.safetensors")
            for mode in ("train", "eval"):
                truth = truth_train(t, axis, EPS, MOMENTUM, "unbiased") if mode == "train" else truth_eval(t, axis, EPS)
                pytorch = run_torch(t, mode, axis, EPS, MOMENTUM, torch.float32)
                for device in options.device.split(","):
                    for command in ("forward", "backward"):
                        start = f"{name:24} {mode:5} {device:6}"
                        got, wrong = run_wgbn(options.wgbn.resolve(), folder, command, mode, axis, device)
                        if wrong:
                            misses, rows = misses + 1, rows + 1
                            print(f"{start} {command}: {wrong}   MISS", flush=True)
                            continue
                        for tensor, *numbers, bad in compare(got, t, truth, pytorch, mode, axis, mean_std is None):
                            misses, rows = misses + bool(bad), rows + 1
                            text = " ".join(f"{'' if v is None else f'{v:.1e}':>8}" for v in numbers)
                            print(f"{start} {tensor:20} {text}" + (f"   MISS: {bad}" if bad else ""), flush=True)
    print(f"{rows} results, {misses} misses")
    sys.exit(1 if misses else 0)


if __name__ == "__main__":
    main()
