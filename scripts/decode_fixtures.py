"""Writes the images of tests/fixtures/decode and what Pillow makes of each.

    pip install pillow==11.2.1 numpy==2.4.6
    python scripts/decode_fixtures.py            # from the package's root

For each image `name.ext` there is `name.ext.rgb`: width and height as little-endian u32, then the bytes of
`ImageOps.exif_transpose(Image.open(f)).convert("RGB")`. The patterns are drawn by formula; no photograph is involved.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

OUT = Path("tests/fixtures/decode")
W, H = 17, 11  # odd and not square, so that padding and turning show


def pattern(width=W, height=H):
    """Colour ramps with a few sharp blocks: every channel covers 0 and 255."""
    y, x = np.mgrid[0:height, 0:width]
    r = x * 255 // (width - 1)
    g = y * 255 // (height - 1)
    b = (x * 7 + y * 13) % 256
    rgb = np.stack([r, g, b], -1).astype(np.uint8)
    rgb[2:5, 3:8] = [250, 20, 60]
    rgb[height - 4 :, width - 6 :] = [0, 90, 255]
    return rgb


def smooth(width, height):
    """What JPEG keeps well: slow waves in every channel, and one edge."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [128 + 100 * np.sin(x / 9 + k) * np.cos(y / 7 - k) for k in range(3)]
    rgb = np.stack(waves, -1)
    rgb[height // 3 : height // 2, width // 4 : width // 2] = [230, 120, 40]
    return rgb.clip(0, 255).astype(np.uint8)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(name, values, colour, depth, before=(), after=(), interlaced=False):
    """A PNG by hand, because Pillow writes neither 16-bit colour nor interlaced files. values: [H, W, channels]."""

    def rows(part):
        lines = []
        for line in part:
            if depth == 16:
                data = line.astype(">u2").tobytes()
            elif depth == 8:
                data = line.astype(np.uint8).tobytes()
            else:
                bits = ((line.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8)
                data = np.packbits(bits.reshape(-1)).tobytes()
            lines.append(b"\0" + data)
        return b"".join(lines)

    height, width = values.shape[:2]
    if interlaced:
        data = b"".join(rows(values[y0::dy, x0::dx]) for x0, y0, dx, dy in ADAM7 if values[y0::dy, x0::dx].size)
    else:
        data = rows(values)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    chunks = [chunk(b"IHDR", header), *before, chunk(b"IDAT", zlib.compress(data, 9)), *after, chunk(b"IEND", b"")]
    save(name, b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def save(name, data):
    path = OUT / name
    path.write_bytes(data)
    with Image.open(io.BytesIO(data)) as image:
        rgb = ImageOps.exif_transpose(image).convert("RGB")
    path.with_name(name + ".rgb").write_bytes(struct.pack("<II", *rgb.size) + rgb.tobytes())


def save_with_pillow(name, image, **options):
    data = io.BytesIO()
    image.save(data, **options)
    save(name, data.getvalue())


def exif(orientation, endian="<"):
    """The smallest EXIF block: one directory with one tag."""
    head = b"II*\0" if endian == "<" else b"MM\0*"
    entry = struct.pack(endian + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return head + struct.pack(endian + "IH", 8, 1) + entry + struct.pack(endian + "I", 0)


def xmp(orientation):
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


def jpeg_segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def pngs():
    rgb = pattern()
    y, x = np.mgrid[0:H, 0:W]
    grey = rgb[..., 2:]
    alpha = ((x * 12 + y * 3) % 256)[..., None]
    # 16-bit values whose low bytes differ from their high bytes, some of them below 256.
    wide = rgb.astype(int) * 256 + (rgb.astype(int) * 5 + 77) % 256
    wide_grey = np.where(x < 6, x * 40 + y, wide[..., 0])[..., None]
    png("grey1.png", ((x * x + y) // 5 % 2)[..., None], 0, 1)
    png("grey2.png", ((x + y) % 4)[..., None], 0, 2)
    png("grey4.png", ((x + 2 * y) % 16)[..., None], 0, 4)
    png("grey8.png", grey, 0, 8)
    png("grey8-trns.png", grey, 0, 8, before=[chunk(b"tRNS", struct.pack(">H", int(grey[0, 0, 0])))])
    png("grey16.png", wide_grey, 0, 16)
    png("la8.png", np.concatenate([grey, alpha], -1), 4, 8)
    png("la16.png", np.concatenate([wide_grey, alpha * 256], -1), 4, 16)
    png("rgb8.png", rgb, 2, 8)
    png("rgb8-trns.png", rgb, 2, 8, before=[chunk(b"tRNS", struct.pack(">HHH", 250, 20, 60))])
    png("rgb16.png", wide, 2, 16)
    png("rgba8.png", np.concatenate([rgb, alpha], -1), 6, 8)
    png("rgba16.png", np.concatenate([wide, alpha * 256], -1), 6, 16)
    palette = chunk(b"PLTE", bytes((i * k + k) % 256 for i in range(40) for k in (3, 50, 111)))
    indices = ((x * 2 + y * 3) % 40)[..., None]
    transparency = chunk(b"tRNS", bytes(range(0, 200, 20)))
    png("palette8.png", indices, 3, 8, before=[palette])
    png("palette8-trns.png", indices, 3, 8, before=[palette, transparency])
    few = {bits: chunk(b"PLTE", bytes((i * k + k) % 256 for i in range(2**bits) for k in (3, 50, 111))) for bits in (1, 2, 4)}
    for bits in (1, 2, 4):
        png(f"palette{bits}.png", indices % 2**bits, 3, bits, before=[few[bits]])
    png("palette8-short.png", indices, 3, 8, before=[chunk(b"PLTE", bytes(range(30, 90)))])
    png("interlaced-rgb8.png", rgb, 2, 8, interlaced=True)
    png("interlaced-grey4.png", ((x + 2 * y) % 16)[..., None], 0, 4, interlaced=True)
    png("gamma.png", rgb, 2, 8, before=[chunk(b"gAMA", struct.pack(">I", 100000))])
    png("exif6.png", rgb, 2, 8, before=[chunk(b"eXIf", exif(6))])
    png("exif8-after.png", rgb, 2, 8, after=[chunk(b"eXIf", exif(8, ">"))])
    raw = (b"Exif\0\0" + exif(5)).hex()
    png("exif5-text.png", rgb, 2, 8, before=[chunk(b"tEXt", f"Raw profile type exif\0\nexif\n{len(raw) // 2:8}\n{raw}\n".encode())])
    png("xmp3.png", rgb, 2, 8, before=[chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp(3))])


def jpegs():
    colour = Image.fromarray(smooth(32, 32))
    odd = Image.fromarray(smooth(43, 29))
    save_with_pillow("grey.jpg", colour.convert("L"), format="JPEG", quality=90)
    save_with_pillow("444.jpg", colour, format="JPEG", quality=95, subsampling="4:4:4")
    save_with_pillow("422.jpg", colour, format="JPEG", quality=90, subsampling="4:2:2")
    save_with_pillow("420.jpg", colour, format="JPEG", quality=90, subsampling="4:2:0")
    save_with_pillow("420-odd.jpg", odd, format="JPEG", quality=90, subsampling="4:2:0")
    save_with_pillow("progressive.jpg", odd, format="JPEG", quality=90, progressive=True)
    save_with_pillow("restart.jpg", odd, format="JPEG", quality=90, restart_marker_blocks=1)
    save_with_pillow("rgb.jpg", odd, format="JPEG", quality=95, keep_rgb=True)
    inks = np.concatenate([255 - smooth(43, 29), smooth(43, 29)[..., :1] // 2], -1)
    save_with_pillow("cmyk.jpg", Image.fromarray(inks, "CMYK"), format="JPEG", quality=95)
    # Adobe's mark says how to read the very same samples: 2 = YCCK, none = CMYK.
    plain = (OUT / "cmyk.jpg").read_bytes()
    at = plain.index(b"Adobe")
    assert plain[at - 4 : at - 2] == b"\xff\xee" and plain[at + 11] in (0, 2)
    save("ycck.jpg", plain[: at + 11] + bytes([2 - plain[at + 11]]) + plain[at + 12 :])
    save("cmyk-unmarked.jpg", plain[: at - 4] + plain[at + 12 :])
    small = Image.fromarray(pattern(16, 8))
    for orientation in range(1, 9):
        block = b"Exif\0\0" + exif(orientation, "<>"[orientation % 2])
        save_with_pillow(f"exif{orientation}.jpg", small, format="JPEG", quality=95, subsampling="4:4:4", exif=block)
    save_with_pillow("xmp6.jpg", small, format="JPEG", quality=95, subsampling="4:4:4", xmp=xmp(6))
    # A thumbnail with its own end marker inside the EXIF segment, and rubbish after the image's own.
    thumbnail = io.BytesIO()
    small.resize((4, 2)).save(thumbnail, "JPEG", quality=20)
    block = b"Exif\0\0" + exif(3) + thumbnail.getvalue()
    data = io.BytesIO()
    small.save(data, "JPEG", quality=95, subsampling="4:4:4", exif=block)
    save("thumbnail.jpg", data.getvalue() + b"left over")


def others():
    rgb = Image.fromarray(pattern())
    alpha = Image.fromarray(np.concatenate([pattern(), pattern()[..., 2:]], -1), "RGBA")
    save_with_pillow("rgb.bmp", rgb, format="BMP")
    save_with_pillow("rgba.bmp", alpha, format="BMP")
    save_with_pillow("palette.bmp", rgb.quantize(16), format="BMP")
    save_with_pillow("grey.bmp", rgb.convert("L"), format="BMP")
    save_with_pillow("bilevel.bmp", rgb.convert("1"), format="BMP")
    save_with_pillow("lossless.webp", rgb, format="WEBP", lossless=True)
    save_with_pillow("lossless-alpha.webp", alpha, format="WEBP", lossless=True, exact=True)
    save_with_pillow("exif6.webp", rgb, format="WEBP", lossless=True, exif=b"Exif\0\0" + exif(6))
    save_with_pillow("lossy.webp", Image.fromarray(smooth(32, 32)), format="WEBP", quality=90)
    save_with_pillow("rgb.tif", rgb, format="TIFF")
    save_with_pillow("rgb-lzw.tif", rgb, format="TIFF", compression="tiff_lzw")
    save_with_pillow("rgba.tif", alpha, format="TIFF")
    save_with_pillow("grey.tif", rgb.convert("L"), format="TIFF")
    save_with_pillow("bilevel.tif", rgb.convert("1"), format="TIFF")
    save_with_pillow("palette.tif", rgb.quantize(16), format="TIFF")
    save_with_pillow("exif6.tif", rgb, format="TIFF", tiffinfo={274: 6})
    inks = np.concatenate([pattern(), pattern()[:, ::-1, :1]], -1)
    save_with_pillow("cmyk.tif", Image.fromarray(inks, "CMYK"), format="TIFF")
    y, x = np.mgrid[0:H, 0:W]
    save_with_pillow("grey16.tif", Image.fromarray((x * 37 + y * 5).astype(np.uint16)), format="TIFF")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    pngs()
    jpegs()
    others()
    files = sorted(OUT.iterdir())
    print(len(files), "files,", sum(file.stat().st_size for file in files), "bytes")
