#!/usr/bin/env python3
"""Times PyTorch's batch normalization, on the CPU and where there is one on a CUDA GPU, and checks each result in f64.

    pip install torch
    python pytorch.py --suite resnet50 --json pytorch.json

README.md beside this file says what is measured and how to read the JSON. Exit status 1 if a result is wrong.
"""

import argparse
import ctypes
import datetime
import json
import math
import platform
import statistics
import sys
import time

import torch

SCHEMA = 1  # of the JSON: crates/bench-record has the check of it
EPS, MOMENTUM = 1e-5, 0.1
BOUND = 1e-4  # of a channel's scale, on ordinary data; f32 is good for 1e-6
ELEMENTS = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}  # of x, y, dy and dx
ROUNDING = {"f32": 0.0, "f16": 2.0**-11, "bf16": 2.0**-8}  # of a result, once more
SUITES = {  # the shapes, channels at axis 1
    "resnet50": [
        (32, 64, 112, 112),
        (32, 64, 56, 56),
        (32, 256, 56, 56),
        (32, 512, 28, 28),
        (32, 1024, 14, 14),
        (32, 2048, 7, 7),
        (4096, 512),
        (256, 1024),
    ],
    "small": [
        (8, 64, 56, 56),
        (16, 64, 56, 56),
        (32, 256, 14, 14),
        (32, 512, 7, 7),
        (4096, 512),
        (256, 1024),
        (50176, 64),
        (1, 3, 3_000_000),
    ],
}
TRAFFIC = {"train": 3, "inference": 2, "backward": 5, "frozen": 3, "step": 8}  # tensors read or written at the least
ROTATED = {"cpu": 128 << 20, "cuda": 512 << 20}  # bytes of input at least, so that no cache holds them
BACKWARD_ALLOCATES = "allocated by the call: backward has no out kernel"


# ---- the operations ----------------------------------------------------------------------------------------


class Native:
    """PyTorch's own kernels: the only ones on the CPU, and those without cuDNN on CUDA."""

    out_names = ("out", "save_mean", "save_invstd")
    forward_op = torch.ops.aten.native_batch_norm

    @staticmethod
    def backward(s, channel, stats, training):
        mean, inv_std = s.saved[1:3] if training else (None, None)
        return torch.ops.aten.native_batch_norm_backward(
            s.dy, s.x, channel.weight, *stats, mean, inv_std, training, EPS, [True, True, True]
        )


class Cudnn:
    out_names = ("out0", "out1", "out2", "out3")
    forward_op = torch.ops.aten.cudnn_batch_norm

    @staticmethod
    def backward(s, channel, stats, training):
        assert training
        _, mean, inv_std, reserve = s.saved
        return torch.ops.aten.cudnn_batch_norm_backward(
            s.x, s.dy, channel.weight, *stats, mean, inv_std, EPS, reserve
        )


KERNELS = {"cpu": Native, "native": Native, "cudnn": Cudnn}


class Channel:
    """Parameters and statistics, one value a channel."""

    def __init__(self, c, device):
        draw = lambda low, high: torch.rand(c, device=device) * (high - low) + low
        self.weight, self.bias = draw(0.5, 1.5), draw(-1, 1)
        self.frozen = (draw(-0.5, 0.5), draw(0.5, 2))  # inference and frozen read it
        self.running = (torch.zeros(c, device=device), torch.ones(c, device=device))  # training writes it


class Set:
    """One of the rotated sets: an input, a gradient, and the forward's outputs."""

    def __init__(self, shape, device, channels_last, element):
        layout = torch.channels_last if channels_last else torch.contiguous_format
        draw = lambda: torch.randn(shape, device=device).to(ELEMENTS[element]).contiguous(memory_format=layout)
        self.x, self.dy = draw(), draw()
        self.channels_last, self.element = channels_last, element
        self.copy = torch.empty_like(self.x)
        self.saved = self.evaluated = None


def forward(kernels, s, channel, stats, training):
    """One forward pass into the set's outputs; the first makes them."""
    args = (s.x, channel.weight, channel.bias, *stats, training, MOMENTUM, EPS)
    outputs = s.saved if training else s.evaluated
    if outputs is not None and has_out(kernels, s.x.device.type):
        return kernels.forward_op.out(*args, **dict(zip(kernels.out_names, outputs)))
    outputs = kernels.forward_op(*args)
    if training:
        s.saved = outputs
    else:
        s.evaluated = outputs
    return outputs


def has_out(kernels, kind):
    """Whether the forward's out-variant is a kernel, and not the plain one with a copy after it."""
    name = "aten::" + kernels.forward_op.__name__ + ".out"
    return torch._C._dispatch_has_kernel_for_dispatch_key(name, kind.upper())


def operation(op, kernels, channel):
    """The call that is timed: takes a set, gives `y`, or `dx`, `dweight` and `dbias`."""
    training = op in ("train", "backward", "step")
    stats = channel.running if training else channel.frozen
    if op in ("train", "inference"):
        return lambda s: forward(kernels, s, channel, stats, training)[:1]
    if op in ("backward", "frozen"):
        return lambda s: kernels.backward(s, channel, stats, training)

    def step(s):
        forward(kernels, s, channel, stats, training)
        return kernels.backward(s, channel, stats, training)

    return step


# ---- the truth ---------------------------------------------------------------------------------------------


def worst_error(op, results, s, channel):
    """The worst error over its scale: the size of the terms that a result is made of, per channel."""
    rows = lambda t: t.movedim(1, 0).reshape(t.shape[1], -1).double()
    column = lambda t: t.double()[:, None]
    x, w, b = rows(s.x), column(channel.weight), column(channel.bias)
    training = op in ("train", "backward", "step")
    mean = x.mean(1, keepdim=True) if training else column(channel.frozen[0])
    var = (x - mean).square().mean(1, keepdim=True) if training else column(channel.frozen[1])
    inv_std = (var + EPS).rsqrt()
    xhat = x.sub_(mean).mul_(inv_std)
    if op in ("train", "inference"):
        pairs = [(rows(results[0]), xhat * w + b, (xhat * w).abs().amax(1) + b[:, 0].abs())]
    else:
        g = rows(s.dy)
        dbias, dweight = g.sum(1), (g * xhat).sum(1)
        pairs = [
            (results[1].double(), dweight, (g * xhat).abs().sum(1)),
            (results[2].double(), dbias, g.abs().sum(1)),
        ]
        if training:
            g = g - (dbias[:, None] + xhat * dweight[:, None]) / x.shape[1]
        dx = g.mul_(w * inv_std)
        pairs.append((rows(results[0]), dx, dx.abs().amax(1)))
    worst = 0.0
    for got, truth, scale in pairs:
        if not bool(torch.isfinite(got).all()):
            return math.inf
        difference = (got - truth).abs()
        worst = max(worst, float(((difference.amax(1) if got.dim() > 1 else difference) / scale).max()))
    return worst


# ---- time --------------------------------------------------------------------------------------------------


def clocked(call, sets, first, calls, kind):
    """Seconds of `calls` calls, and nothing else, over the sets in turn."""
    if kind == "cpu":
        start = time.perf_counter()
        for i in range(first, first + calls):
            call(sets[i % len(sets)])
        return time.perf_counter() - start
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    if hasattr(torch.cuda, "_sleep"):  # the GPU waits while the calls queue up, so Python's time is not in them
        torch.cuda._sleep(200_000 * calls)
    start.record()
    for i in range(first, first + calls):
        call(sets[i % len(sets)])
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end) / 1e3


def measure(call, sets, seconds, kind):
    """Milliseconds a call: median, quartiles and how many repeats; at least five, however long they take."""
    end = time.perf_counter() + seconds
    for s in sets:  # the first touch of every buffer, and cuDNN's first choice
        call(s)
    once = clocked(call, sets, 0, len(sets), kind) / len(sets)
    calls = max(1, min(64, math.ceil(5e-3 / once)))
    times, first = [], 0
    while len(times) < 5 or (len(times) < 100 and time.perf_counter() < end):
        times.append(1e3 * clocked(call, sets, first, calls, kind) / calls)
        first += calls
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    return {"median_ms": median, "low_ms": low, "high_ms": high, "runs": len(times), "calls_a_run": calls}


# ---- the run -----------------------------------------------------------------------------------------------


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            return next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def device_record(kind):
    if kind == "cpu":
        return {"name": cpu_name(), "kind": "cpu", "backend": "cpu", "driver": torch.backends.cpu.get_cpu_capability()}
    driver = f"CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
    return {"name": torch.cuda.get_device_name(), "kind": "gpu", "backend": "cuda", "driver": driver}


def variants(kind):
    if kind == "cpu":
        return ["cpu"]
    return ["native", "cudnn"] if torch.backends.cudnn.is_available() else ["native"]


def keep_freed_memory():
    """Has glibc reuse freed memory, as the caching allocator does on CUDA: fresh pages cost more than backward."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(libc.mallopt(-4, 0)) and bool(libc.mallopt(-1, -1))  # no mmap for large blocks, no trimming
    except (OSError, AttributeError):
        return False


def make_sets(shape, kind, channels_last, element):
    size = ELEMENTS[element].itemsize * math.prod(shape)
    count = max(4, math.ceil(ROTATED[kind] / size))
    if kind == "cuda":  # five tensors a set, and room for what the calls allocate
        torch.cuda.empty_cache()
        count = max(2, min(count, torch.cuda.mem_get_info()[0] // (8 * size)))
    return [Set(shape, kind, channels_last, element) for _ in range(count)]


def empty_row(kind, variant, op, suite, shape, sets):
    """What is known of a row before its time."""
    channels_last, size = sets[0].channels_last, sets[0].x.element_size() * math.prod(shape)
    runs_forward, runs_backward = op not in ("backward", "frozen"), op not in ("train", "inference")
    preallocated = "preallocated" if has_out(KERNELS[variant], kind) else "allocated by the call: it has no out kernel"
    return {
        "engine": "pytorch",
        "suite": suite,
        "device": device_record(kind)["name"],
        "op": op,
        "shape": list(shape),
        "layout": "nhwc" if channels_last else "nc" if len(shape) == 2 else "nchw",
        "variant": variant,
        "element": sets[0].element,
        "elements": math.prod(shape),
        "ideal_bytes": TRAFFIC[op] * size,
        "clock": "wall" if kind == "cpu" else "events",
        "sets": len(sets),
        "forward_output": preallocated if runs_forward else None,
        "backward_output": BACKWARD_ALLOCATES if runs_backward else None,
    }


def time_row(row, sets, channel, seconds, kind):
    """Fills in the row. True if the result is right."""
    kernels, op = KERNELS[row["variant"]], row["op"]
    call = operation(op, kernels, channel)
    with torch.backends.cudnn.flags(enabled=row["variant"] == "cudnn"):
        if op == "backward":
            for s in sets:
                forward(kernels, s, channel, channel.running, True)
        error = worst_error(op, call(sets[0]), sets[0], channel)
        row |= measure(call, sets, seconds, kind)
    right = error <= BOUND + ROUNDING[row["element"]]
    row["gb_per_s"] = row["ideal_bytes"] / row["median_ms"] / 1e6
    row["checked"] = f"{'worst error' if right else 'WRONG: error'} {error:.1e} of the f64 result's scale"
    return right


def measure_shape(report, ops, kind, suite, shape, channels_last, element, share):
    """All rows of one shape and layout on one device. `share` gives each measurement its seconds."""
    sets, channel = make_sets(shape, kind, channels_last, element), Channel(shape[1], kind)
    copied = 2 * sets[0].x.element_size() * math.prod(shape)
    copy = measure(lambda s: s.copy.copy_(s.x), sets, share(), kind)
    copy_rate = copied / copy["median_ms"] / 1e6
    what = f"copy_, {len(sets)} buffers in turn"
    device = device_record(kind)["name"]
    report["bandwidth"].append({"device": device, "what": what, "gb_per_s": copy_rate, "bytes": copied})
    for variant in variants(kind):
        for s in sets:  # another variant's outputs do not serve this one
            s.saved = s.evaluated = None
        for op in ops:
            if (variant, op) == ("cudnn", "frozen"):
                continue
            row = empty_row(kind, variant, op, suite, shape, sets)
            where = f"{kind} {variant} {op} {element} {row['layout']} {'x'.join(map(str, row['shape']))}"
            try:
                right = time_row(row, sets, channel, share(), kind)
            except RuntimeError as problem:
                report["skipped"].append(f"{where}: {str(problem).splitlines()[0][:200]}")
                print("skipped", report["skipped"][-1], file=sys.stderr)
                continue
            row["of_copy"] = row["gb_per_s"] / copy_rate
            report["rows"].append(row)
            report["wrong"] += not right
            measured = f"{row['median_ms']:.3f} ms, {row['of_copy']:.2f} of copy"
            print(f"{where}: {measured}, {row['checked']}", file=sys.stderr)


def parse_options():
    parser = argparse.ArgumentParser(description="time PyTorch's batch normalization")

    def some_of(known):
        def parse(text):
            for name in text.split(","):
                if name not in known:
                    raise argparse.ArgumentTypeError(f"{name} is none of {','.join(known)}")
            return text.split(",")

        return parse

    add, ops = parser.add_argument, list(TRAFFIC)
    add("--suite", type=some_of(SUITES), default=["resnet50"], help="resnet50 (default), small, or both with a comma")
    add("--ops", type=some_of(ops), default=ops, help=f"some of {','.join(ops)} (default all)")
    known = list(ELEMENTS)
    add("--element", type=some_of(known), default=["f32"], help="f32 (default), f16 or bf16, or several with a comma")
    add("--devices", type=some_of(["cpu", "cuda"]), default=["cpu", "cuda"], help="cpu,cuda (default both)")
    add("--threads", type=int, help="CPU threads (default PyTorch's)")
    add("--seconds", type=float, default=120, help="for all rows together (default 120); five runs a row at least")
    add("--json", help="file to write (default standard output)")
    return parser.parse_args()


def main():
    options = parse_options()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    kinds = [kind for kind in options.devices if kind == "cpu" or torch.cuda.is_available()]
    report = {
        "schema": SCHEMA,
        "program": "pytorch",
        "version": torch.__version__,
        "commit": torch.version.git_version,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "host": {"threads": torch.get_num_threads(), "cpu": cpu_name(), "reuses_freed_memory": keep_freed_memory()},
        "devices": [device_record(kind) for kind in kinds],
        "bandwidth": [],
        "rows": [],
        "skipped": [f"{kind}: PyTorch finds no such device" for kind in options.devices if kind not in kinds],
        "wrong": 0,
    }
    if "cuda" in kinds and "frozen" in options.ops:
        report["skipped"].append("cudnn frozen: cuDNN has no backward through frozen statistics")
    jobs = [
        (kind, suite, shape, channels_last, element)
        for kind in kinds
        for suite in options.suite
        for shape in SUITES[suite]
        for channels_last in ([False, True] if len(shape) == 4 else [False])
        for element in options.element
    ]
    deadline = time.perf_counter() + options.seconds
    left = sum(1 + len(variants(kind)) * len(options.ops) for kind, *_ in jobs)  # and the copies

    def share():
        nonlocal left
        left -= 1
        return max(0.0, deadline - time.perf_counter()) / (left + 1)

    with torch.inference_mode():
        for job in jobs:
            measure_shape(report, options.ops, *job, share)
    text = json.dumps(report, indent=1) + "\n"
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        print(text, end="")
    sys.exit(1 if report["wrong"] else 0)


if __name__ == "__main__":
    main()
