"""Checks that the exports of one model agree: .safetensors, .pth and .onnx, as PyTorch and onnxruntime compute them.

    pip install numpy safetensors torch==2.9.1 torchvision==0.24.1 onnx onnxruntime
    mien export RUN --format pth; mien export RUN --format onnx
    python scripts/check_exports.py best.safetensors best.pth best.onnx [--input images.npy | --seed 1] [--batch 3]

The model is built in PyTorch from the description in the file's metadata and takes the weights with load_state_dict(strict=True),
so a wrong name or shape ends the check. At width 1 without attention, names and shapes are compared with torchvision's too.
Needs at least two files, one of which holds the description (.safetensors or .onnx).
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

BLOCKS = [[64, 64], [128, 128], [256] * 3, [512] * 3, [512] * 3]
TOLERANCE = 1e-4  # of the largest logit


class ChannelAttention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        hidden = max(channels // 16, 1)
        self.fc = nn.Sequential(nn.Conv2d(channels, hidden, 1, bias=False), nn.ReLU(), nn.Conv2d(hidden, channels, 1, bias=False))

    def forward(self, x):
        return torch.sigmoid(self.fc(F.adaptive_avg_pool2d(x, 1)) + self.fc(F.adaptive_max_pool2d(x, 1)))


class SpatialAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x):
        return torch.sigmoid(self.conv(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))


class Cbam(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.channel_attention = ChannelAttention(channels)
        self.spatial_attention = SpatialAttention()

    def forward(self, x):
        x = x * self.channel_attention(x)
        return x * self.spatial_attention(x)


class Vgg(nn.Module):
    def __init__(self, batch_norm, cbam, width, head, classes, size):
        super().__init__()
        layers, ends, channels = [], [], 3
        for block in BLOCKS:
            for output in block:
                output = scaled(output, width)
                layers.append(nn.Conv2d(channels, output, 3, padding=1))
                layers.extend([nn.BatchNorm2d(output)] if batch_norm else [])
                layers.append(nn.ReLU())
                channels = output
            layers.append(nn.MaxPool2d(2))
            ends.append((len(layers) - 1, channels))
        self.features = nn.Sequential(*layers)
        self.ends = [end for end, _ in ends]
        if cbam:
            self.cbam = nn.ModuleList(Cbam(c) for _, c in ends)
        if head == "gap":
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.classifier = nn.Sequential(nn.Dropout(), nn.Linear(channels, classes))
        else:
            self.pool = nn.Identity() if cbam else nn.AdaptiveAvgPool2d(7)
            side, hidden = size // 32 if cbam else 7, scaled(4096, width)
            self.classifier = nn.Sequential(
                nn.Linear(channels * side * side, hidden), nn.ReLU(), nn.Dropout(),
                nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, classes),
            )  # fmt: skip

    def forward(self, x):
        for position, layer in enumerate(self.features):
            x = layer(x)
            if hasattr(self, "cbam") and position in self.ends:
                x = self.cbam[self.ends.index(position)](x)
        return self.classifier(torch.flatten(self.pool(x), 1))


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1."""

    def __init__(self, inputs, inner, outputs, stride, bottleneck):
        super().__init__()
        shapes = [(inputs, inner, 3, stride), (inner, inner, 3, 1)]
        if bottleneck:
            shapes = [(inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1)]
        for n, (i, o, kernel, step) in enumerate(shapes, start=1):
            setattr(self, f"conv{n}", nn.Conv2d(i, o, kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{n}", nn.BatchNorm2d(o))
        self.count = len(shapes)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for n in range(1, self.count + 1):
            y = getattr(self, f"bn{n}")(getattr(self, f"conv{n}")(y))
            y = F.relu(y) if n < self.count else y
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, counts, bottleneck, width, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, scaled(64, width), 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(scaled(64, width))
        channels = scaled(64, width)
        for stage, count in enumerate(counts):
            inner = scaled(64 << stage, width)
            outputs, blocks = inner * (4 if bottleneck else 1), []
            for index in range(count):
                blocks.append(Block(channels, inner, outputs, 2 if stage and not index else 1, bottleneck))
                channels = outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


def scaled(channels, width):
    return max(int(np.floor(channels * width + 0.5)), 1)


def mobilenet(name, width, classes):
    """torchvision's own: its width multiplier is that of mien."""
    from torchvision.models.mobilenetv3 import MobileNetV3, _mobilenet_v3_conf

    settings, last_channel = _mobilenet_v3_conf(name, width_mult=width)
    return MobileNetV3(settings, last_channel, num_classes=classes)


def build(card):
    name, width, head = card["model"]["name"], card["model"]["width"], card["model"]["head"]
    classes, size = len(card["classes"]), card["input_size"]
    if name.startswith("resnet"):
        counts = {"resnet18": [2, 2, 2, 2], "resnet34": [3, 4, 6, 3], "resnet50": [3, 4, 6, 3]}[name]
        model = ResNet(counts, name == "resnet50", width, classes)
    elif name.startswith("mobilenet"):
        model = mobilenet(name, width, classes)
    else:
        model = Vgg("_bn" in name, "cbam" in name, width, head, classes, size)
    if width == 1 and head == "fc" and "cbam" not in name:
        import torchvision

        theirs = getattr(torchvision.models, name)(num_classes=classes).state_dict()
        shapes = lambda state: {key: tuple(value.shape) for key, value in state.items()}
        assert shapes(theirs) == shapes(model.state_dict()), "the names are not torchvision's"
    return model.eval()


def read_state(path):
    """The state dict of a .safetensors or .pth file, and the description if the file has one."""
    if path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, (file.metadata() or {}).get("mien")
    return torch.load(path, map_location="cpu", weights_only=True), None


def onnx_card(path):
    import onnx

    onnx.checker.check_model(str(path), full_check=True)
    print(f"{path}: onnx.checker finds nothing")
    model = onnx.load(str(path), load_external_data=False)
    return {entry.key: entry.value for entry in model.metadata_props}.get("mien")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--input", type=Path, help="normalised images [B, 3, S, S] as .npy")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=3)
    args = parser.parse_args()

    states, cards = {}, {}
    for path in args.files:
        if path.suffix == ".onnx":
            cards[path] = onnx_card(path)
        else:
            states[path], cards[path] = read_state(path)
    cards = {path: json.loads(card) for path, card in cards.items() if card}
    assert cards, "no file describes the model"
    card = next(iter(cards.values()))
    assert all(other == card for other in cards.values()), "the files describe different models"

    if args.input:
        images = np.load(args.input).astype(np.float32)
    else:
        size = card["input_size"]
        images = np.random.default_rng(args.seed).standard_normal((args.batch, 3, size, size), dtype=np.float32)
    model, logits = build(card), {}
    for path, state in states.items():
        # safetensors files of mien leave out what torch counts and nothing reads.
        if path.suffix == ".safetensors":
            counters = {k: v for k, v in model.state_dict().items() if k.endswith("num_batches_tracked")}
            state = {**counters, **{k: v for k, v in state.items() if not k.startswith("train.")}}
        model.load_state_dict(state, strict=True)
        with torch.no_grad():
            logits[path] = model(torch.from_numpy(images)).numpy()
    for path in args.files:
        if path.suffix == ".onnx":
            import onnxruntime

            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            name = session.get_inputs()[0].name
            whole = session.run(["logits"], {name: images})[0]
            single = np.concatenate([session.run(["logits"], {name: image[None]})[0] for image in images])
            print(f"{path}: batch and single images differ by {np.abs(whole - single).max():.2e}")
            logits[path] = whole

    first, reference = next(iter(logits.items()))
    print(f"{first}: logits {reference.shape}, from {reference.min():.4f} to {reference.max():.4f}")
    scale = np.abs(reference).max()
    worst = 0.0
    for path, values in list(logits.items())[1:]:
        difference = np.abs(values - reference).max()
        worst = max(worst, difference / scale)
        print(f"{path}: differs by at most {difference:.2e} ({difference / scale:.2e} of the largest logit)")
    assert worst <= TOLERANCE, "the exports disagree"
    print("The exports agree.")


if __name__ == "__main__":
    main()
