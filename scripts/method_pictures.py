"""Make the pictures of docs/methods.md anew: `python scripts/method_pictures.py`.

The real service draws them. Nothing in them is of a data set: photographs in one picture, a
sentence and a record written for this page, and a curve that looks like a heartbeat.
"""

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from candor.cli.demonstration.photographs import PHOTOGRAPHS
from candor.cli.demonstration.service import running_service
from candor.client import Client
from candor.explain.options import METHODS
from candor.result import Array, Explained

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs/images/methods"
TARGETS = ("espresso", "tabby cat")
SENTENCE = "It is not a bad film, only a dull one."
RECORD = (44, 4, 180_000, 12, 14, 2, 4, 0, 4, 1, 0, 0, 50, 2)
EXPLAINED: dict[str, Explained] = {
    "text": "probability",
    "record": "probability",
    "series": "score",
}
WAVES = ((18, 0.4, 4), (36, -0.8, 2), (40, 3.0, 2.2), (45, -1.2, 2), (68, 0.8, 7))


def main() -> None:
    """Draw each method for two targets, and each other kind of input by two methods."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as name,
        running_service(ROOT / "models/repository", Path(name) / "service.log") as service,
        Client(service.address) as client,
    ):
        mosaic = next(each for each in PHOTOGRAPHS if each.name == "mosaic").pixels()
        # at the last layer they are one map: the head is a mean and a linear layer
        layers = client.model("photos").layers
        early = [name for name, shape in layers.items() if shape[-2:] == (16, 16)][-1]
        for method in METHODS:
            options = {"layer": early} if "_cam" in method else {}
            found = client.explain(
                "photos", [{method: options}], images=[mosaic], targets=[list(TARGETS)], render=0.6
            )
            pair = [_opened(answer.drawing.content) for answer in found.answers if answer.drawing]
            _save(_side_by_side(pair, 8), f"{method}.jpg")
        kinds = {
            "text": ("sentences", {"texts": [SENTENCE]}),
            "record": ("adult-mlp", {"tensors": {"record": np.array([RECORD], np.float32)}}),
            "series": ("ecg200-fcn", {"tensors": {"series": _beat()}}),
        }
        for kind, (model, rows) in kinds.items():
            options = {"n_segments": 16} if kind == "series" else {}
            found = client.explain(
                model, [{"lime": options}], explained=EXPLAINED[kind], render="png", **rows
            )
            drawing = found.of("lime").drawing
            if drawing is not None:
                _save(_opened(drawing.content), f"lime-{kind}.png")


def _beat() -> Array:
    step = np.arange(96)
    curve = sum(
        height * np.exp(-((step - at) ** 2) / (2 * width**2)) for at, height, width in WAVES
    )
    return np.asarray(curve - np.mean(curve), np.float32)[None, :, None]


def _opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def _side_by_side(pictures: list[Image.Image], gap: int) -> Image.Image:
    width = sum(picture.width + gap for picture in pictures) - gap
    sheet = Image.new("RGB", (width, pictures[0].height), (255, 255, 255))
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + gap
    return sheet


def _save(picture: Image.Image, name: str) -> None:
    if name.endswith(".jpg"):
        small = picture.resize((640, round(picture.height * 640 / picture.width)))
        small.save(FOLDER / name, quality=80, optimize=True, progressive=True)
    else:
        picture.save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    main()
