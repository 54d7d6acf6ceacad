"""Files broken at random: whatever they hold, only candor's own errors come out.

Tens of thousands of cases were run when this was written; these few hundred keep it so.
"""

import random
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from candor.errors import CandorError, InvalidInput, InvalidModel, TooLarge
from candor.runtime.files import read_model
from candor.runtime.images import decode, fit
from candor.runtime.manifest import load_manifest
from candor.runtime.session import Session, SessionPolicy
from unit.runtime.builders import (
    encode,
    externalise,
    linear_model,
    mutated,
    with_right_checksums,
)

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (37, 53, 3), np.uint8))
SECOND = NOISE.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
EXIF = Image.Exif()
EXIF[0x0112] = 6

PICTURES = {
    "jpeg": encode(NOISE, "JPEG", exif=EXIF, icc_profile=bytes(200)),
    "progressive jpeg": encode(NOISE, "JPEG", progressive=True),
    "cmyk jpeg": encode(NOISE.convert("CMYK"), "JPEG"),
    "png": encode(NOISE, "PNG", exif=EXIF, icc_profile=bytes(300)),
    "palette png": encode(NOISE.convert("P"), "PNG", transparency=3),
    "alpha png": encode(NOISE.convert("LA"), "PNG"),
    "animated png": encode(NOISE, "PNG", save_all=True, append_images=[SECOND]),
    "webp": encode(NOISE, "WEBP", exif=EXIF),
    "lossless webp": encode(NOISE.convert("RGBA"), "WEBP", lossless=True),
    "animated webp": encode(NOISE, "WEBP", save_all=True, append_images=[SECOND]),
}


# Pillow warns of broken EXIF data and animations, which the server ignores as browsers do
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", PICTURES)
def test_a_picture_broken_at_random_is_decoded_or_refused(kind):
    rng = random.Random(kind)
    seen = Counter()
    for _ in range(60):
        content = mutated(PICTURES[kind], rng)
        if rng.random() < 0.6:
            content = with_right_checksums(content)
        try:
            picture = decode(content, 0, max_pixels=1_000_000)
        except (InvalidInput, TooLarge) as error:
            seen[type(error)] += 1
            assert error.message.startswith("row 0: ")  # noqa: PT017 - many cases, one test
        else:
            seen["decoded"] += 1
            assert picture.mode == "RGB"
            assert fit(picture, (4, 4), "crop")[0].size == (4, 4)
    assert seen[InvalidInput] > 10


def test_a_model_broken_at_random_is_loaded_or_refused(tmp_path):
    rng = random.Random(1)
    external = linear_model()
    (tmp_path / "w.bin").write_bytes(externalise(external, "w.bin"))
    seeds = [linear_model().SerializeToString(), external.SerializeToString()]
    path = tmp_path / "model.onnx"
    seen = Counter()
    for _ in range(250):
        path.write_bytes(mutated(rng.choice(seeds), rng))
        try:
            session = Session(read_model(path).proto, SessionPolicy(("cpu",)))
        except InvalidModel:
            seen["refused"] += 1
            continue
        seen["loaded"] += 1
        feeds = {
            spec.name: np.zeros(
                [size if 0 <= size < 1000 else 1 for size in spec.shape], spec.dtype
            )
            for spec in session.inputs
        }
        try:
            session.run(feeds)
        except CandorError:
            seen["not run"] += 1
    assert seen["refused"] > 100
    assert seen["loaded"] > 10


def test_a_manifest_broken_at_random_is_read_or_refused(tmp_path):
    rng = random.Random(2)
    text = b"""title = "a"
labels = ["cat", "dog"]
activation = "softmax"
[input]
kind = "image"
size = [64, 48]
range = [-1, 1]
mean = [0.5, 0.25, 0]
[explain]
baseline = 0
"""
    seen = Counter()
    for _ in range(200):
        (tmp_path / "model.toml").write_bytes(mutated(text, rng))
        try:
            load_manifest(tmp_path)
        except InvalidModel as error:
            seen["refused"] += 1
            assert "model.toml" in error.message  # noqa: PT017 - many cases, one test
        else:
            seen["read"] += 1
    assert seen["refused"] > 100
    assert seen["read"] > 2
