"""From Python arguments to candor.v1 requests."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict, cast

from candor.client.pictures import Picture, encoded_picture
from candor.errors import InvalidArgument, InvalidInput, InvalidOption, InvalidTarget
from candor.protocol.options import to_method
from candor.protocol.tensors import to_tensor
from candor.result import Array, Explained, TrustLevel
from candor.v1 import explanation_pb2 as pb

__all__ = ["Asking", "Methods", "Rows", "TargetLike", "explain_request", "predict_request"]

ClassLike: TypeAlias = int | str
# A class by index or label, or a pair of them: why the first rather than the second.
TargetLike: TypeAlias = ClassLike | tuple[ClassLike, ClassLike]
Methods: TypeAlias = str | Sequence[str | Mapping[str, Mapping[str, Any]]]


class Rows(TypedDict, total=False):
    """What to predict on; exactly one of images, texts and tensors.

    Attributes:
        images: paths, encoded files or uint8 pixels, one a row.
        texts: one a row.
        tensors: the model's own inputs by name.
        version: of the model; the newest by default.
        outputs: outputs of the graph to return beside the scores.
    """

    images: Sequence[Picture]
    texts: Sequence[str]
    tensors: Mapping[str, Array]
    version: str
    outputs: Sequence[str]


class Asking(Rows, total=False):
    """What to explain, and how.

    Attributes:
        targets: one entry a row (or one for all): a class by index or label, a pair of classes to
            compare, or a list of several of these. Default: each row's top class.
        explained: `score` or `probability`; default: as the method has it.
        output: which output of the graph is explained.
        cache: `use`, `refresh` or `bypass`.
        trust: `basic`, or `full`: deletion, insertion, infidelity and max-sensitivity too, at about
            a hundred model runs and five further explanations an answer.
        explain_if: explain only the rows whose most probable class is so probable:
            `top_probability<0.6`; also with <=, > and >=.
        budget_ms: long methods return the best that they have after this time.
        render: draw each answer: the map on its picture (a number from 0 to 1 is its opacity),
            words in colours, curves of a series, features as bars; or as what to draw it: `png`,
            `svg` (series, records), `html` (texts).
        segments: own segments for lime, integers [n, positions...].
    """

    targets: TargetLike | Sequence[TargetLike | list[TargetLike]]
    explained: Explained
    output: str
    cache: Literal["use", "refresh", "bypass"]
    trust: TrustLevel
    explain_if: str
    budget_ms: float
    render: bool | float | Literal["png", "svg", "html"]
    segments: Array


def predict_request(model: str, rows: Rows) -> pb.PredictRequest:
    """Build a request for predictions.

    Raises:
        InvalidArgument: an argument that there is not.
        InvalidInput: no rows, rows of several kinds, or something that is no picture.
    """
    _check(rows, Rows)
    return pb.PredictRequest(
        model=model,
        version=rows.get("version", ""),
        input=_input(rows),
        outputs=rows.get("outputs", ()),
    )


def explain_request(model: str, methods: Methods, asking: Asking) -> pb.ExplainRequest:
    """Build a request for explanations.

    Raises:
        InvalidArgument: an argument that there is not.
        InvalidInput: no rows, rows of several kinds, or something that is no picture.
        InvalidOption: a method, an option or a word that there is not.
        InvalidTarget: a target that is neither index, label nor pair.
    """
    _check(asking, Asking)
    request = pb.ExplainRequest(
        model=model,
        version=asking.get("version", ""),
        input=_input(asking),
        methods=[to_method(name, options) for name, options in _named(methods)],
        targets=[pb.Targets(targets=map(_target, row)) for row in _target_rows(asking)],
        outputs=asking.get("outputs", ()),
        output=asking.get("output"),
        budget_ms=asking.get("budget_ms"),
        explain_if=asking.get("explain_if", ""),
    )
    if "explained" in asking:
        request.explained = _word(pb.Explained, "EXPLAINED", asking["explained"])
    if "cache" in asking:
        request.cache = _word(pb.CachePolicy, "CACHE_POLICY", asking["cache"])
    if "trust" in asking:
        request.trust = _word(pb.Trust, "TRUST", asking["trust"])
    if "segments" in asking:
        request.segments.CopyFrom(to_tensor(asking["segments"]))
    render = asking.get("render", False)
    if isinstance(render, str):
        request.render.format = _word(pb.DrawingFormat, "DRAWING_FORMAT", render)
    elif render is not False:
        request.render.CopyFrom(pb.Render(opacity=None if render is True else render))
    return request


def _check(given: Mapping[str, object], known: type[Rows]) -> None:
    names = [name for base in (Rows, known) for name in base.__annotations__]
    unknown = [name for name in given if name not in names]
    if unknown:
        raise InvalidArgument(f"there is no argument '{unknown[0]}'; there are {', '.join(names)}")


def _input(rows: Rows) -> pb.Input:
    given = [name for name in ("images", "texts", "tensors") if name in rows]
    if len(given) != 1:
        raise InvalidInput(
            f"{' and '.join(given) or 'nothing'} is given; expected one of images, texts, tensors"
        )
    if "images" in rows:
        pictures = _one_or_many(rows["images"])
        return pb.Input(images=pb.EncodedImages(images=map(encoded_picture, pictures)))
    if "texts" in rows:
        return pb.Input(texts=pb.Texts(texts=_one_or_many(rows["texts"])))
    tensors = {name: to_tensor(array) for name, array in rows["tensors"].items()}
    return pb.Input(tensors=pb.NamedTensors(by_name=tensors))


def _one_or_many(rows: Any) -> Sequence[Any]:
    """A single path or text where a sequence of them belongs is one row, not its characters."""
    return rows if isinstance(rows, list | tuple) else [rows]


def _named(methods: Methods) -> Iterable[tuple[str, Mapping[str, Any]]]:
    listed = methods.split(",") if isinstance(methods, str) else methods
    # A mapping from method to options is a sequence of its own.
    for method in [listed] if isinstance(listed, Mapping) else listed:
        if isinstance(method, Mapping):
            yield from method.items()
        elif isinstance(method, str):
            yield method.strip(), {}
        else:
            raise InvalidOption(f"a method is a name or a mapping from name to options: {method!r}")


def _target_rows(asking: Asking) -> list[list[TargetLike]]:
    targets = asking.get("targets")
    if targets is None:
        return []
    rows = targets if isinstance(targets, list) else [targets]
    return [row if isinstance(row, list) else [cast("TargetLike", row)] for row in rows]


def _target(target: TargetLike) -> pb.Target:
    if isinstance(target, tuple):
        if len(target) != 2:
            raise InvalidTarget(f"{target!r} is no target; a comparison takes two classes")
        plus, minus = target
        sides = {"plus": pb.ClassRef(**_class(plus)), "minus": pb.ClassRef(**_class(minus))}
        return pb.Target(difference=pb.Difference(**sides))
    return pb.Target(**_class(target))


def _class(name: ClassLike) -> Any:
    return {"label": name} if isinstance(name, str) else {"index": int(name)}


def _word(enum: Any, prefix: str, word: str) -> Any:
    try:
        return enum.Value(f"{prefix}_{word.upper()}")
    except ValueError as error:
        words = [name.removeprefix(f"{prefix}_").lower() for name in enum.keys()[1:]]
        raise InvalidOption(f"'{word}' is not one of {', '.join(words)}") from error
