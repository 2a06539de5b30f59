#!/usr/bin/env python3
"""Makes the golden files: what PyTorch, Keras, TensorFlow and ONNX Runtime compute on small inputs,
beside the truth in f64.

Install, in a virtual environment (everything runs on the CPU):

    pip install numpy safetensors torch tensorflow-cpu onnx onnxruntime

(a CPU-only build of torch does as well; README.md beside this file says how to keep the CUDA build
small). Then

    python make_goldens.py [OUTPUT_FOLDER]        # default: this script's own folder

One file is one case of one framework. Tensors without a prefix are inputs, `out.*` is what the framework
gave, `truth.*` is f64, computed here in numpy from the inputs as stored. README.md lists the metadata.
Every result of a framework is compared with the truth before the file is written, and PyTorch's own f64
results must agree with the truth to 1e-10, so a mistake in either shows up here.

The truth and the error scales (`truth_*`, `errors`) are imported by compare_with_pytorch.py.
"""

import json
import os
import pathlib
import sys
import zlib

import numpy as np

ORDINARY = 2e-6  # what a framework's f32 may be off on ordinary data, over the scales of `errors`
ILL = 5e-2  # and on ill-conditioned data, where f32 frameworks lose most of their digits
PRESETS = {  # eps, momentum in PyTorch's sense, running variance
    "pytorch": (1e-5, 0.1, "unbiased"),
    "keras": (1e-3, 0.01, "biased"),
    "onnx": (1e-5, 0.1, "biased"),
}


# ---- the truth ---------------------------------------------------------------------------------------------


def f64(a):
    return None if a is None else np.asarray(a, dtype=np.float64)


def rows(a, axis):
    """The tensor as (channels, values per channel) in f64."""
    a = np.moveaxis(f64(a), axis, 0)
    return a.reshape(a.shape[0], -1)


def unrows(r, shape, axis):
    moved = np.moveaxis(np.empty(shape, dtype=np.bool_), axis, 0).shape
    return np.ascontiguousarray(np.moveaxis(r.reshape(moved), 0, axis))


def two_pass(r):
    """Mean and biased variance of each row: the mean first, corrected once, then squares about it."""
    mean = r.mean(1)
    mean = mean + (r - mean[:, None]).mean(1)
    return mean, ((r - mean[:, None]) ** 2).mean(1)


def truth_train(t, axis, eps, momentum, running_var):
    """Training forward, and backward where there is a dy. `momentum` is a float or "cumulative"."""
    r = rows(t["x"], axis)
    c, m = r.shape
    mean, var = two_pass(r)
    f = 1.0 / (int(t["num_batches_tracked"]) + 1) if momentum == "cumulative" else momentum
    v = {"biased": var, "unbiased": var * m / (m - 1)}[running_var]
    old_mean, old_var = f64(t.get("running_mean", np.zeros(c))), f64(t.get("running_var", np.ones(c)))
    out = {
        "batch_mean": mean,
        "batch_var": var,
        "running_mean": (1 - f) * old_mean + f * mean,
        "running_var": (1 - f) * old_var + f * v,
    }
    return out | _apply(t, axis, mean, 1 / np.sqrt(var + eps), through_statistics=True)


def truth_eval(t, axis, eps):
    """Inference, and backward through frozen statistics where there is a dy."""
    inv_std = 1 / np.sqrt(f64(t["running_var"]) + eps)
    return _apply(t, axis, f64(t["running_mean"]), inv_std, through_statistics=False)


def _apply(t, axis, mean, inv_std, through_statistics):
    x = t["x"]
    r = rows(x, axis)
    c, m = r.shape
    w, b = f64(t.get("weight", np.ones(c)))[:, None], f64(t.get("bias", np.zeros(c)))[:, None]
    s = inv_std[:, None]
    xhat = (r - mean[:, None]) * s
    out = {"y": unrows(xhat * w + b, x.shape, axis), "inv_std": inv_std}
    if "dy" in t:
        g = rows(t["dy"], axis)
        dbias, dweight = g.sum(1), (g * xhat).sum(1)
        dx = w * s * g
        if through_statistics:
            dx = w * s * (g - dbias[:, None] / m - xhat * dweight[:, None] / m)
        out |= {"dx": unrows(dx, x.shape, axis), "dweight": dweight, "dbias": dbias}
    return out


def truth_moments(x, axes, keep_dims):
    axes = tuple(a % x.ndim for a in axes)
    kept = [a for a in range(x.ndim) if a not in axes]
    r = np.transpose(f64(x), kept + list(axes)).reshape(int(np.prod([x.shape[a] for a in kept])), -1)
    shape = [1 if a in axes else n for a, n in enumerate(x.shape) if keep_dims or a not in axes]
    mean, var = two_pass(r)
    return {"mean": mean.reshape(shape), "variance": var.reshape(shape)}


def truth_normalize(t, axis, eps):
    per_channel = {"x": t["x"], "running_mean": t["mean"], "running_var": t["variance"]}
    for ours, theirs in (("weight", "scale"), ("bias", "offset")):
        if theirs in t:
            per_channel[ours] = t[theirs]
    return {"y": truth_eval(per_channel, axis, eps)["y"]}


def errors(t, out, truth, op, axis, against=None):
    """Worst error of each tensor over its scale, per channel: absolute errors divided by the size of the
    terms that a result is made of, not by the result, which may be zero. The scales come from the truth;
    the differences are taken from `against`, another set of results, where one is given."""
    against = truth if against is None else against
    x, w, b = rows(t["x"], axis), t.get("weight", t.get("scale")), t.get("bias", t.get("offset"))
    c, m = x.shape
    w, b = f64(np.ones(c) if w is None else w), f64(np.zeros(c) if b is None else b)
    top = lambda a: np.abs(a).max(1)
    old = lambda name: np.abs(f64(t[name])) if name in t else 0.0
    size_x = top(x)
    scale = {"batch_mean": size_x, "running_mean": np.maximum(size_x, old("running_mean"))}
    for name in ("batch_var", "inv_std"):
        scale[name] = truth.get(name)
    if "running_var" in truth:
        scale["running_var"] = np.maximum(truth["running_var"], old("running_var"))
    if "y" in truth:
        scale["y"] = top(rows(truth["y"], axis) - b[:, None]) + np.abs(b)
    if "dy" in t:
        g = rows(t["dy"], axis)
        mean = truth["batch_mean"] if op == "train" else f64(t["running_mean"])
        xhat = (x - mean[:, None]) * truth["inv_std"][:, None]
        terms = np.abs(g)
        if op == "train":
            terms = terms + np.abs(truth["dbias"])[:, None] / m + np.abs(xhat * truth["dweight"][:, None]) / m
        scale["dx"] = top(np.abs(w * truth["inv_std"])[:, None] * terms)
        scale["dweight"], scale["dbias"] = np.abs(g * xhat).sum(1), np.abs(g).sum(1)
    worst = {}
    for name, got in out.items():
        if name not in truth or name not in against:
            continue
        if name in ("mean", "variance"):  # moments: over the largest |x|, and over the variance itself
            s = np.abs(f64(t["x"])).max() if name == "mean" else truth[name]
            diff = np.abs(f64(got) - against[name])
        else:
            s = scale[name]
            full = name in ("y", "dx")
            other = against[name]
            diff = top(rows(got, axis) - rows(other, axis)) if full else np.abs(f64(got) - f64(other))
        worst[name] = float((diff / np.maximum(s, 1.2e-38)).max())
    return worst


# ---- inputs ------------------------------------------------------------------------------------------------


def ordinary(name, shape, axis, affine=True, dy=True):
    """Channels of different mean and spread; one weight negative, the last one zero."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    c = shape[axis]
    along = [1] * len(shape)
    along[axis] = c
    mean, std = rng.uniform(-2, 2, c), rng.uniform(0.5, 2, c)
    t = {"x": mean.reshape(along) + std.reshape(along) * rng.standard_normal(shape)}
    if dy:
        t["dy"] = rng.standard_normal(shape)
    if affine:
        t["weight"], t["bias"] = rng.uniform(0.5, 1.5, c), rng.normal(0, 0.5, c)
        t["weight"][1], t["weight"][-1] = -0.75, 0.0
    t["running_mean"], t["running_var"] = mean + rng.normal(0, 0.3, c), std**2 * rng.uniform(0.7, 1.4, c)
    return {k: v.astype(np.float32) for k, v in t.items()}


def ill_conditioned(name, shape, axis, mean, std):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    c = shape[axis]
    t = {
        "x": mean + std * rng.standard_normal(shape),
        "dy": rng.standard_normal(shape),
        "weight": rng.uniform(0.5, 1.5, c),
        "bias": rng.normal(0, 0.5, c),
        "running_mean": mean + 0.3 * std * rng.standard_normal(c),
        "running_var": std**2 * rng.uniform(0.7, 1.4, c),
    }
    return {k: v.astype(np.float32) for k, v in t.items()}


# ---- writing -----------------------------------------------------------------------------------------------


def save(folder, name, framework, op, t, out, truth, worst, **meta):
    import safetensors.numpy

    tensors = dict(t)
    tensors |= {f"out.{k}": np.asarray(v, order="C") for k, v in out.items()}
    tensors |= {f"truth.{k}": np.asarray(v, dtype=np.float64, order="C") for k, v in truth.items()}
    meta |= {"framework": framework, "op": op, "numpy": np.__version__}
    raw = safetensors.numpy.save(tensors, {k: str(v) for k, v in meta.items()})
    # The library writes the metadata in no fixed order; sorted, the same results make the same file.
    end = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    (folder / f"{name}.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + raw[end:])
    table = "  ".join(f"{k} {v:.1e}" for k, v in worst.items())
    print(f"{name:36} {8 + len(text) + len(raw) - end:7}  {table}", flush=True)


def batch_norm_case(folder, name, framework, op, t, out, axis, eps, momentum, tolerance=ORDINARY, kinds=None, **meta):
    """Compares, finds out which variance the framework put into running_var, and writes the file."""
    assert out["y"].dtype == np.float32 and out["y"].shape == t["x"].shape, name
    if op == "train":
        tried = {k: truth_train(t, axis, eps, momentum, k) for k in ("biased", "unbiased")}
        if kinds is None:
            off = {k: errors(t, out, tr, op, axis)["running_var"] for k, tr in tried.items()}
            kinds = [k for k, e in off.items() if e < 2e-6]
            assert len(kinds) == 1, f"{name}: running_var is neither or both of biased and unbiased: {off}"
        kind = kinds[0]
        truth, meta["momentum"], meta["running_var"] = tried[kind], momentum, kind
        for preset, numbers in PRESETS.items():
            if (eps, momentum, kind) == numbers and framework.startswith(preset):
                meta["preset"] = preset
    else:
        truth = truth_eval(t, axis, eps)
        for preset, numbers in PRESETS.items():
            if eps == numbers[0] and framework.startswith(preset):
                meta["preset"] = preset
    worst = errors(t, out, truth, op, axis)
    assert max(worst.values()) < tolerance, f"{name}: {worst}"
    # Gradients only where there is a dy; a framework that was given one must have used it.
    assert ("dy" in t) == ("dx" in out), name
    save(folder, name, framework, op, t, out, truth, worst, axis=axis, eps=eps, **meta)


# ---- PyTorch -----------------------------------------------------------------------------------------------


def run_torch(t, op, axis, eps, momentum, dtype):
    """One step of nn.BatchNorm, forward and backward; momentum as in batch_norm_case. Numpy in and out."""
    import torch

    kind = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d, 5: torch.nn.BatchNorm3d}
    n = t["x"].ndim
    affine = "weight" in t
    layer = kind[n](t["x"].shape[axis], eps=eps, momentum=None if momentum == "cumulative" else momentum, affine=affine)
    layer = layer.to(dtype).train(op == "train")
    with torch.no_grad():
        for key, value in layer.state_dict().items():
            value.copy_(torch.from_numpy(np.asarray(t.get(key, value.numpy()))))
    # Channels last is stored last and seen by PyTorch through a permuted view.
    move = lambda a: torch.from_numpy(a).to(dtype).movedim(axis, 1)
    x = move(t["x"]).detach().requires_grad_()
    out = {}
    if op == "train":  # the batch statistics are not a result of the layer, only of the function below it
        with torch.no_grad():
            args = (x, layer.weight, layer.bias, None, None, True, 0.0, eps)
            _, out["batch_mean"], out["inv_std"] = torch.native_batch_norm(*args)
    y = layer(x)
    y.backward(move(t["dy"]))
    out |= {"y": y.movedim(1, axis), "dx": x.grad.movedim(1, axis)}
    if affine:
        out |= {"dweight": layer.weight.grad, "dbias": layer.bias.grad}
    if op == "train":
        out |= {k: getattr(layer, k) for k in ("running_mean", "running_var", "num_batches_tracked")}
    return {k: np.asarray(v.detach().numpy(), order="C") for k, v in out.items()}


def pytorch(folder):
    import torch

    torch.set_num_threads(1)
    framework = f"pytorch {torch.__version__.split('+')[0]}"

    def case(name, op, t, axis, eps=1e-5, momentum=0.1, tolerance=ORDINARY, **meta):
        t.setdefault("num_batches_tracked", np.array(7, dtype=np.int64))
        out = run_torch(t, op, axis, eps, momentum, torch.float32)
        # PyTorch in f64 on the same inputs is a second opinion on the truth.
        truth = truth_train(t, axis, eps, momentum, "unbiased") if op == "train" else truth_eval(t, axis, eps)
        second = errors(t, run_torch(t, op, axis, eps, momentum, torch.float64), truth, op, axis)
        assert max(second.values()) < 1e-10, f"{name}: the truth and PyTorch in f64 differ: {second}"
        meta["f64_agreement"] = f"{max(second.values()):.1e}"
        batch_norm_case(
            folder, f"pytorch_{name}", framework, op, t, out, axis, eps, momentum, tolerance,
            kinds=["unbiased"] if tolerance != ORDINARY else None, **meta,
        )  # fmt: skip

    for name, shape, axis in [
        ("nc", (24, 10), 1),
        ("ncl", (6, 5, 17), 1),
        ("nchw", (4, 6, 7, 7), 1),
        ("nhwc", (4, 5, 6, 7), -1),
        ("ncdhw", (2, 3, 4, 5, 3), 1),
    ]:
        for op in ("train", "eval"):
            case(f"{name}_{op}", op, ordinary(name, shape, axis), axis)

    case("nchw_momentum_train", "train", ordinary("momentum", (3, 5, 6, 5), 1), 1, eps=1e-3, momentum=0.35)
    case("nchw_no_affine_train", "train", ordinary("no_affine", (3, 4, 5, 7), 1, affine=False), 1)
    case("nchw_no_affine_eval", "eval", ordinary("no_affine", (3, 4, 5, 7), 1, affine=False), 1)

    # Cumulative average: three earlier batches through the same layer, then the one that is stored.
    t = ordinary("cumulative", (6, 5, 17), 1)
    t |= {"running_mean": np.zeros(5, np.float32), "running_var": np.ones(5, np.float32)}
    t["num_batches_tracked"] = np.array(0, dtype=np.int64)
    rng = np.random.default_rng(3)
    for _ in range(3):
        earlier = t | {"x": t["x"][rng.permutation(6)] + rng.normal(0, 0.5, t["x"].shape).astype(np.float32)}
        out = run_torch(earlier, "train", 1, 1e-5, "cumulative", torch.float32)
        t |= {k: out[k] for k in ("running_mean", "running_var", "num_batches_tracked")}
    assert t["num_batches_tracked"] == 3
    case("ncl_cumulative_train", "train", t, 1, momentum="cumulative")

    for name, mean, std in [("mean1e4_std1", 1e4, 1.0), ("mean1e3_std1e-2", 1e3, 1e-2)]:
        note = "ill-conditioned: out.* is inaccurate, compare tightly with truth.* only"
        t = ill_conditioned(name, (4, 4, 16, 16), 1, mean, std)
        case(f"{name}_train", "train", t, 1, tolerance=ILL, note=note)
        t = ill_conditioned(name, (2, 3, 9, 11), 1, mean, std)
        case(f"{name}_eval", "eval", t, 1, tolerance=ILL, note=note)
        t = ill_conditioned(f"{name} nhwc", (3, 8, 9, 5), -1, mean, std)
        case(f"{name}_nhwc_train", "train", t, -1, tolerance=ILL, note=note)


# ---- Keras and TensorFlow ----------------------------------------------------------------------------------


def keras_layers(folder):
    import keras
    import tensorflow as tf

    assert keras.backend.backend() == "tensorflow"
    framework = f"keras {keras.__version__}"

    def case(name, op, shape, axis, **options):
        t = ordinary(f"keras {name}", shape, axis)
        layer = keras.layers.BatchNormalization(axis=axis, **options)
        layer.build(shape)
        for variable, key in [("gamma", "weight"), ("beta", "bias"), ("moving_mean", "running_mean"), ("moving_variance", "running_var")]:  # fmt: skip
            getattr(layer, variable).assign(t[key])
        x = tf.constant(t["x"])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=op == "train")
        grads = tape.gradient(y, [x, layer.gamma.value, layer.beta.value], output_gradients=tf.constant(t["dy"]))
        out = dict(zip(("dx", "dweight", "dbias"), (g.numpy() for g in grads))) | {"y": y.numpy()}
        if op == "train":
            out |= {"running_mean": layer.moving_mean.numpy(), "running_var": layer.moving_variance.numpy()}
        momentum = round(1 - layer.momentum, 12)  # Keras's momentum is the decay
        batch_norm_case(folder, f"keras_{name}", framework, op, t, out, axis, layer.epsilon, momentum,
                        decay=layer.momentum, tensorflow=tf.__version__)  # fmt: skip

    for op in ("train", "eval"):
        case(f"nhwc_{op}", op, (3, 4, 5, 6), -1)
        case(f"nc_{op}", op, (24, 10), -1)
        case(f"nchw_{op}", op, (3, 5, 4, 5), 1)
    case("nhwc_momentum_train", "train", (3, 4, 5, 6), -1, momentum=0.8, epsilon=1e-4)


def tensorflow_ops(folder):
    import tensorflow as tf

    framework = f"tensorflow {tf.__version__}"

    # The fused kernel under tf.keras's old layers and tf.compat.v1.nn.fused_batch_norm.
    def fused(name, shape):
        t = ordinary(f"tensorflow {name}", shape, -1)
        op = tf.raw_ops.FusedBatchNormV3
        y, mean, var, saved_mean, saved_var, extra = op(
            x=t["x"], scale=t["weight"], offset=t["bias"], mean=t["running_mean"], variance=t["running_var"],
            epsilon=1e-3, exponential_avg_factor=0.1, data_format="NHWC", is_training=True)  # fmt: skip
        dx, dweight, dbias, _, _ = tf.raw_ops.FusedBatchNormGradV3(
            y_backprop=t["dy"], x=t["x"], scale=t["weight"], reserve_space_1=saved_mean, reserve_space_2=saved_var,
            reserve_space_3=extra, epsilon=1e-3, data_format="NHWC", is_training=True)  # fmt: skip
        out = {"y": y, "running_mean": mean, "running_var": var, "batch_mean": saved_mean, "batch_var": saved_var,
               "dx": dx, "dweight": dweight, "dbias": dbias}  # fmt: skip
        out = {k: v.numpy() for k, v in out.items()}
        batch_norm_case(folder, f"tensorflow_{name}", framework, "train", t, out, -1, 1e-3, 0.1, kernel="FusedBatchNormV3")

    fused("fused_nhwc_train", (3, 4, 5, 6))

    def moments(name, x, axes, keep_dims, tolerance=ORDINARY, **meta):
        t = {"x": x}
        mean, variance = tf.nn.moments(tf.constant(x), axes, keepdims=keep_dims)
        out = {"mean": mean.numpy(), "variance": variance.numpy()}
        truth = truth_moments(x, axes, keep_dims)
        assert all(out[k].shape == truth[k].shape for k in out)
        worst = errors(t, out, truth, "moments", 0)
        assert max(worst.values()) < tolerance, f"{name}: {worst}"
        save(folder, f"tensorflow_{name}", framework, "moments", t, out, truth, worst,
             axes=",".join(map(str, axes)), keep_dims=str(keep_dims).lower(), **meta)  # fmt: skip

    x4 = ordinary("moments", (3, 4, 5, 6), -1)["x"]
    moments("moments_0", ordinary("moments", (24, 10), -1)["x"], (0,), False)
    moments("moments_0_1_2", x4, (0, 1, 2), False)
    moments("moments_0_1_2_keepdims", x4, (0, 1, 2), True)
    moments("moments_0_2_3", x4, (0, 2, 3), False)
    moments("moments_1_3", x4, (1, 3), False)
    moments("moments_0_2_keepdims", x4, (0, 2), True)
    moments("moments_all", x4, (0, 1, 2, 3), False)
    ill = ill_conditioned("moments", (4, 7, 9, 3), -1, 1e3, 1e-2)["x"]
    moments("moments_mean1e3_std1e-2", ill, (0, 1, 2), False, ILL,
            note="ill-conditioned: out.* is inaccurate, compare tightly with truth.* only")  # fmt: skip

    def normalize(name, shape, axis, affine):
        s = ordinary(f"normalize {name}", shape, axis, affine=affine)
        t = {"x": s["x"], "mean": s["running_mean"], "variance": s["running_var"]}
        if affine:
            t |= {"offset": s["bias"], "scale": s["weight"]}
        along = [1] * len(shape)
        along[axis] = shape[axis]
        args = [t[k].reshape(along) if k in t else None for k in ("mean", "variance", "offset", "scale")]
        out = {"y": tf.nn.batch_normalization(t["x"], *args, variance_epsilon=1e-3).numpy()}
        truth = truth_normalize(t, axis, 1e-3)
        worst = errors(t, out, truth, "normalize", axis)
        assert max(worst.values()) < ORDINARY, f"{name}: {worst}"
        save(folder, f"tensorflow_{name}", framework, "normalize", t, out, truth, worst, axis=axis, eps=1e-3)

    normalize("normalize_nhwc", (3, 4, 5, 6), -1, True)
    normalize("normalize_nchw", (3, 5, 4, 5), 1, True)
    normalize("normalize_no_affine", (24, 10), -1, False)


# ---- ONNX --------------------------------------------------------------------------------------------------


def onnx_operator(folder):
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper
    from onnx.reference import ReferenceEvaluator

    names = ("x", "weight", "bias", "running_mean", "running_var")

    def model(t, train, opset=15, **attributes):
        outputs = ["y", "out_mean", "out_var"] if train else ["y"]
        node = helper.make_node("BatchNormalization", list(names), outputs, training_mode=int(train), **attributes)
        info = lambda n, shape: helper.make_tensor_value_info(n, TensorProto.FLOAT, shape)
        per_channel = t["weight"].shape
        graph = helper.make_graph(
            [node], "batch_norm", [info(n, t[n].shape) for n in names],
            [info(n, t["x"].shape if n == "y" else per_channel) for n in outputs])  # fmt: skip
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        onnx.checker.check_model(made)
        return made

    def case(name, op, shape, eps=1e-5, decay=0.9, evaluator=None, **meta):
        t = ordinary(f"onnx {name}", shape, 1, dy=False)
        made = model(t, op == "train", epsilon=eps, momentum=decay)
        feed = {n: t[n] for n in names}
        if evaluator == "reference":
            framework = f"onnx reference evaluator {onnx.__version__}"
            results = ReferenceEvaluator(made).run(None, feed)
        else:
            framework = f"onnxruntime {onnxruntime.__version__}"
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 4
            options.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
            results = session.run(None, feed)
        results = [np.asarray(r, dtype=np.float32) for r in results]
        out = dict(zip(("y", "running_mean", "running_var"), results))
        batch_norm_case(folder, f"onnx_{name}", framework, op, t, out, 1, eps, round(1 - decay, 12),
                        decay=decay, onnx=onnx.__version__, **meta)  # fmt: skip

    for name, shape in [("nchw", (3, 5, 4, 5)), ("nc", (24, 10)), ("ncl", (6, 5, 17))]:
        case(f"{name}_eval", "eval", shape)

    # ONNX has no gradient, so `train` is the forward pass alone and the file has no dy.
    t = ordinary("onnx probe", (3, 5, 4, 5), 1, dy=False)
    probe = model(t, True)
    try:
        onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
        evaluator, meta = None, {}
    except Exception as error:
        said = str(error).splitlines()[0]
        print("onnxruntime has no training mode here:", said)
        evaluator, meta = "reference", {"note": "ONNX Runtime's CPU provider refuses training_mode=1; ONNX's reference evaluator"}
    case("nchw_train", "train", (3, 5, 4, 5), evaluator=evaluator, **meta)
    case("nc_train", "train", (24, 10), evaluator=evaluator, **meta)
    case("nchw_decay_train", "train", (3, 5, 4, 5), eps=1e-3, decay=0.7, evaluator=evaluator, **meta)


def main():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent)
    folder.mkdir(parents=True, exist_ok=True)
    print("worst error of the framework's f32 against the truth, over the scale of each tensor")
    for family in (pytorch, keras_layers, tensorflow_ops, onnx_operator):
        family(folder)
    files = sorted(folder.glob("*.safetensors"))
    print(f"{len(files)} files, {sum(f.stat().st_size for f in files)} bytes")


if __name__ == "__main__":
    main()
