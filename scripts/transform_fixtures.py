"""Writes tests/fixtures/transform/: what Pillow and torchvision make of synthetic images, for the tests of src/image and src/input.

    pip install pillow==11.2.1 numpy torch torchvision==0.24.1
    python scripts/transform_fixtures.py

Each .rgb file holds raw RGB bytes; index.json says for each case the source, its steps and the result. All images are drawn by
formula; there is no photo among them.
"""

import json
from pathlib import Path

import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

assert PIL.__version__ == "11.2.1", PIL.__version__
assert torchvision.__version__.startswith("0.24.1"), torchvision.__version__

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "transform"


def drawn(width, height, grey=False):
    """Slopes, waves, an edge and noise, different in each channel."""
    rng = np.random.default_rng(width * 1000 + height)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = (x + 0.5) / width, (y + 0.5) / height
    planes = [
        60 + 150 * u + 30 * np.sin(9 * v),
        200 - 130 * v + 40 * np.cos(7 * u + 2 * v),
        90 + 80 * np.sin(5 * u * v) + 60 * ((u - 0.5) ** 2 + (v - 0.4) ** 2 < 0.08),
    ]
    pixels = np.stack([plane + rng.normal(0, 12, plane.shape) for plane in planes], axis=-1)
    if grey:
        pixels = np.repeat(pixels[..., :1], 3, axis=-1)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGB")


def apply(image, step):
    name, *values = step
    if name == "resize":
        return F.resize(image, [values[1], values[0]], InterpolationMode.BILINEAR)
    if name == "flip":
        return F.hflip(image)
    if name == "rotate":
        return F.rotate(image, values[0], InterpolationMode.BILINEAR)
    if name == "shift":
        return F.affine(image, angle=0.0, translate=values, scale=1.0, shear=[0.0, 0.0])
    return getattr(F, f"adjust_{name}")(image, values[0])


RESIZES = [
    ((30, 30), (40, 40)),
    ((30, 30), (50, 50)),
    ((61, 37), (32, 32)),
    ((37, 61), (20, 33)),
    ((70, 20), (30, 30)),
    ((60, 60), (7, 7)),
    ((16, 16), (16, 16)),
    ((2, 2), (33, 33)),
    ((1, 7), (4, 3)),
    ((1, 1), (5, 5)),
]
JITTERS = [
    [("brightness", 0.8)],
    [("brightness", 1.2)],
    [("contrast", 0.8)],
    [("contrast", 1.2)],
    [("saturation", 0.8)],
    [("saturation", 1.2)],
    [("hue", 0.1)],
    [("hue", -0.1)],
    [("hue", 0.5)],
    [("brightness", 1.17), ("contrast", 0.83), ("saturation", 1.14), ("hue", 0.07)],
    [("hue", -0.09), ("saturation", 0.85), ("contrast", 1.19), ("brightness", 0.9)],
    [("saturation", 1.2), ("hue", 0.03), ("brightness", 1.1), ("contrast", 1.1)],
]
TURNS = [
    [("rotate", 12.5)],
    [("rotate", -15.0)],
    [("flip",), ("rotate", 7.0)],
    [("shift", 4, -3)],
    [("shift", -4, 3)],
]
CHAINS = [
    [("resize", 40, 40), ("flip",), ("rotate", 11.0), *JITTERS[-3], ("shift", 4, -3)],
    [("resize", 40, 40), ("rotate", -14.0), *JITTERS[-2], ("shift", -3, 2)],
]


def main():
    cases = [(drawn(*source), [("resize", *target)]) for source, target in RESIZES]
    cases += [(drawn(28, 28), steps) for steps in JITTERS + TURNS]
    cases += [(drawn(30, 30), steps) for steps in CHAINS]
    cases += [(drawn(30, 30, grey=True), CHAINS[0]), (drawn(50, 45), CHAINS[1]), (drawn(40, 40), CHAINS[0])]

    FOLDER.mkdir(parents=True, exist_ok=True)
    index, sources = [], {}
    for number, (source, steps) in enumerate(cases):
        pixels = source.tobytes()
        if pixels not in sources:
            sources[pixels] = f"source_{len(sources)}.rgb"
            (FOLDER / sources[pixels]).write_bytes(pixels)
        result = source
        for step in steps:
            result = apply(result, step)
        name = f"case_{number:02}.rgb"
        (FOLDER / name).write_bytes(result.tobytes())
        index.append(
            {
                "source": sources[pixels],
                "from": source.size,
                "steps": [{"name": step[0], "values": list(step[1:])} for step in steps],
                "result": name,
                "to": result.size,
            }
        )
    # For benches/input.rs.
    drawn(48, 48).save(FOLDER / "color.jpg", quality=90)
    drawn(48, 48, grey=True).convert("L").save(FOLDER / "grey.jpg", quality=90)

    lines = ",\n".join("  " + json.dumps(case) for case in index)
    (FOLDER / "index.json").write_text(f"[\n{lines}\n]\n")
    total = sum(path.stat().st_size for path in FOLDER.iterdir())
    print(f"{len(index)} cases, {total} bytes")


if __name__ == "__main__":
    main()
