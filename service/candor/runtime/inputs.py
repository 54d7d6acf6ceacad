"""The manifest's `[input]`: how a picture, text or record becomes a row of the model's input."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from candor.errors import InvalidModel
from candor.geometry import Column
from candor.runtime import toml
from candor.runtime.training import read_statistics

__all__ = [
    "Channels",
    "ImageInput",
    "InputSection",
    "Layout",
    "Resize",
    "SeriesInput",
    "TabularInput",
    "TokensInput",
    "read_input",
]

Layout = Literal["nchw", "nhwc"]
Resize = Literal["crop", "stretch", "pad"]
Channels = Literal["rgb", "bgr", "gray"]

_MAX_SIDE = 16_384
_MAX_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class ImageInput:
    """How an encoded picture becomes a row.

    Attributes:
        name: of the model's input; None: its only one.
        layout: order of the axes; None: as the graph's sizes tell.
        size: height and width in pixels; None: as the graph says.
        resize: `crop` keeps the largest centred part of the right shape, `stretch` ignores the
            shape, `pad` keeps the whole picture and fills up with black.
        range: what black and white become, before mean and std.
        mean, std: of each channel, in the model's order of channels: (value - mean) / std.
        channels: what the model sees, in its order.
    """

    name: str | None = None
    layout: Layout | None = None
    size: tuple[int, int] | None = None
    resize: Resize = "crop"
    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    channels: Channels = "rgb"


@dataclass(frozen=True, slots=True)
class TokensInput:
    """How a text becomes a row of token ids.

    Attributes:
        vocabulary: a file with one token a line; the first line is id 0.
        name: of the model's input; None: its only one.
        pattern: what a token is (`runtime.tokens` says which patterns can be).
        lowercase: whether letters are matched and looked up in lower case.
        pad, unknown: which tokens of the vocabulary stand for nothing and for any other token.
        max_tokens: of one text.
    """

    vocabulary: Path
    name: str | None = None
    pattern: str = r"\w+|[^\w\s]"
    lowercase: bool = True
    pad: str | None = None
    unknown: str | None = None
    max_tokens: int = 1024


@dataclass(frozen=True, slots=True)
class SeriesInput:
    """A row is a series of steps [t, f], or of one number each [t]; `features` names the f columns.

    Attributes:
        name: of the model's input; None: its only one.
        features: as many names as columns, or ().
    """

    name: str | None = None
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TabularInput:
    """A row is one record [f].

    Attributes:
        name: of the model's input; None: its only one.
        features: names of the f columns, or ().
        columns: what was in them in training, or ().
    """

    name: str | None = None
    features: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()


InputSection: TypeAlias = ImageInput | TokensInput | SeriesInput | TabularInput


_IMAGE_PARSERS: Mapping[str, toml.Parser] = {
    "name": toml.string,
    "layout": toml.one_of("nchw", "nhwc"),
    "size": toml.numbers(2, item=toml.whole(1, _MAX_SIDE)),
    "resize": toml.one_of("crop", "stretch", "pad"),
    "range": toml.numbers(2),
    "mean": toml.numbers(1, 3),
    "std": toml.numbers(1, 3),
    "channels": toml.one_of("rgb", "bgr", "gray"),
}

_TOKENS_PARSERS: Mapping[str, toml.Parser] = {
    "name": toml.string,
    "vocabulary": toml.string,
    "pattern": toml.string,
    "lowercase": toml.flag,
    "pad": toml.string,
    "unknown": toml.string,
    "max_tokens": toml.whole(1, _MAX_TOKENS),
}

_SERIES_PARSERS: Mapping[str, toml.Parser] = {"name": toml.string, "features": toml.strings}
_TABULAR_PARSERS: Mapping[str, toml.Parser] = {
    **_SERIES_PARSERS,
    "statistics": lambda value, _: value,  # read once the features are known
}


def read_input(value: Any, at: str, folder: Path) -> InputSection:
    """Read the section.

    Args:
        value: what TOML gave.
        at: where it stands, for messages.
        folder: of the manifest, where a vocabulary lies beside it.

    Raises:
        InvalidModel: an unknown kind or key, or a wrong value.
    """
    if not isinstance(value, dict):
        raise InvalidModel(f"{at} must be a table, not {value!r}")
    kind = _KIND(value.get("kind"), f"{at}.kind")
    rest = {key: entry for key, entry in value.items() if key != "kind"}
    return _INPUTS[kind](rest, at, folder)


def _image(value: Any, at: str, _: Path) -> ImageInput:
    image = ImageInput(**toml.read_table(value, f"{at}.", _IMAGE_PARSERS))
    low, high = image.range
    if low >= high:
        raise InvalidModel(f"{at}.range must rise, but is [{low}, {high}]")
    n_channels = 1 if image.channels == "gray" else 3
    for name, given in (("mean", image.mean), ("std", image.std)):
        if len(given) not in (0, n_channels):
            raise InvalidModel(
                f"{at}.{name} has {len(given)} numbers where channels = '{image.channels}' needs "
                f"{n_channels}"
            )
    if any(deviation <= 0 for deviation in image.std):
        raise InvalidModel(f"{at}.std must be above 0, but is {list(image.std)}")
    return image


def _tokens(value: Any, at: str, folder: Path) -> TokensInput:
    keys = toml.read_table(value, f"{at}.", _TOKENS_PARSERS)
    name = keys.pop("vocabulary", None)
    if name is None:
        raise InvalidModel(f"{at}.vocabulary is missing: the file with one token a line")
    if Path(name).name != name:
        raise InvalidModel(f"{at}.vocabulary must name a file beside model.toml, not '{name}'")
    return TokensInput(vocabulary=folder / name, **keys)


def _series(value: Any, at: str, _: Path) -> SeriesInput:
    return SeriesInput(**toml.read_table(value, f"{at}.", _SERIES_PARSERS))


def _tabular(value: Any, at: str, _: Path) -> TabularInput:
    keys = toml.read_table(value, f"{at}.", _TABULAR_PARSERS)
    if (statistics := keys.pop("statistics", None)) is not None:
        features = keys.get("features", ())
        keys["columns"] = read_statistics(statistics, f"{at}.statistics", features)
    return TabularInput(**keys)


_INPUTS: Mapping[str, Callable[[Any, str, Path], InputSection]] = {
    "image": _image,
    "tokens": _tokens,
    "series": _series,
    "tabular": _tabular,
}
_KIND = toml.one_of(*_INPUTS)
