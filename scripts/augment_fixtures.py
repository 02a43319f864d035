"""Writes tests/fixtures/augment/: what Pillow and OpenCV make of synthetic images.

The tests of src/augment/operations/ compare with them.

    pip install pillow==11.2.1 opencv-python-headless==4.11.0.86 numpy
    python scripts/augment_fixtures.py

index.json says for each case the operation, its parameters and where in images.bin the source and the result
are, as raw bytes.
All images are drawn by formula; there is no photo among them.

    python scripts/augment_fixtures.py --all DIR

writes a larger set, with images of 256x256, into DIR. `AUGMENT_FIXTURES=DIR cargo test operations` checks
that one instead.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import PIL
from PIL import Image, ImageEnhance, ImageOps

assert PIL.__version__ == "11.2.1", PIL.__version__
assert cv2.__version__ == "4.11.0", cv2.__version__

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "augment"
BORDERS = {
    "black": cv2.BORDER_CONSTANT,
    "reflect101": cv2.BORDER_REFLECT_101,
    "replicate": cv2.BORDER_REPLICATE,
}


def scene(width, height, channels, rng):
    """Slopes, waves, a dark disc, a blown-out corner and some noise."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = (x + 0.5) / width, (y + 0.5) / height
    disc = (u - 0.5) ** 2 + (v - 0.4) ** 2 < 0.06
    glare = (u > 0.7) & (v > 0.7)
    planes = [
        120
        + 90 * np.sin(7 * u + c) * np.cos(6 * v + c)
        - (70 + 20 * c) * disc
        + 150 * glare
        + rng.normal(0, 9, u.shape)
        for c in range(channels)
    ]
    return np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8)


def noise(width, height, channels, rng):
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def with_pillow(change):
    """Pillow has grey images as `[h, w]`."""

    def apply(pixels):
        squeezed = pixels[..., 0] if pixels.shape[2] == 1 else pixels
        return np.asarray(change(Image.fromarray(squeezed))).reshape(pixels.shape)

    return apply


def with_opencv(change):
    """OpenCV drops the axis of a single channel."""
    return lambda pixels: change(pixels).reshape(pixels.shape)


def brightness(factor):
    return {"factor": factor}, with_pillow(lambda image: ImageEnhance.Brightness(image).enhance(factor))


def contrast(factor):
    return {"factor": factor}, with_pillow(lambda image: ImageEnhance.Contrast(image).enhance(factor))


def sharpness(factor):
    return {"factor": factor}, with_pillow(lambda image: ImageEnhance.Sharpness(image).enhance(factor))


def mirror():
    return {}, with_pillow(ImageOps.mirror)


def flip():
    return {}, with_opencv(lambda pixels: cv2.flip(pixels, 1))


def rotation(angle):
    bilinear = Image.Resampling.BILINEAR
    return {"angle": angle}, with_pillow(lambda image: image.rotate(angle, resample=bilinear))


def blur(kernel):
    return {"kernel": kernel}, with_opencv(lambda pixels: cv2.GaussianBlur(pixels, (kernel, kernel), 0))


def affine(angle, scale, border, size):
    width, height = size
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    parameters = {"angle": angle, "scale": scale, "border": border, "matrix": matrix.ravel().tolist()}
    mode = BORDERS[border]
    return parameters, with_opencv(lambda pixels: cv2.warpAffine(pixels, matrix, size, borderMode=mode))


def perspective(inward, border, size):
    """`inward`: how far each corner moves towards the middle in x and y, in parts of the width."""
    width, height = size
    before = np.float32([[0, 0], [width, 0], [0, height], [width, height]])
    direction = np.float32([[1, 1], [-1, 1], [1, -1], [-1, -1]])
    after = np.float32(before + direction * np.float32(inward).reshape(4, 2) * np.float32(width))
    matrix = cv2.getPerspectiveTransform(before, after)
    parameters = {"corners": after.tolist(), "border": border, "matrix": matrix.ravel().tolist()}
    mode = BORDERS[border]
    return parameters, with_opencv(lambda pixels: cv2.warpPerspective(pixels, matrix, size, borderMode=mode))


def few(size, rng):
    """The cases of one image that are committed."""
    yield "brightness", *brightness(0.73)
    yield "brightness", *brightness(1.3)
    yield "contrast", *contrast(0.7)
    yield "contrast", *contrast(1.27)
    for factor in (0.7, 1.43):
        yield "sharpness", *sharpness(factor)
    yield "flip", *mirror()
    for angle in (-15.0, 0.4, 11.9):
        yield "rotation", *rotation(angle)
    for kernel in (3, 5, 7):
        yield "blur", *blur(kernel)
    yield "affine", *affine(-14.2, 0.91, "black", size)
    yield "affine", *affine(9.6, 1.09, "reflect101", size)
    yield "affine", *affine(60.0, 0.45, "replicate", size)
    for border in BORDERS:
        yield "perspective", *perspective(rng.uniform(0, 0.05, 8), border, size)


def many(size, rng):
    """What `few` has and much more."""
    yield from few(size, rng)
    for factor in (0.0, 0.3, 0.83, 0.95, 1.0, 1.17, 2.5, 10.0):
        yield "brightness", *brightness(factor)
        yield "contrast", *contrast(factor)
        yield "sharpness", *sharpness(factor)
    yield "flip", *flip()
    angles = (-180.0, -90.0, -45.0, -7.3, 0.0, 1e-9, 5.0, 30.0, 90.0, 123.4, 180.0)
    for angle in (*angles, *rng.uniform(-15, 15, 10)):
        yield "rotation", *rotation(float(angle))
    for border in BORDERS:
        pairs = ((0.0, 1.0), (90.0, 1.0), (180.0, 2.0), (-33.3, 0.13), (12.0, 9.7))
        for angle, scale in (*pairs, *rng.uniform((-15, 0.9), (15, 1.1), (6, 2))):
            yield "affine", *affine(float(angle), float(scale), border, size)
        for most in (0.0, 0.01, 0.05, 0.05, 0.05, 0.15, 0.3, 0.45):
            yield "perspective", *perspective(rng.uniform(0, most, 8), border, size)
        yield "perspective", *perspective(rng.uniform(-0.3, 0, 8), border, size)


SMALL = [
    (scene, (48, 48)),
    *((noise, size) for size in ((61, 47), (5, 4), (1, 7), (7, 1), (2, 2), (1, 1))),
]
LARGE = [
    (scene, (256, 256)),
    (noise, (256, 256)),
    (scene, (61, 47)),
    *((noise, size) for size in ((130, 33), (33, 200), (3, 3), (70, 2))),
]


def main():
    parser = argparse.ArgumentParser(description="Writes fixtures for the augmentation operations.")
    parser.add_argument("--all", metavar="DIR", type=Path, help="write the larger set into DIR")
    arguments = parser.parse_args()
    folder, images, cases = (arguments.all, SMALL + LARGE, many) if arguments.all else (FOLDER, SMALL, few)

    folder.mkdir(parents=True, exist_ok=True)
    places, data, index = {}, bytearray(), []

    def store(pixels):
        """Where the pixels lie; equal ones are kept once."""
        raw = pixels.tobytes()
        if raw not in places:
            places[raw] = len(data)
            data.extend(raw)
        return places[raw]

    rng = np.random.default_rng(7)
    for draw, size in images:
        for channels in (3, 1):
            source = draw(*size, channels, rng)
            for name, parameters, apply in cases(size, rng):
                entry = {"operation": name, "size": size, "channels": channels}
                entry |= {"source": store(source), "result": store(apply(source))}
                index.append(entry | parameters)
    (folder / "images.bin").write_bytes(data)
    lines = ",\n".join("  " + json.dumps(entry) for entry in index)
    (folder / "index.json").write_text(f"[\n{lines}\n]\n")
    total = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{len(index)} cases, {total} bytes")


if __name__ == "__main__":
    main()
