#!/usr/bin/env python3
"""Does `exact` mode agree with Pillow to 1 level per channel?

    compare_with_pillow.py CROP_DUMP ODD_TABLE [SHARED_DATA]

Runs CROP_DUMP on pictures made here (always), and on SHARED_DATA's catalog/ and the files of odd/ whose expected
status in ODD_TABLE is ok or truncated (where they are), bilinear and bicubic, and compares each crop with what
Pillow makes of the file in the way a training script does:

    exif_transpose -> over white / RGB -> shorter side to 256 -> centre crop 224     (torchvision's roundings)

Needs numpy and Pillow only, at the versions in tests/requirements-pillow.txt; ends with 77 (skipped) without.
"""

import io
import os
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib

SKIPPED = 77
PILLOW = "13.0.0"
try:
    import numpy as np
    import PIL
    from PIL import Image, ImageDraw, ImageFile, ImageOps
except ImportError as error:
    print(f"SKIPPED: {error}: pip install -r tests/requirements-pillow.txt")
    sys.exit(SKIPPED)

STATUS_OK, STATUS_TRUNCATED = 0, 1
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def to_rgb_over_white(im):
    """Alpha over white where there is any, else convert: bg.paste(im, mask=alpha) is the usual idiom."""
    if "A" in im.mode or "a" in im.mode or "transparency" in im.info:
        im = im.convert("RGBA")
        paper = Image.new("RGB", im.size, (255, 255, 255))
        paper.paste(im, mask=im.getchannel("A"))
        return paper
    return im.convert("RGB")


def reference_crop(path, resample, resize, size):
    """[size, size, 3] uint8, by torchvision's Resize(resize, antialias) and CenterCrop(size) on Pillow images."""
    with Image.open(path) as im:
        im.load()
        im = to_rgb_over_white(ImageOps.exif_transpose(im))
    w, h = im.size
    short, long = min(w, h), max(w, h)
    new_short, new_long = resize, int(resize * long / short)
    new_w, new_h = (new_short, new_long) if w <= h else (new_long, new_short)
    im = im.resize((new_w, new_h), FILTERS[resample])
    out = np.zeros((size, size, 3), np.uint8)
    left = (size - new_w) // 2 if size > new_w else 0
    top = (size - new_h) // 2 if size > new_h else 0
    x = int(round((new_w - size) / 2.0)) if size <= new_w else 0
    y = int(round((new_h - size) / 2.0)) if size <= new_h else 0
    part = np.asarray(im.crop((x, y, min(x + size, new_w), min(y + size, new_h))))
    out[top : top + part.shape[0], left : left + part.shape[1]] = part
    return out


def run_crop_dump(program, paths, resample, resize=256, size=224, mode="exact"):
    """For each path (status, width, height, orientation, crop)."""
    done = subprocess.run([program, mode, resample, str(resize), str(size)], input="\n".join(paths).encode() + b"\n",
                          stdout=subprocess.PIPE, check=True)
    n = 16 + 3 * size * size
    assert len(done.stdout) == n * len(paths), (len(done.stdout), len(paths))
    for i in range(len(paths)):
        record = done.stdout[i * n : (i + 1) * n]
        yield *struct.unpack("4i", record[:16]), np.frombuffer(record[16:], np.uint8).reshape(size, size, 3)


# ---- generated pictures -------------------------------------------------------------------------------------


def scene(w, h, seed, mode="RGB"):
    """Smooth ground, hard edges, noise: what resizing and chroma upsampling go wrong on."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    ground = np.stack([127 + 120 * np.sin(x / (7 + 9 * c) + seed) * np.cos(y / (11 + 5 * c)) for c in range(3)], -1)
    im = Image.fromarray(np.clip(ground + rng.normal(0, 12, ground.shape), 0, 255).astype(np.uint8), "RGB")
    draw = ImageDraw.Draw(im)
    for _ in range(12):
        x0, y0 = int(rng.integers(0, w)), int(rng.integers(0, h))
        draw.ellipse((x0, y0, x0 + max(1, w // 4), y0 + max(1, h // 5)), fill=tuple(int(v) for v in rng.integers(0, 256, 3)))
    if mode == "RGBA":
        alpha = np.clip(128 + 160 * np.sin(x / 13.0) + rng.normal(0, 20, x.shape), 0, 255)
        im.putalpha(Image.fromarray(alpha.astype(np.uint8), "L"))
        return im
    return im.convert(mode)


def with_orientation(value):
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def png_bytes(w, h, depth, color, rows, extra=b"", interlace=0):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, color, 0, 0, interlace)) + extra
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def interlaced_png(im):
    """Adam7 by hand: Pillow does not write it."""
    pixels = np.asarray(im)
    rows = b""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
        part = pixels[y0::dy, x0::dx]
        if part.size:
            rows += b"".join(b"\0" + row.tobytes() for row in part)
    return png_bytes(im.width, im.height, 8, 2, rows, interlace=1)


def color_png(w, h, depth, channels, color):
    """Depth 16 of any channels; Pillow writes only some."""
    pixels = np.random.default_rng(w + color).integers(0, 65536 if depth == 16 else 256, (h, w * channels))
    pixels = pixels // np.where(np.arange(w * channels) // channels % 3 == 0, 256, 1)  # some below 256
    return png_bytes(w, h, depth, color, b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels))


def generate_jpegs(save):
    sizes = [(348, 348), (400, 533), (533, 400), (300, 200), (225, 300), (256, 256), (255, 257), (224, 224), (1, 1),
             (2, 1), (1, 300), (900, 3), (17, 4000), (4000, 19), (33, 31), (1999, 1501), (640, 641), (7, 5)]
    for i, (w, h) in enumerate(sizes):
        for subsampling in (0, 1, 2):
            save(f"rgb_{w}x{h}_s{subsampling}.jpg", scene(w, h, i), quality=60 + 5 * (i % 7), subsampling=subsampling)
    for value in range(0, 10):
        for w, h in ((400, 301), (301, 400), (352, 288), (90, 37)):
            save(f"turn{value}_{w}x{h}.jpg", scene(w, h, value), exif=with_orientation(value), quality=90)
    for mode in ("L", "CMYK"):
        for w, h in ((400, 300), (299, 517), (5, 9)):
            save(f"{mode}_{w}x{h}.jpg", scene(w, h, w, mode), quality=85)
    for w, h in ((400, 300), (299, 517), (2000, 1100)):
        save(f"progressive_{w}x{h}.jpg", scene(w, h, h), progressive=True, quality=80)
        save(f"progressive444_{w}x{h}.jpg", scene(w, h, h), progressive=True, quality=80, subsampling=0)
        save(f"restart_{w}x{h}.jpg", scene(w, h, h), restart_marker_blocks=3, quality=80)
        save(f"optimized_{w}x{h}.jpg", scene(w, h, h), optimize=True, quality=97)
    save("rgb_kept.jpg", scene(333, 444, 3), keep_rgb=True)


def generate_others(save, write):
    for w, h in ((400, 300), (231, 457), (3, 2), (1, 1), (1500, 90)):
        rgb, rgba = scene(w, h, w), scene(w, h, h, "RGBA")
        save(f"rgb_{w}x{h}.png", rgb)
        save(f"rgba_{w}x{h}.png", rgba)
        for mode in ("L", "LA", "1"):
            save(f"{mode}_{w}x{h}.png", rgba.convert("LA") if mode == "LA" else rgb.convert(mode))
        for colors in (2, 4, 16, 250):
            save(f"p{colors}_{w}x{h}.png", rgb.quantize(colors))
        save(f"p_key_{w}x{h}.png", rgb.quantize(16), transparency=3)
        save(f"p_alpha_{w}x{h}.png", rgb.quantize(64), transparency=bytes(range(0, 256, 4)))
        save(f"l_key_{w}x{h}.png", rgb.convert("L"), transparency=120)
        save(f"rgb_key_{w}x{h}.png", rgb, transparency=rgb.getpixel((0, 0)))
        write(f"gray16_{w}x{h}.png", color_png(w, h, 16, 1, 0))
        write(f"rgb16_{w}x{h}.png", color_png(w, h, 16, 3, 2))
        write(f"la16_{w}x{h}.png", color_png(w, h, 16, 2, 4))
        write(f"rgba16_{w}x{h}.png", color_png(w, h, 16, 4, 6))
        write(f"interlaced_{w}x{h}.png", interlaced_png(rgb))
        save(f"{w}x{h}.gif", rgb.quantize(200))
        save(f"gray_{w}x{h}.gif", rgb.convert("L"))
        save(f"key_{w}x{h}.gif", rgb.quantize(100), transparency=7)
        save(f"interlaced_{w}x{h}.gif", rgb.quantize(50), interlace=1)
        save(f"animated_{w}x{h}.gif", rgb.quantize(50), save_all=True, append_images=[rgb.rotate(90).resize((w, h))])
        save(f"rgb_{w}x{h}.webp", rgb, quality=80)
        save(f"rgba_{w}x{h}.webp", rgba, quality=80)
        save(f"lossless_{w}x{h}.webp", rgba, lossless=True)
        save(f"animated_{w}x{h}.webp", rgba, save_all=True, append_images=[rgba.rotate(180)], duration=100)
    for value in (3, 6):
        save(f"turn{value}.png", scene(320, 200, value), exif=with_orientation(value))
        save(f"turn{value}.webp", scene(320, 200, value), exif=with_orientation(value))


def truncate(write, folder, name, share):
    with open(os.path.join(folder, name), "rb") as file:
        data = file.read()
    write(f"cut{int(100 * share)}_{name}", data[: int(len(data) * share)])


def generate(folder):
    """Write the pictures and list them: (path, expected status)."""
    made = []

    def write(name, data, status=STATUS_OK):
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(data)
        made.append((path, STATUS_TRUNCATED if name.startswith("cut") else status))

    def save(name, im, **options):
        data = io.BytesIO()
        im.save(data, {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP"}[name.split(".")[-1]], **options)
        write(name, data.getvalue())

    generate_jpegs(save)
    generate_others(save, write)
    # Not a 4:2:0 progressive one: libjpeg-turbo smooths those across blocks while they are incomplete, and its
    # issue 721, put right after the 2.1.5 that Debian 12 has, changed that by up to 7 levels.
    for name in ("rgb_400x533_s2.jpg", "rgb_348x348_s0.jpg", "turn6_400x301.jpg", "progressive444_400x300.jpg",
                 "CMYK_400x300.jpg", "L_400x300.jpg", "rgb_400x300.png", "rgba_400x300.png", "p250_400x300.png",
                 "interlaced_400x300.png", "400x300.gif", "key_400x300.gif", "interlaced_400x300.gif"):
        for share in (0.3, 0.7, 0.97):
            truncate(write, folder, name, share)
    return made


# ---- comparison ---------------------------------------------------------------------------------------------


def compare(program, pictures, resample, resize=256, size=224):
    """Print the worst pictures; answer how many are off by more than a level, or have the wrong status."""
    worst, counts, bad = [], [0, 0, 0], 0
    found = run_crop_dump(program, [path for path, _ in pictures], resample, resize, size)
    for (path, expected), (status, _, _, _, crop) in zip(pictures, found):
        if status != expected:
            print(f"  {path}: status {status}, expected {expected}")
            bad += 1
            continue
        difference = np.abs(crop.astype(int) - reference_crop(path, resample, resize, size).astype(int)).max()
        counts[min(int(difference), 2)] += 1
        worst.append((int(difference), path))
    worst.sort(reverse=True)
    for difference, path in worst[:40]:
        if difference > 1:
            print(f"  {path}: differs by {difference} levels")
            bad += 1
    print(f"{resample} {resize}/{size}: {len(pictures)} pictures, {counts[0]} equal, {counts[1]} within 1 level, "
          f"{counts[2]} beyond")
    return bad


def shared_pictures(shared, odd_table):
    """[(path, expected status)] of catalog/ and the scored files of odd/; says what is not there."""
    catalog, odd = os.path.join(shared, "catalog"), os.path.join(shared, "odd")
    pictures = []
    if not os.path.isdir(catalog) or not os.path.isdir(odd):
        print(f"SKIPPED the real photographs: {shared} is not here (EYESORE_SHARED_DATA)")
        return pictures
    pictures = [(os.path.join(catalog, name), STATUS_OK) for name in sorted(os.listdir(catalog))]
    with open(odd_table, encoding="utf-8") as table:
        for line in table.read().splitlines()[1:]:
            name, status = line.split("\t")[:2]
            if status in ("ok", "truncated"):
                pictures.append((os.path.join(odd, name), STATUS_OK if status == "ok" else STATUS_TRUNCATED))
    return pictures


def main():
    program, odd_table = sys.argv[1:3]
    if PIL.__version__ != PILLOW:
        print(f"SKIPPED: Pillow {PIL.__version__} is here, {PILLOW} is needed: "
              "pip install -r tests/requirements-pillow.txt")
        return SKIPPED
    warnings.simplefilter("ignore")
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        pictures = generate(folder)
        for resample in FILTERS:
            bad += compare(program, pictures, resample)
        few = pictures[::7]
        bad += compare(program, few, "bilinear", 232, 224) + compare(program, few, "bicubic", 100, 161)
        bad += compare(program, few, "bilinear", 299, 299)
    real = shared_pictures(sys.argv[3] if len(sys.argv) > 3 else "", odd_table)
    for resample in FILTERS if real else ():
        bad += compare(program, real, resample)
    print("FAILED" if bad else "all agree")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
