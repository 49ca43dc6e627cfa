"""Writes what torchvision and Pillow make of images, for published-image.test.ts: the transform of the
published code, Resize(S) and CenterCrop(S) of what torchvision's folder of images loads.

    python3 -m venv reference && reference/bin/pip install pillow==11.0.0 numpy torchvision==0.28.0
    reference/bin/python test/data/encoded/reference.py

Small images of every kind are kept in images/ with the results, so that both sides read the same files;
pixels for the sizes are made by one formula on both sides.
"""

import base64
import json
import pathlib
import struct
import zlib

import numpy as np
import PIL
import torchvision
from PIL import Image, ImageCms
from torchvision import transforms

folder = pathlib.Path(__file__).parent
images = folder / "images"
images.mkdir(exist_ok=True)


def transformed(image: Image.Image, size: int) -> np.ndarray:
    """(channels, height, width)"""
    both = transforms.Compose([transforms.Resize(size), transforms.CenterCrop(size)])
    pixels = np.asarray(both(image)).reshape(size, size, -1)
    return pixels.transpose(2, 0, 1)


def text(numbers: np.ndarray) -> str:
    return base64.b64encode(numbers.tobytes()).decode()


def made(height: int, width: int, channels: int) -> np.ndarray:
    """Grey levels by a formula: waves, sharp edges, and what looks like noise."""
    i = np.arange(height * width * channels, dtype=np.int64)
    noise = (i * 7919 + (i * i) % 8191) % 256
    edges = np.where((i // (5 * channels)) % 2 == 0, 0, 255)
    values = np.where(i % 3 == 0, noise, np.where((i // 40) % 2 == 0, edges, (i // 11) % 256))
    return values.astype(np.uint8).reshape(height, width, channels)


def of_size(height: int, width: int, channels: int, size: int) -> dict:
    pixels = made(height, width, channels)
    image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    return {
        "height": height,
        "width": width,
        "channels": channels,
        "size": size,
        "values": text(transformed(image, size)),
    }


sizes = [
    (375, 500, 3, 32), (500, 333, 3, 24), (64, 64, 3, 64), (64, 97, 3, 64), (31, 64, 1, 16),
    (17, 200, 3, 9), (230, 19, 1, 12), (5, 7, 3, 16), (1, 1, 3, 4), (3, 2, 1, 5), (200, 200, 3, 1),
    (45, 91, 1, 33), (91, 46, 3, 31), (128, 129, 3, 8), (129, 128, 1, 8), (12, 37, 3, 12),
]  # fmt: skip


def png16(path: pathlib.Path, pixels: np.ndarray) -> None:
    """Colours of 16 bits, which Pillow reads and does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, _ = pixels.shape
    lines = b"".join(b"\0" + (row.astype(">u2") * 256 + 77).astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def other_profile() -> bytes:
    """sRGB with red and green exchanged: who reads it sees other colours."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.find(b"rXYZ"), profile.find(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def write_kinds() -> None:
    random = np.random.default_rng(3)
    y, x = np.mgrid[0:24, 0:30]
    pixels = np.stack([x * 8, y * 10, (x + y) * 4], -1) + random.integers(0, 16, (24, 30, 3))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    rgb = Image.fromarray(pixels)
    grey = rgb.convert("L")
    alpha = Image.fromarray((x * 8).astype(np.uint8))
    rgba, grey_alpha = rgb.copy(), grey.copy()
    rgba.putalpha(alpha)
    grey_alpha.putalpha(alpha)
    palette = rgb.quantize(30)
    side = Image.Exif()
    side[0x112] = 6

    rgb.save(images / "colour.jpg", quality=90)
    rgb.save(images / "colour-444.jpg", quality=90, subsampling=0)
    rgb.save(images / "progressive.jpg", quality=80, progressive=True)
    grey.save(images / "grey.jpg")
    rgb.convert("CMYK").save(images / "cmyk.jpg", quality=92)
    rgb.save(images / "on-its-side.jpg", quality=90, exif=side.tobytes())
    rgb.save(images / "profile.jpg", quality=90, icc_profile=other_profile())
    whole = (images / "colour.jpg").read_bytes()
    (images / "bytes-before-end.jpg").write_bytes(whole[:-2] + b"\x12\x34\x56" + whole[-2:])
    rgb.save(images / "colour.png")
    grey.save(images / "grey.png")
    rgb.convert("1").save(images / "one-bit.png")
    rgba.save(images / "alpha.png")
    grey_alpha.save(images / "grey-alpha.png")
    palette.save(images / "palette.png")
    rgb.quantize(5).save(images / "palette-few.png")
    palette.save(images / "palette-transparent.png", transparency=3)
    rgb.save(images / "transparent-colour.png", transparency=(0, 0, 0))
    png16(images / "colour-16.png", pixels)
    rgb.convert("CMYK").save(images / "cmyk.tif")
    rgba.save(images / "alpha.webp", lossless=True)
    # A PNG by the name of a JPEG, as one image of ImageNet is.
    (images / "png-by-name.JPEG").write_bytes((images / "colour.png").read_bytes())


def of_kind(path: pathlib.Path) -> dict:
    """At its own height, which only crops, and scaled."""
    with Image.open(path) as image:
        rgb = image.convert("RGB")
        return {
            "mode": image.mode,
            "whole": text(transformed(rgb, 24)),
            "scaled": text(transformed(rgb, 10)),
            "grey": text(transformed(rgb.convert("L"), 10)),
        }


write_kinds()
reference = {
    "made by": f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}, "
    "test/data/encoded/reference.py",
    "sizes": [of_size(*case) for case in sizes],
    "kinds": {path.name: of_kind(path) for path in sorted(images.iterdir())},
}
(folder / "reference.json").write_text(json.dumps(reference, indent=2) + "\n")
