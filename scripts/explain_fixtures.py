"""Writes tests/fixtures/golden/cams.json: class activation maps from their papers' definitions, with torch's autograd and SVD.

    pip install torch==2.9.1 torchvision==0.24.1 numpy
    python scripts/explain_fixtures.py

Models, weights and images are those of golden.py; see there. tests/golden.rs reads the file. Everything is computed in f64;
`torch_f32` is what torch loses itself in f32, in units of each map's largest value.
"""

import torch
import torch.nn.functional as F

from golden import Cbam, features, filled, pixels_of, write

BATCH = 2
# The map is `size` / 32 wide: several places, not a multiple in one case.
CASES = [
    {"model": "vgg16", "head": "fc", "width": 0.0625, "gain": 1.0, "size": 96},
    {"model": "vgg16_cbam", "head": "fc", "width": 0.0625, "gain": 1.4, "size": 96},
    {"model": "vgg16_bn_cbam", "head": "gap", "width": 0.0625, "gain": 1.4, "size": 150},
    {"model": "resnet18", "head": "fc", "width": 0.0625, "gain": 1.0, "size": 128},
    {"model": "resnet50", "head": "fc", "width": 0.0625, "gain": 1.0, "size": 96},
    {"model": "resnet34", "head": "fc", "width": 0.0625, "gain": 1.0, "size": 96},
    {"model": "mobilenet_v3_small", "head": "fc", "width": 0.25, "gain": 1.0, "size": 96},
]
CLASSES = [2, 5]


def head(model, maps):
    pool = model.avgpool
    return (model.fc if hasattr(model, "fc") else model.classifier)(torch.flatten(pool(maps), 1))


def combine(weights, maps):
    """relu of the weighted sum of channels: [C], [C, h, w] -> [h, w]"""
    return torch.relu(torch.einsum("c,chw->hw", weights, maps))


def grad_cam(maps, gradient, **_):
    return combine(gradient.mean(dim=(1, 2)), maps)


def grad_cam_plus_plus(maps, gradient, **_):
    # Equation 19 for a class score exp(logit): its second and third derivatives are powers of the gradient, times a common factor.
    total = maps.sum(dim=(1, 2), keepdim=True)
    alpha = gradient**2 / (2 * gradient**2 + total * gradient**3)
    alpha = torch.where(gradient == 0, 0.0, alpha)
    return combine((alpha * torch.relu(gradient)).sum(dim=(1, 2)), maps)


def hires_cam(maps, gradient, **_):
    return torch.relu((gradient * maps).sum(dim=0))


def layer_cam(maps, gradient, **_):
    return torch.relu((torch.relu(gradient) * maps).sum(dim=0))


def eigen_cam(maps, **_):
    u, s, vh = torch.linalg.svd(maps.flatten(1).T, full_matrices=False)
    component = maps.flatten(1).T @ vh[0]
    return torch.relu(component * torch.sign(component.sum())).reshape(maps.shape[1:])


def score_cam(maps, model, image, index, **_):
    scores = torch.full((len(maps),), -torch.inf, dtype=maps.dtype)
    for k, channel in enumerate(maps):
        low, high = channel.min(), channel.max()
        if high > low:
            mask = F.interpolate(((channel - low) / (high - low))[None, None], image.shape[1:], mode="bilinear", align_corners=False)
            with torch.no_grad():
                scores[k] = model(image[None] * mask[0])[0, index]
    return combine(torch.softmax(scores, dim=0), maps)


METHODS = [grad_cam, grad_cam_plus_plus, hires_cam, layer_cam, eigen_cam, score_cam]


def explain(dtype, case):
    model = filled(case, dtype).eval()
    images = torch.from_numpy(pixels_of("explained", BATCH, case["size"])).to(dtype)
    looked = []
    hooks = [
        # The attention of each block is asked from the input that its block gets.
        block.register_forward_hook(lambda block, inputs, _: looked.append(block.spatial_map(block.channel_map(inputs[0]) * inputs[0])))
        for block in model.modules()
        if isinstance(block, Cbam)
    ]
    with torch.no_grad():
        maps = features(model, images)
    for hook in hooks:
        hook.remove()
    found = {method.__name__: [] for method in METHODS}
    for number, index in enumerate(CLASSES):
        leaf = maps[number : number + 1].detach().clone().requires_grad_()
        head(model, leaf)[0, index].backward()
        inputs = {"maps": maps[number], "gradient": leaf.grad[0], "model": model, "image": images[number], "index": index}
        for method in METHODS:
            found[method.__name__] += method(**inputs).flatten().tolist()
    # The last block's is as small as the features; the others by their means.
    attention = looked[-1].flatten().tolist() + [block.mean().item() for block in looked] if looked else []
    return {"shape": list(maps.shape), "maps": found, "attention": attention}


def worst(a, b):
    return max((max(abs(x - y) for x, y in zip(a[k], b[k])) / max(map(abs, a[k])) for k in a if a[k]), default=0.0)


def main():
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    out = []
    for case in CASES:
        exact, single = explain(torch.float64, case), explain(torch.float32, case)
        torch_f32 = {name: worst({name: exact["maps"][name]}, {name: single["maps"][name]}) for name in exact["maps"]}
        dead = [name for name, values in exact["maps"].items() if max(values) == 0]
        assert not dead, (case, dead)
        out.append({**case, "classes": CLASSES, **exact, "torch_f32": torch_f32})
        print(case["model"], exact["shape"], {k: f"{v:.1e}" for k, v in torch_f32.items()})
    write("cams", out)


if __name__ == "__main__":
    main()
