"""Writes tests/fixtures/encode/: the JPEG files that Pillow makes of synthetic images, for the tests of src/image/encode.

    pip install pillow==11.2.1 numpy
    python scripts/encode_fixtures.py

files.bin holds one JPEG file after the other, sources.bin the raw pixels of their images (grey or RGB), index.json says for each
file its image, its settings and where it lies. All images are drawn by formula; there is no photo among them.
"""

import io
import json
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

assert PIL.__version__ == "11.2.1", PIL.__version__

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "encode"


def drawn(width, height, channels, noise):
    """Slopes, waves, an edge and noise, different in each channel."""
    rng = np.random.default_rng(width * 1000 + height)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u, v = (x + 0.5) / width, (y + 0.5) / height
    planes = [
        60 + 150 * u + 30 * np.sin(9 * v),
        200 - 130 * v + 40 * np.cos(7 * u + 2 * v),
        90 + 80 * np.sin(5 * u * v) + 60 * ((u - 0.5) ** 2 + (v - 0.4) ** 2 < 0.08),
    ]
    pixels = np.stack([plane + rng.normal(0, noise, plane.shape) for plane in planes[:channels]], axis=-1)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def extreme(width, height, channels):
    """Nothing but 0 and 255: the largest coefficients, and blocks of one value."""
    rng = np.random.default_rng(width * 1000 + height + channels)
    pixels = rng.integers(0, 2, (height, width, channels)) * 255
    y, x = np.mgrid[0:height, 0:width]
    pixels[:8] = np.where((x + y) % 2 == 0, 255, 0)[:8, :, None]
    pixels[8:16, : width // 2] = 255
    pixels[8:16, width // 2 :] = 0
    return pixels.astype(np.uint8)


SUBSAMPLINGS = ["4:4:4", "4:2:2", "4:2:0"]
SIZES = [(48, 48), (17, 13), (8, 8), (1, 1), (16, 9), (3, 50), (41, 24), (50, 3), (33, 34), (15, 16), (130, 7)]


def cases():
    for size in SIZES:
        for channels in 1, 3:
            pixels = drawn(*size, channels, 12)
            for quality in 10, 50, 75, 95, 100:
                for subsampling in SUBSAMPLINGS if channels == 3 else SUBSAMPLINGS[:1]:
                    yield pixels, quality, subsampling
    # Few coefficients and long runs of zeros.
    smooth = drawn(64, 40, 3, 0.7)
    for quality in 1, 25, 60, 90:
        for subsampling in SUBSAMPLINGS:
            yield smooth, quality, subsampling
    for channels in 1, 3:
        harsh = extreme(40, 24, channels)
        for quality in 1, 90, 100:
            for subsampling in SUBSAMPLINGS:
                yield harsh, quality, subsampling


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    sources, files, index, starts = b"", b"", [], {}
    for pixels, quality, subsampling in cases():
        height, width, channels = pixels.shape
        raw = pixels.tobytes()
        if raw not in starts:
            starts[raw] = len(sources)
            sources += raw
        image = Image.fromarray(pixels[..., 0], "L") if channels == 1 else Image.fromarray(pixels, "RGB")
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, subsampling=SUBSAMPLINGS.index(subsampling))
        index.append(
            {
                "size": [width, height],
                "channels": channels,
                "pixels": starts[raw],
                "quality": quality,
                "subsampling": subsampling,
                "file": [len(files), len(files) + file.tell()],
            }
        )
        files += file.getvalue()
    (FOLDER / "sources.bin").write_bytes(sources)
    (FOLDER / "files.bin").write_bytes(files)
    lines = ",\n".join("  " + json.dumps(case) for case in index)
    (FOLDER / "index.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(index)} cases, {sum(path.stat().st_size for path in FOLDER.iterdir())} bytes")


if __name__ == "__main__":
    main()
