"""Writes the small images of this folder and expected.json (Pillow 10.4)."""

import hashlib
import json

import numpy as np
from PIL import Image

W, H = 24, 16
x, y = np.meshgrid(np.arange(W), np.arange(H))
rgb = np.stack([x * 10, y * 15, (x * y) % 256], -1).astype(np.uint8)
grey16 = (x * 2600 + y * 77).astype(np.uint16)
image = Image.fromarray(rgb)
other = Image.fromarray(255 - rgb)

image.save("rgb.bmp")
image.save("rgb.tiff")
image.save("rgb.webp", lossless=True)
image.quantize(64).save("frames.gif", save_all=True, append_images=[other.quantize(64)])
image.convert("L").point(lambda v: 255 * (v > 90)).convert("1").save("bits.png")
image.convert("L").save("grey.png")
image.convert("CMYK").save("cmyk.jpg", quality=95)
Image.fromarray(grey16).save("grey16.png")

expected = {}
for name in ["rgb.bmp", "rgb.tiff", "rgb.webp", "frames.gif", "bits.png", "grey.png"]:
    pixels = Image.open(name).convert("RGB").tobytes()
    expected[name] = hashlib.sha256(pixels).hexdigest()
high = np.repeat((grey16 >> 8).astype(np.uint8)[..., None], 3, -1)
expected["grey16.png"] = hashlib.sha256(high.tobytes()).hexdigest()
json.dump(expected, open("expected.json", "w"), indent=1)
Image.open("cmyk.jpg").convert("RGB").save("cmyk.jpg.decoded.png")
