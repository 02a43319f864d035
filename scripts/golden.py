"""Writes tests/fixtures/golden/*.json: what PyTorch and torchvision compute with the models and the training step of mien.

    pip install torch==2.9.1 torchvision==0.24.1 numpy
    python scripts/golden.py

tests/golden.rs reads them. Metrics, resizing and colour jitter have fixtures of their own: metrics_fixtures.py (scikit-learn),
transform_fixtures.py and decode_fixtures.py (Pillow, torchvision).

No weight and no image is stored: both sides compute them from (name of the tensor, index) by `uniform` and `fill` below, equal
to the bit, which a checksum proves. The start is the same f32 number on both sides; from there PyTorch computes in f64, so that
the fixtures hold what is right and not what one order of f32 sums gives. What PyTorch itself loses in f32 is measured with the
same yardstick and written beside each result (`torch_f32`): a difference of that size is rounding.

Dropout is 0: its masks come from generators that the two sides do not share.
"""

import json
import math
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models.mobilenetv3 import MobileNetV3, _mobilenet_v3_conf
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.vgg import VGG, cfgs, make_layers
from torchvision.ops import SqueezeExcitation
from torchvision.transforms import v2

assert torch.__version__.startswith("2.9.1"), torch.__version__
assert torchvision.__version__.startswith("0.24.1"), torchvision.__version__

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "golden"
CLASSES = 7
BATCH = 4


# Numbers from names


def uniform(name, count):
    """f64 in [-1, 1): FNV-1a of the name, plus the index times an odd number, through the finaliser of splitmix64; its top 53 bits."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(key) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / 2.0**52 - 1.0


def fill(name, shape, gain=1.0):
    """The start of a tensor as f32: weights keep the size of what passes through ReLUs, batch norms are a little off their usual start.

    `gain` makes up for attention, which takes some of the signal at each block.
    """
    values = uniform(name, math.prod(shape))
    if name.endswith("running_var"):
        values = 1.0 + 0.5 * values
    elif name.endswith(("running_mean", "bias")):
        values = 0.1 * values
    elif len(shape) == 1:
        values = 1.0 + 0.2 * values
    else:
        values = gain * math.sqrt(6.0 / math.prod(shape[1:])) * values
    return values.astype(np.float32).reshape(shape)


fill_exactly = fill


def pixels_of(name, batch, size):
    """Noise with a tint of its own for each image and channel, f32 [B, 3, S, S]."""
    tint = uniform(f"{name}.tint", batch * 3).reshape(batch, 3, 1, 1)
    return (1.5 * uniform(name, batch * 3 * size * size).reshape(batch, 3, size, size) + tint).astype(np.float32)


def labels(name, batch):
    return ((uniform(f"{name}.labels", batch) + 1.0) / 2.0 * CLASSES).astype(np.int64)


def checksum(arrays):
    """Of the bits of f32 values: each times an odd number that depends on its place, summed modulo 2^64."""
    bits = np.concatenate([np.ascontiguousarray(a).reshape(-1).view(np.uint32) for a in arrays]).astype(np.uint64)
    with np.errstate(over="ignore"):
        return f"{int((bits * (2 * np.arange(len(bits), dtype=np.uint64) + np.uint64(1))).sum()):016x}"


# The models


class Cbam(nn.Module):
    """Woo, Park, Lee, Kweon 2018, section 3: M_c = sigmoid(MLP(AvgPool(F)) + MLP(MaxPool(F))), M_s = sigmoid(f7x7([AvgPool(F'); MaxPool(F')]))."""

    def __init__(self, channels, reduction=16):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.channel_attention = nn.Module()
        self.channel_attention.fc = nn.Sequential(
            nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False)
        )
        self.spatial_attention = nn.Module()
        self.spatial_attention.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def channel_map(self, x):
        mlp = self.channel_attention.fc
        return torch.sigmoid(mlp(F.adaptive_avg_pool2d(x, 1)) + mlp(F.adaptive_max_pool2d(x, 1)))

    def spatial_map(self, x):
        pooled = torch.stack([x.mean(dim=1), x.max(dim=1).values], dim=1)
        return torch.sigmoid(self.spatial_attention.conv(pooled))

    def forward(self, x):
        x = self.channel_map(x) * x
        return self.spatial_map(x) * x


class CbamVgg(VGG):
    """torchvision's VGG with a CBAM after each max-pool and no adaptive pool."""

    def __init__(self, layers, **options):
        attended, channels = [], 3
        for layer in layers:
            channels = getattr(layer, "out_channels", channels)
            attended += [layer, Cbam(channels)] if isinstance(layer, nn.MaxPool2d) else [layer]
        super().__init__(nn.Sequential(*attended), **options)  # starts the attention as it starts its own convolutions
        self.features = layers
        self.cbam = nn.ModuleList([layer for layer in attended if isinstance(layer, Cbam)])
        self.avgpool = nn.Identity()

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(features(self, x)), 1))


class ScaledResNet(ResNet):
    """torchvision's ResNet with `width` times its planes."""

    def __init__(self, block, layers, width, **options):
        self.width = width
        super().__init__(block, layers, **options)
        channels = scaled(64, width)
        self.conv1 = nn.Conv2d(3, channels, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(scaled(512, width) * block.expansion, CLASSES)

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        if planes == 64:
            self.inplanes = scaled(64, self.width)
        return super()._make_layer(block, scaled(planes, self.width), blocks, stride, dilate)


def scaled(channels, width):
    return max(1, int(channels * width + 0.5))


def build(name, width=1.0, head="fc", size=256):
    if name.startswith("resnet"):
        block, layers = {
            "resnet18": (BasicBlock, [2, 2, 2, 2]),
            "resnet34": (BasicBlock, [3, 4, 6, 3]),
            "resnet50": (Bottleneck, [3, 4, 6, 3]),
        }[name]
        return ScaledResNet(block, layers, width, num_classes=CLASSES)
    if name.startswith("mobilenet"):
        # torchvision's own width multiplier, which rounds to multiples of 8.
        settings, last_channel = _mobilenet_v3_conf(name, width_mult=width)
        return MobileNetV3(settings, last_channel, num_classes=CLASSES, dropout=0.0)
    channels = [c if c == "M" else scaled(c, width) for c in cfgs["D"]]
    layers = make_layers(channels, batch_norm="_bn" in name)
    cbam = name.endswith("_cbam")
    published = width == 1.0 and head == "fc"
    model = (CbamVgg if cbam else VGG)(layers, num_classes=CLASSES, init_weights=published)
    last, side, hidden = channels[-2], size >> 5 if cbam else 7, scaled(4096, width)
    if head == "gap":
        model.avgpool = nn.AdaptiveAvgPool2d(1)
        model.classifier = nn.Sequential(nn.Dropout(0.0), nn.Linear(last, CLASSES))
    elif not published:
        # torchvision's classifier, narrowed.
        model.classifier = nn.Sequential(
            nn.Linear(last * side * side, hidden), nn.ReLU(True), nn.Dropout(0.0),
            nn.Linear(hidden, hidden), nn.ReLU(True), nn.Dropout(0.0),
            nn.Linear(hidden, CLASSES),
        )  # fmt: skip
    return model


def features(model, x):
    """The last convolutional map."""
    if isinstance(model, ResNet):
        x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
        return model.layer4(model.layer3(model.layer2(model.layer1(x))))
    attention = iter(getattr(model, "cbam", []))
    for layer in model.features:
        x = layer(x)
        if isinstance(layer, nn.MaxPool2d) and hasattr(model, "cbam"):
            x = next(attention)(x)
    return x


def tensors(model):
    """All tensors but torch's count of batches, by name."""
    return {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}


def filled(case, dtype):
    """The model of a case with its formula's weights."""
    with torch.device("meta"):
        model = build(case["model"], case["width"], case["head"], case["size"])
    model = model.to_empty(device="cpu")
    for name, value in model.state_dict().items():
        value.copy_(torch.from_numpy(fill(name, value.shape, case["gain"])) if name in tensors(model) else torch.tensor(0))
    return model.to(dtype)


# Yardsticks


def sketch(name, values, samples=8):
    """[norm, projection on the formula's numbers of this name, samples at equal distances]: small, and sees any change."""
    flat = np.asarray(values.detach().double()).reshape(-1)
    places = [i * (len(flat) - 1) // max(1, samples - 1) for i in range(samples)]
    return [float(np.linalg.norm(flat)), float(flat @ uniform(f"probe.{name}", len(flat))), *(float(flat[p]) for p in places)]


def sketches(named, samples=8):
    return {name: sketch(name, value, samples) for name, value in named.items()}


# Below this share of the largest norm of its kin a tensor counts as 0 but for rounding; what an optimizer has moved by so little
# has lost digits in the subtraction from its start, too.
ZERO = {"weights": 1e-3, "averages": 1e-3}
ZERO_GRADIENT = 1e-6


def sketch_difference(found, expected, largest, zero):
    """Largest difference of a sketch: norm and projection in units of the norm, samples in units of the largest sample.

    What is 0 but for rounding (the bias of a convolution before batch norm has such a gradient) is measured in hundredths of the
    largest norm of its kin.
    """
    floor = largest * (1e-2 if expected[0] < zero * largest else zero)
    norm, size = max(expected[0], floor), max([abs(e) for e in expected[2:]] + [floor])
    return max([abs(f - e) / norm for f, e in zip(found[:2], expected[:2])] + [abs(f - e) / size for f, e in zip(found[2:], expected[2:])])


def difference(found, expected, zero=ZERO_GRADIENT):
    """The yardstick of tests/golden.rs: lists in units of their largest value, sketches as above."""
    if isinstance(expected, dict):
        largest = max(value[0] for value in expected.values())
        return max(sketch_difference(found[name], value, largest, zero) for name, value in expected.items())
    f, e = np.array(found, dtype=np.float64), np.array(expected, dtype=np.float64)
    return float(np.abs(f - e).max() / np.abs(e).max())


def twice(compute, *arguments):
    """What `compute(dtype, ...)` gives in f64, with the largest differences of f32 runs beside it.

    In all but the first of these runs the weights are off in their last digits. Where a ReLU or a maximum stands so near its kink
    that rounding decides, that shows as a jump: such a case proves nothing, on this machine or another.
    """
    exact, noise = compute(torch.float64, *arguments), {}
    for shake in range(SHAKES):
        with mock.patch.object(sys.modules[__name__], "fill", shaken(shake)):
            single = compute(torch.float32, *arguments)
        for key, value in exact.items():
            measured = difference(single[key], value, ZERO.get(key, ZERO_GRADIENT))
            noise[key] = max(noise.get(key, 0.0), float(f"{measured:.1e}"))
    return {**exact, "torch_f32": noise}


SHAKES = 7


def shaken(number):
    """`fill` with errors of up to two units in the last place; number 0 has none."""
    if number == 0:
        return fill

    def shaken_fill(name, shape, gain=1.0):
        values = fill_exactly(name, shape, gain)
        return (values * (1.0 + 2.0**-23 * uniform(f"shake.{number}.{name}", values.size).reshape(shape))).astype(np.float32)

    return shaken_fill


# What is written


MODELS = [
    {"model": "vgg16", "head": "fc", "width": 0.0625, "gain": 1.0, "size": 32},
    {"model": "vgg16", "head": "gap", "width": 0.1, "gain": 1.0, "size": 50},
    {"model": "vgg16_bn", "head": "fc", "width": 0.0625, "gain": 1.0, "size": 64},
    {"model": "vgg16_cbam", "head": "fc", "width": 0.0625, "gain": 1.4, "size": 64},
    {"model": "vgg16_bn_cbam", "head": "fc", "width": 0.1, "gain": 1.4, "size": 50},
    {"model": "vgg16_bn_cbam", "head": "gap", "width": 0.0625, "gain": 1.4, "size": 64},
    {"model": "resnet18", "head": "fc", "width": 0.0625, "gain": 1.0, "size": 40},
    {"model": "resnet50", "head": "fc", "width": 0.0625, "gain": 1.0, "size": 64},
    {"model": "resnet34", "head": "fc", "width": 0.0625, "gain": 1.0, "size": 64},
    {"model": "mobilenet_v3_small", "head": "fc", "width": 0.25, "gain": 1.0, "size": 64},
    {"model": "mobilenet_v3_small", "head": "fc", "width": 1.0, "gain": 1.0, "size": 96},
]


def passes(dtype, case):
    """One pass in evaluation mode, and one in training mode with its loss, gradients and running statistics."""
    images = torch.from_numpy(pixels_of("images", BATCH, case["size"])).to(dtype)
    targets = torch.from_numpy(labels("images", BATCH))
    model = filled(case, dtype).eval()
    with torch.no_grad():
        eval_features, eval_logits = features(model, images), model(images)
    logits = model.train()(images)
    loss = F.cross_entropy(logits, targets)
    loss.backward()
    buffers = {k: v for k, v in tensors(model).items() if "running" in k}
    result = {
        "eval_features": {"features": sketch("features", eval_features)},
        "eval_logits": eval_logits.flatten().tolist(),
        "train_logits": logits.flatten().tolist(),
        "loss": [loss.item()],
        "gradients": sketches({name: p.grad for name, p in model.named_parameters()}, 8),
    }
    return {**result, "running": sketches(buffers, 4)} if buffers else result


def models():
    out = []
    for case in MODELS:
        start = [fill(name, value.shape, case["gain"]) for name, value in tensors(filled(case, torch.float32)).items()]
        checksums = {"weights": checksum(start), "images": checksum([pixels_of("images", BATCH, case["size"])])}
        out.append({**case, **checksums, **twice(passes, case)})
    return out


def attention(dtype):
    """One CBAM of 32 channels (2 hidden), alone: both maps, output and gradients."""
    block = Cbam(32)
    for name, value in block.state_dict().items():
        value.copy_(torch.from_numpy(fill(f"cbam.{name}", value.shape)))
    block = block.to(dtype)
    x = torch.from_numpy(uniform("attention", 2 * 32 * 9 * 9).astype(np.float32).reshape(2, 32, 9, 9)).to(dtype).requires_grad_()
    channel = block.channel_map(x)
    spatial = block.spatial_map(channel * x)
    output = block(x)
    (output * probe("output", output)).sum().backward()
    return {
        "channel_map": channel.flatten().tolist(),
        "spatial_map": spatial.flatten().tolist(),
        "output": {"output": sketch("output", output, 16)},
        "gradients": sketches({f"cbam.{name}": p.grad for name, p in block.named_parameters()} | {"input": x.grad}, 8),
    }


def probe(name, tensor):
    return torch.from_numpy(uniform(f"weight.{name}", tensor.numel()).reshape(tensor.shape)).to(tensor.dtype)


POOLS = [["adaptive", side] for side in (1, 2, 5, 7, 10, 14)] + [["max", 9], ["max", 10], ["global", 5]]


def pools(dtype):
    """Adaptive average pools to 7x7 from maps smaller, equal, larger and divisible; ResNet's padded max-pool over values below 0."""
    out = {}
    for kind, side in POOLS:
        x = uniform(f"pool.{side}", 2 * 3 * side * side).astype(np.float32).reshape(2, 3, side, side) - np.float32(1.0)
        x = torch.from_numpy(x).to(dtype).requires_grad_()
        function = {
            "adaptive": lambda x: F.adaptive_avg_pool2d(x, 7),
            "max": lambda x: F.max_pool2d(x, 3, 2, 1),
            "global": lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
        }[kind]
        y = function(x)
        (y * probe(f"{kind}.{side}", y)).sum().backward()
        out[f"{kind}.{side}"] = sketches({"output": y, "input": x.grad}, 8)
    return out


def kit(dtype):
    """Each layer that models may be made of, alone, in training mode: output, gradients, running statistics; one batch norm in evaluation."""
    layers = {
        "conv.grouped": nn.Conv2d(6, 4, 3, padding=1, groups=2),
        "conv.depthwise": nn.Conv2d(6, 12, 5, stride=2, padding=2, groups=6, bias=False),
        "batch_norm": nn.BatchNorm2d(6, eps=1e-3, momentum=0.01),
        "batch_norm.eval": nn.BatchNorm2d(6, eps=1e-3).eval(),
        "layer_norm": nn.LayerNorm(5, eps=1e-6),
        "squeeze": SqueezeExcitation(6, 3, scale_activation=nn.Hardsigmoid),
        "relu": nn.ReLU(),
        "hardswish": nn.Hardswish(),
        "hardsigmoid": nn.Hardsigmoid(),
        "sigmoid": nn.Sigmoid(),
        "silu": nn.SiLU(),
        "gelu": nn.GELU(),
    }
    out = {}
    for name, layer in layers.items():
        for key, value in tensors(layer).items():
            value.copy_(torch.from_numpy(fill(f"{name}.{key}", value.shape)))
        layer = layer.to(dtype)
        # From -5 to 5: on all sides of every corner.
        x = torch.from_numpy((5.0 * uniform("kit", 2 * 6 * 7 * 5)).astype(np.float32).reshape(2, 6, 7, 5)).to(dtype).requires_grad_()
        y = layer(x)
        (y * probe(name, y)).sum().backward()
        gradients = {f"{name}.{key}": p.grad for key, p in layer.named_parameters()}
        running = {f"{name}.{key}": v for key, v in tensors(layer).items() if "running" in key and layer.training}
        out[name] = sketches({"output": y, "input": x.grad, **gradients, **running}, 8)
    return out


def losses():
    """torch's cross entropy with smoothing and class weights, for plain and mixed labels.

    The rule for mixed labels with class weights is lambda * L(own) + (1 - lambda) * L(partner's), each L divided by the weights of its
    own true classes, as everyone writes MixUp with index labels. Soft labels in one call would divide by the number of images.
    """
    logits = torch.from_numpy(3.0 * uniform("losses", 6 * CLASSES).astype(np.float32).reshape(6, CLASSES)).double().requires_grad_()
    own = torch.from_numpy(labels("losses", 6))
    partner = [3, 0, 5, 1, 4, 2]
    weights = [1.75, 0.5, 1.0, 0.25, 3.0, 0.75, 1.25]
    cases = []
    for smoothing in (0.0, 0.1, 0.3):
        for weighted in (False, True):
            for share in (None, 0.0, 0.25, 0.7):
                weight = torch.tensor(weights, dtype=torch.float64) if weighted else None
                entropy = lambda target: F.cross_entropy(logits, target, weight=weight, label_smoothing=smoothing)
                loss = entropy(own) if share is None else share * entropy(own) + (1 - share) * entropy(own[partner])
                (gradient,) = torch.autograd.grad(loss, logits)
                if share is not None and not weighted:
                    # Without class weights torchvision's way, soft labels, is the same.
                    hot = F.one_hot(own, CLASSES).double()
                    soft = share * hot + (1 - share) * hot[partner]
                    assert torch.isclose(F.cross_entropy(logits, soft, label_smoothing=smoothing), loss, rtol=1e-12)
                case = {"smoothing": smoothing, "weighted": weighted, "lambda": share, "loss": loss.item()}
                cases.append({**case, "gradient": sketch("logits", gradient)})
    return {"partner": partner, "class_weights": weights, "cases": cases}


def cutmix_box(size, lam, x, y):
    """torchvision's box around (x, y), and the lambda that is left of it: ((left, top, right, bottom), lambda)."""
    mix = v2.CutMix(num_classes=CLASSES)
    centre = iter([torch.tensor([x]), torch.tensor([y])])
    mix._dist = mock.Mock(sample=lambda shape: lam)
    with mock.patch.object(torch, "randint", lambda *_, **__: next(centre)):
        params = mix.make_params([torch.zeros(1, 3, size, size)])
    return [int(v) for v in params["box"]], float(params["lam_adjusted"])


def mixes():
    """torchvision's MixUp and CutMix: the partner is the image before."""
    size, out = 24, []
    images = torch.from_numpy(pixels_of("mixes", BATCH, size))
    own = torch.from_numpy(labels("mixes", BATCH))
    for lam in (0.0, 0.3, 0.75, 1.0):
        mix = v2.MixUp(num_classes=CLASSES)
        mixed = mix.transform(images.double(), {"lam": lam, "labels": own, "batch_size": BATCH})
        out.append({"kind": "mixup", "lambda": lam, "images": sketch("images", mixed, 16)})
    for lam, x, y in [(0.5, 12, 12), (0.9, 0, 23), (0.1, 20, 3), (0.0, 5, 5), (1.0, 5, 5), (0.36, 23, 0), (0.72, 11, 17)]:
        box, adjusted = cutmix_box(size, lam, x, y)
        params = {"box": box, "lam_adjusted": adjusted, "labels": own, "batch_size": BATCH}
        mixed = v2.CutMix(num_classes=CLASSES).transform(images.double(), params)
        case = {"kind": "cutmix", "lambda": lam, "x": x, "y": y, "box": box, "adjusted": adjusted}
        out.append({**case, "images": sketch("images", mixed, 16)})
    return {"size": size, "cases": out}


STEPS = 10
STEP_BATCH = 8  # batch norm over four values is chaos: rounding errors grow to tenths within ten steps


def step_case(name, model, size, **settings):
    base = {"name": name, "model": model, "head": "fc", "width": 0.0625, "gain": 1.4 if "cbam" in model else 1.0, "size": size}
    rule = {"optimizer": "sgd", "learning_rate": 0.0002, "weight_decay": 1e-4, "momentum": 0.9, "nesterov": False}
    extra = {"smoothing": 0.0, "clip": 0.0, "ema": 0.0, "class_weights": None, "mix": [], "accumulation": [STEP_BATCH], "warmup": 0, "frozen": "", "seed": 0}
    return {**base, **rule, **extra, **settings}


def mixing(kinds, size):
    """For each step what is mixed: half MixUp and half CutMix with `both`."""
    out = []
    for step in range(STEPS):
        kind = kinds if kinds != "both" else ("mixup", "cutmix")[step % 2]
        partner = np.argsort(uniform(f"partner.{step}", STEP_BATCH)).tolist()
        share = float(np.float32((uniform("lambda", STEPS)[step] + 1.0) / 2.0))
        x, y = (int(v) for v in (uniform(f"centre.{step}", 2) + 1.0) / 2.0 * size)
        out.append({"kind": kind, "lambda": share, "partner": partner, "x": x, "y": y})
    return out


WEIGHTS = [1.75, 0.5, 1.0, 0.25, 3.0, 0.75, 1.25]
STEP_CASES = [
    step_case("vgg16", "vgg16", 32, learning_rate=0.005),
    step_case("vgg16_bn", "vgg16_bn", 32, learning_rate=5e-4),
    step_case("vgg16_cbam", "vgg16_cbam", 64, learning_rate=0.001, seed=2),
    step_case("vgg16_bn_cbam", "vgg16_bn_cbam", 64, learning_rate=2e-5),
    step_case("resnet18", "resnet18", 64, seed=1),
    step_case("resnet50", "resnet50", 64, learning_rate=1e-8, seed=5),
    step_case("vgg16_bn_cbam nesterov", "vgg16_bn_cbam", 64, nesterov=True, weight_decay=0.01, head="gap", learning_rate=5e-5, seed=1),
    step_case("vgg16_bn_cbam adam", "vgg16_bn_cbam", 64, optimizer="adam", learning_rate=1e-4, weight_decay=0.01, seed=1),
    step_case("vgg16_bn_cbam adamw", "vgg16_bn_cbam", 64, optimizer="adamw", learning_rate=1e-4, weight_decay=0.05),
    step_case("resnet18 nesterov", "resnet18", 64, nesterov=True, weight_decay=0.01, seed=1),
    step_case("resnet18 adam", "resnet18", 64, optimizer="adam", learning_rate=1e-4, weight_decay=0.01),
    step_case("resnet18 adamw", "resnet18", 64, optimizer="adamw", learning_rate=1e-4, weight_decay=0.05),
    step_case("vgg16_bn_cbam smoothing ema", "vgg16_bn_cbam", 64, smoothing=0.1, ema=0.999, learning_rate=2e-5, seed=4),
    step_case("resnet18 smoothing ema low decay", "resnet18", 64, smoothing=0.1, ema=0.3),
    step_case("vgg16_bn_cbam mixup", "vgg16_bn_cbam", 32, mix=mixing("mixup", 32), smoothing=0.1, learning_rate=2e-5),
    step_case("resnet18 cutmix", "resnet18", 64, mix=mixing("cutmix", 64), smoothing=0.1),
    step_case("resnet18 class weights", "resnet18", 64, class_weights=WEIGHTS),
    step_case("vgg16_bn_cbam clip", "vgg16_bn_cbam", 64, clip=1.0, learning_rate=5e-4, seed=5),
    step_case("resnet18 warmup", "resnet18", 64, warmup=5),
    step_case("resnet18 accumulation", "resnet18", 64, accumulation=[5, 3]),
    step_case("resnet18 frozen", "resnet18", 64, frozen="layer4.1.,fc."),
    step_case(
        "resnet18 everything", "resnet18", 64, optimizer="adamw", learning_rate=1e-4, weight_decay=0.05, smoothing=0.1, clip=1.0,
        ema=0.999, class_weights=WEIGHTS, mix=mixing("both", 64),
    ),
    step_case("resnet34", "resnet34", 64, learning_rate=2e-5, seed=3),
    step_case("mobilenet_v3_small", "mobilenet_v3_small", 64, width=0.25),
    step_case("mobilenet_v3_small adam", "mobilenet_v3_small", 64, width=0.25, optimizer="adam", learning_rate=1e-4, weight_decay=0.01),
]  # fmt: skip


def optimizer_of(case, parameters):
    options = {"lr": case["learning_rate"], "weight_decay": case["weight_decay"]}
    if case["optimizer"] == "sgd":
        return torch.optim.SGD(parameters, momentum=case["momentum"], nesterov=case["nesterov"], **options)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[case["optimizer"]](parameters, **options)


def mixed(images, size, mix):
    """The images of a batch mixed as `mix` says, and the share of their own labels."""
    others = images[mix["partner"]]
    if mix["kind"] == "mixup":
        return mix["lambda"] * images + (1 - mix["lambda"]) * others, mix["lambda"]
    (left, top, right, bottom), share = cutmix_box(size, mix["lambda"], mix["x"], mix["y"])
    images = images.clone()
    images[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return images, share


def steps(dtype, case):
    """Ten updates: losses, rates, norms before clipping, and how far every tensor and its average went."""
    model = filled(case, dtype).train()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not case["frozen"] or name.startswith(tuple(case["frozen"].split(","))))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizer_of(case, trained)
    scheduler = None
    if case["warmup"]:
        n = case["warmup"]
        scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / n, end_factor=1.0, total_iters=n - 1)
    start = {name: value.clone() for name, value in tensors(model).items()}
    averages = {name: value.clone() for name, value in start.items()}
    weight = torch.tensor(case["class_weights"], dtype=dtype) if case["class_weights"] else None
    entropy = lambda logits, target: F.cross_entropy(logits, target, weight=weight, label_smoothing=case["smoothing"])
    all_losses, rates, norms = [], [], []
    for step in range(STEPS):
        # Batch norm that is not trained keeps its statistics.
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
                module.eval()
        optimizer.zero_grad()
        total, loss_sum = sum(case["accumulation"]), 0.0
        for turn, count in enumerate(case["accumulation"]):
            name = f"batch.{case['seed']}.{step % 2}.{turn}"
            images = torch.from_numpy(pixels_of(name, count, case["size"])).to(dtype)
            own = torch.from_numpy(labels(name, count))
            if case["mix"]:
                mix = case["mix"][step]
                images, share = mixed(images, case["size"], mix)
                logits = model(images)
                loss = share * entropy(logits, own) + (1 - share) * entropy(logits, own[mix["partner"]])
            else:
                loss = entropy(model(images), own)
            (loss * (count / total)).backward()
            loss_sum += loss.item() * count / total
        if case["clip"]:
            norms.append(nn.utils.clip_grad_norm_(trained, case["clip"]).item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler:
            scheduler.step()
        all_losses.append(loss_sum)
        if case["ema"]:
            decay = min(case["ema"], (1 + step) / (10 + step))
            for name, value in tensors(model).items():
                averages[name] = decay * averages[name] + (1 - decay) * value
    # Adam makes steps of full size out of the rounding errors of a gradient that is 0: no result to compare. That is the case for
    # the biases before a batch norm, and the running means follow these biases.
    noise = set()
    if case["optimizer"] != "sgd" and "_bn" in case["model"]:
        noise = {f"features.{i}.bias" for i, layer in enumerate(model.features) if isinstance(layer, nn.Conv2d)}
        noise |= {name for name in start if name.endswith("running_mean")}
    kept = [n for n in start if n not in noise and (not case["frozen"] or n.startswith(tuple(case["frozen"].split(","))))]
    moved = lambda now: sketches({n: now[n].detach() - start[n] for n in kept}, 0)
    result = {"losses": all_losses, "rates": rates, "weights": moved(tensors(model))}
    if case["clip"]:
        result["norms"] = norms
    if case["ema"]:
        result["averages"] = moved(averages)
    return result


def schedules():
    """The rate of every epoch."""
    out = []

    def table(make, settings, epochs, base=0.1, observed=None):
        weight = nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([weight], lr=base)
        scheduler, rates = make(optimizer), []
        for epoch in range(epochs):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step(observed[epoch]) if observed else scheduler.step()
        out.append({"schedule": settings, "base": base, "losses": observed or [1.0] * epochs, "rates": rates})

    lr = torch.optim.lr_scheduler
    for epochs in (1, 7, 25, 60):
        table(lambda o: lr.CosineAnnealingLR(o, T_max=epochs), {"kind": "cosine"}, epochs)
    for every, factor in [(1, 0.9), (5, 0.1), (7, 0.5)]:
        table(lambda o: lr.StepLR(o, step_size=every, gamma=factor), {"kind": "step", "every": every, "factor": factor}, 30)
    noisy = [1.5 * math.exp(-0.15 * i) + 0.4 + 0.12 * float(u) for i, u in enumerate(uniform("plateau", 40))]
    # Better by less than, by just more than and by exactly the threshold; equal; worse; better again.
    made_up = [1.0, 0.99995, 0.9999, 0.99989, 0.99989, 1.2, 0.8, 0.8, 0.80001, 0.79993, 0.79991, 0.7, 0.9, 0.9, 0.9, 0.6, 0.61, 0.62, 0.6]
    for observed in (noisy, made_up, [1.0] * 40):
        for factor, patience in [(0.1, 3), (0.5, 0), (0.5, 1), (0.2, 2)]:
            plateau = lambda o: lr.ReduceLROnPlateau(o, factor=factor, patience=patience)
            settings = {"kind": "plateau", "factor": factor, "patience": patience}
            table(plateau, settings, len(observed), 0.003, observed)
    return out


def initial():
    """How torchvision starts the published models, and torch its layers: [count, least, largest, root mean square] of each tensor."""

    def stats(value):
        v = value.detach().double()
        return [v.numel(), *(float(f"{x:.6g}") for x in (v.min(), v.max(), v.pow(2).mean().sqrt()))]

    out = []
    for name in ("vgg16", "vgg16_cbam", "vgg16_bn", "vgg16_bn_cbam", "resnet18", "resnet50", "resnet34", "mobilenet_v3_small"):
        torch.manual_seed(0)
        model = build(name) if not name.startswith("resnet") else getattr(torchvision.models, name)(num_classes=CLASSES)
        scratch = {k: stats(v) for k, v in tensors(model).items()}
        for module in model.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        new = {k: stats(v) for k, v in tensors(model).items() if k.startswith(("cbam", "classifier", "fc"))}
        if name.endswith("_cbam"):
            # The constructor of VGG knows linear layers of 7x7 maps only: their size is another, the rule the same.
            scratch = {k: v for k, v in scratch.items() if not k.startswith("classifier.0")}
            new = {k: v for k, v in new.items() if not k.startswith("classifier.0")}
        out.append({"model": name, "scratch": scratch, "on_pretrained": new})
    return out


def rounded(value):
    """Nine digits tell any f32 from its neighbours; rates keep all."""
    if isinstance(value, dict):
        return {k: v if k in ("rates", "base", "lambda", "losses") else rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v) for v in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def write(name, content):
    """One line for each case, so that a change shows where it is."""
    text = "[\n" + ",\n".join(json.dumps(rounded(c), separators=(",", ":")) for c in content) + "\n]\n"
    (FOLDER / f"{name}.json").write_text(text)


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    write("models", models())
    write("layers", [{"attention": twice(attention), "pools": twice(pools) }, losses(), mixes(), twice(kit)])
    write("schedules", schedules())
    stepped = [{**case, **twice(steps, case)} for case in STEP_CASES]
    for case in stepped:
        # Otherwise: another seed of the images, or a smaller learning rate.
        assert case["torch_f32"]["losses"] < 3e-5, (case["name"], case["torch_f32"])
    write("steps", stepped)
    write("initial", initial())


if __name__ == "__main__":
    main()
