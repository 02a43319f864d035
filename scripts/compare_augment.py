"""The augmenter's ten operations as a script with Pillow and OpenCV does them, to compare the speed.

    pip install pillow==11.2.1 opencv-python-headless==4.11.0.86 numpy==2.4.6
    python scripts/compare_augment.py SOURCE OUTPUT [-n 2] [--processes 1] [--quality 95] [--seed 42]

SOURCE holds one folder per class, or train, valid and test folders of them, of which only train is
augmented. Each original is copied byte for byte, decoded once, and written N more times as
`{stem}_aug_{i}{ext}`, each copy changed by one operation. The last line of the output is JSON: what was
written, the seconds it took (without the interpreter's start and the imports), and the peak memory. As in
most such scripts the generators are seeded once per process, so that with more than one process the copies
differ from run to run.

OpenCV runs on one thread in every process: for images of a few hundred pixels its own threads cost more
than they save.
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
SPLITS = {"train", "valid", "val", "test"}
rng = random.Random()
numpy_rng = np.random.default_rng()


def start_process(seed):
    global numpy_rng
    rng.seed(seed)
    numpy_rng = np.random.default_rng(seed)
    cv2.setNumThreads(1)


def start_worker(seed):
    # Each process its own draws.
    start_process(seed + os.getpid())


# Pillow: an image in, an image out.


def brightness(image):
    return ImageEnhance.Brightness(image).enhance(rng.uniform(0.7, 1.3))


def contrast(image):
    return ImageEnhance.Contrast(image).enhance(rng.uniform(0.7, 1.3))


def mirror(image):
    return ImageOps.mirror(image)


def rotate(image):
    return image.rotate(rng.uniform(-15, 15), resample=Image.Resampling.BILINEAR)


def sharpness(image):
    return ImageEnhance.Sharpness(image).enhance(rng.uniform(0.7, 1.5))


# OpenCV: an array in, an array out; the order of the channels does not matter to any of them.


def flip(array):
    return cv2.flip(array, 1)


def blur(array):
    size = rng.choice([3, 5, 7])
    return cv2.GaussianBlur(array, (size, size), 0)


def rotate_and_scale(array):
    height, width = array.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-15, 15), rng.uniform(0.9, 1.1))
    return cv2.warpAffine(array, matrix, (width, height))


def noise(array):
    normal = numpy_rng.standard_normal(array.shape, dtype=np.float32)
    return np.clip(np.rint(array + 10 * normal), 0, 255).astype(np.uint8)


def perspective(array):
    height, width = array.shape[:2]
    corners = [(0, 0), (width, 0), (width, height), (0, height)]
    moved = []
    for x, y in corners:
        dx, dy = rng.uniform(0, 0.05 * width), rng.uniform(0, 0.05 * width)
        moved.append((x + dx if x == 0 else x - dx, y + dy if y == 0 else y - dy))
    matrix = cv2.getPerspectiveTransform(np.float32(corners), np.float32(moved))
    return cv2.warpPerspective(array, matrix, (width, height))


WITH_PILLOW = [brightness, contrast, mirror, rotate, sharpness]
WITH_OPENCV = [flip, blur, rotate_and_scale, noise, perspective]


def augment(image, array, path, quality):
    """Writes one copy; `array` makes OpenCV's view of the image when it is first needed."""
    is_jpeg = path.suffix.lower() in (".jpg", ".jpeg")
    if rng.random() < 0.5:
        result = rng.choice(WITH_PILLOW)(image)
        result.save(path, **({"quality": quality, "subsampling": 0} if is_jpeg else {}))
    else:
        result = rng.choice(WITH_OPENCV)(array())
        full = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        jpeg_options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, full]
        options = jpeg_options if is_jpeg else []
        if not cv2.imwrite(str(path), result, options):
            raise OSError(f"{path}: OpenCV could not write it")


def process(job):
    """One original and its copies; returns how many files were written."""
    source, target, copies, quality = job
    shutil.copyfile(source, target)
    if copies == 0:
        return 1
    with Image.open(source) as opened:
        upright = ImageOps.exif_transpose(opened)
        image = upright if upright.mode in ("L", "RGB") else upright.convert("RGB")
        image.load()
    converted = None

    def array():
        nonlocal converted
        if converted is None:
            converted = np.asarray(image)
            if image.mode == "RGB":
                converted = cv2.cvtColor(converted, cv2.COLOR_RGB2BGR)
        return converted

    stem, ending = os.path.splitext(target)
    for i in range(1, copies + 1):
        augment(image, array, Path(f"{stem}_aug_{i}{ending}"), quality)
    return 1 + copies


def find_jobs(source, output, copies, quality):
    """One job an image; makes the folders it will write to."""
    jobs = []
    is_split = any((source / name).is_dir() for name in SPLITS)
    for folder, folders, names in os.walk(source):
        folders.sort()
        relative = Path(folder).relative_to(source)
        wanted = copies if not is_split or relative.parts[:1] == ("train",) else 0
        images = sorted(name for name in names if os.path.splitext(name)[1].lower() in ENDINGS)
        if images:
            (output / relative).mkdir(parents=True, exist_ok=True)
        for name in images:
            jobs.append((os.path.join(folder, name), str(output / relative / name), wanted, quality))
    return jobs


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("-n", "--copies", type=int, default=2)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--quality", type=int, default=95)
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()

    start = time.perf_counter()
    jobs = find_jobs(args.source, args.output, args.copies, args.quality)
    if args.processes == 1:
        start_process(args.seed)
        written = sum(process(job) for job in jobs)
    else:
        chunk = max(1, min(64, len(jobs) // (args.processes * 4)))
        with multiprocessing.Pool(args.processes, start_worker, (args.seed,)) as pool:
            written = sum(pool.imap_unordered(process, jobs, chunksize=chunk))
            # An orderly end, so that the children's peak memory is known.
            pool.close()
            pool.join()
    seconds = time.perf_counter() - start

    report = {
        "originals": len(jobs),
        "written": written,
        "seconds": round(seconds, 3),
        "files_per_second": round(written / seconds, 1),
        "peak_rss_self_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "peak_rss_largest_child_kib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss,
        "processes": args.processes,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
