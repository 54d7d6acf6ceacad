"""Turn what the caller sent into the model's own tensors, as the manifest says.

Invariant: `plan` finds out at load whether manifest and graph fit each other; what `encode` returns
has passed `check_tensors`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from candor.errors import InvalidInput, InvalidModel, TooLarge
from candor.result import Array, Encoded, Images, Payload, Tensors, Texts
from candor.runtime import images, tokens
from candor.runtime.columns import check_columns
from candor.runtime.inputs import ImageInput, Layout, TokensInput
from candor.runtime.manifest import Manifest
from candor.runtime.specs import TensorSpec, check_tensors

__all__ = ["ImagePlan", "Preprocessing", "TextPlan", "encode", "find_input", "plan"]


# A picture of one colour is small however many pixels it has: a request of the largest size that is
# taken could otherwise hold hundreds of the largest pictures, each worth seconds.
_FULL_PICTURES = 4


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """How pictures are prepared, with nothing left to find out.

    Attributes:
        spec: of the input that they become.
        section: the manifest's word, layout and size filled in.
        scale, offset: float32 [c]: a channel's value is byte * scale + offset.
        max_pixels: that may be decoded of one picture.
    """

    spec: TensorSpec
    section: ImageInput
    layout: Layout
    size: tuple[int, int]
    scale: Array
    offset: Array
    max_pixels: int


@dataclass(frozen=True, slots=True)
class TextPlan:
    """How texts are prepared: the input that they become, and the tokenizer."""

    spec: TensorSpec
    tokenizer: tokens.Tokenizer


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a model takes: tensors always, pictures and texts where there is a plan for them."""

    specs: tuple[TensorSpec, ...]
    images: ImagePlan | None = None
    texts: TextPlan | None = None

    @property
    def vocabulary(self) -> dict[str, int]:
        """How many tokens the manifest has for an input; empty where it has none."""
        return {self.texts.spec.name: len(self.texts.tokenizer.ids)} if self.texts else {}


def plan(
    manifest: Manifest,
    specs: Sequence[TensorSpec],
    *,
    max_image_pixels: int = images.MAX_IMAGE_PIXELS,
) -> Preprocessing:
    """Bring the manifest's `[input]` and the graph's inputs together.

    Raises:
        InvalidModel: they do not fit, or something that neither says cannot be derived.
    """
    section = manifest.input
    if isinstance(section, ImageInput):
        spec = find_input(section.name, specs)
        return Preprocessing(tuple(specs), images=_image_plan(section, spec, max_image_pixels))
    if isinstance(section, TokensInput):
        spec = find_input(section.name, specs)
        return Preprocessing(tuple(specs), texts=_text_plan(section, spec))
    if section is not None:
        check_columns(section, find_input(section.name, specs))
    return Preprocessing(tuple(specs))


def find_input(name: str | None, specs: Sequence[TensorSpec]) -> TensorSpec:
    """Find the named input, or the only one.

    Raises:
        InvalidModel: no such input, or several and no name.
    """
    names = ", ".join(f"'{spec.name}'" for spec in specs)
    if name is None:
        if len(specs) == 1:
            return specs[0]
        raise InvalidModel(f"the model has {len(specs)} inputs: set input.name to one of {names}")
    found = next((spec for spec in specs if spec.name == name), None)
    if found is None:
        raise InvalidModel(f"input.name is '{name}', but the model's inputs are {names}")
    return found


def encode(payload: Payload, preprocessing: Preprocessing) -> Encoded:
    """Turn a payload into tensors that the model can run on; tensors pass through unchanged.

    Raises:
        InvalidInput: no rows, undecodable, not as the model takes it, or of a kind that the model
            has no preprocessing for.
        TooLarge: a picture or text over its limit, or too many large pictures together.
    """
    return _ENCODERS[type(payload)](payload, preprocessing)


def _encode_tensors(payload: Tensors, preprocessing: Preprocessing) -> Encoded:
    checked = check_tensors(preprocessing.specs, payload.by_name)
    rows = max([array.shape[0] for array in checked.values() if array.ndim], default=0)
    return Encoded(checked, (None,) * rows)


def _encode_images(payload: Images, preprocessing: Preprocessing) -> Encoded:
    found = preprocessing.images
    if found is None:
        raise _not_prepared("pictures", preprocessing)
    if not payload.encoded:
        raise InvalidInput("the request holds no picture; one a row is needed")
    _refuse_large(payload.encoded, found.max_pixels)
    rows, views = [], []
    for row, encoded in enumerate(payload.encoded):
        picture = images.decode(encoded, row, found.max_pixels)
        fitted, view = images.fit(picture, found.size, found.section.resize)
        rows.append(_pixels(fitted, found))
        views.append(view)
    return _checked(preprocessing, found.spec, np.stack(rows), tuple(views))


def _refuse_large(encoded: Sequence[bytes], max_pixels: int) -> None:
    """Add up what the headers say, before any picture is decoded."""
    n_pixels = 0
    for row, content in enumerate(encoded):
        n_pixels += images.count_pixels(content, row, max_pixels)
        if n_pixels > max_pixels * _FULL_PICTURES:
            raise TooLarge(
                f"row {row}: the pictures up to this one have {n_pixels} pixels together, the "
                f"limit of one request is {max_pixels * _FULL_PICTURES}; send several"
            )


def _encode_texts(payload: Texts, preprocessing: Preprocessing) -> Encoded:
    found = preprocessing.texts
    if found is None:
        raise _not_prepared("texts", preprocessing)
    if not payload.texts:
        raise InvalidInput("the request holds no text; one a row is needed")
    length = found.spec.shape[1]
    ids, views = tokens.tokenize(found.tokenizer, payload.texts, length if length > 0 else None)
    lengths = () if length > 0 else tuple(len(view.tokens) for view in views)
    rows = ids.astype(found.spec.dtype, copy=False)
    return replace(_checked(preprocessing, found.spec, rows, views), lengths=lengths)


_ENCODERS: Mapping[type[Any], Callable[[Any, Preprocessing], Encoded]] = {
    Tensors: _encode_tensors,
    Images: _encode_images,
    Texts: _encode_texts,
}


def _checked(
    preprocessing: Preprocessing, spec: TensorSpec, array: Array, views: tuple[Any, ...]
) -> Encoded:
    return Encoded(check_tensors(preprocessing.specs, {spec.name: array}), views)


def _not_prepared(what: str, preprocessing: Preprocessing) -> InvalidInput:
    takes = ["pictures"] if preprocessing.images else []
    takes += ["texts"] if preprocessing.texts else []
    specs = ", ".join(f"'{spec.name}' {spec.spelled}" for spec in preprocessing.specs)
    takes.append(f"tensors ({specs})")
    return InvalidInput(
        f"the model's manifest does not say how {what} are prepared; it takes {' and '.join(takes)}"
    )


def _pixels(picture: Image.Image, found: ImagePlan) -> Array:
    """Lay a picture of the right size out as the model takes it, float32 [c,h,w] or [h,w,c]."""
    if found.section.channels == "gray":
        values = np.asarray(picture.convert("L"))[:, :, None]
    else:
        values = np.asarray(picture)
    if found.section.channels == "bgr":
        values = values[:, :, ::-1]
    scaled = values.astype(np.float32) * found.scale + found.offset
    return scaled.transpose(2, 0, 1) if found.layout == "nchw" else scaled


def _image_plan(section: ImageInput, spec: TensorSpec, max_pixels: int) -> ImagePlan:
    if spec.datatype != "FP32" or len(spec.shape) != 4:
        raise InvalidModel(
            f"pictures become FP32 of 4 axes, but input '{spec.name}' is {spec.spelled}"
        )
    n_channels = 1 if section.channels == "gray" else 3
    layout = section.layout or _layout(spec, n_channels)
    shape = spec.shape[2:] + spec.shape[1:2] if layout == "nchw" else spec.shape[1:]
    if shape[2] not in (-1, n_channels):
        raise InvalidModel(
            f"input.channels '{section.channels}' makes {n_channels} channels, but input "
            f"'{spec.name}' {spec.spelled} has {shape[2]} (layout {layout})"
        )
    size = section.size or (shape[0], shape[1])
    if any(graph not in (-1, wanted) for graph, wanted in zip(shape, size, strict=False)):
        raise InvalidModel(
            f"input.size is {list(size)}, but input '{spec.name}' is {spec.spelled} (layout "
            f"{layout})"
        )
    if -1 in size:
        raise InvalidModel(
            f"input.size is missing: input '{spec.name}' is {spec.spelled}, which leaves it open"
        )
    low, high = section.range
    mean = np.array(section.mean or [0.0] * n_channels)
    std = np.array(section.std or [1.0] * n_channels)
    scale = ((high - low) / 255 / std).astype(np.float32)
    offset = ((low - mean) / std).astype(np.float32)
    return ImagePlan(spec, section, layout, size, scale, offset, max_pixels)


def _layout(spec: TensorSpec, n_channels: int) -> Layout:
    first, last = spec.shape[1] == n_channels, spec.shape[3] == n_channels
    if first == last:
        raise InvalidModel(
            f"input.layout is missing: input '{spec.name}' {spec.spelled} could be nchw or nhwc"
        )
    return "nchw" if first else "nhwc"


def _text_plan(section: TokensInput, spec: TensorSpec) -> TextPlan:
    if spec.datatype not in ("INT64", "INT32") or len(spec.shape) != 2:
        raise InvalidModel(
            f"texts become INT64 or INT32 of 2 axes, but input '{spec.name}' is {spec.spelled}"
        )
    return TextPlan(spec, tokens.load_tokenizer(section))
