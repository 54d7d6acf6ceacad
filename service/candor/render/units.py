"""What the numbers of a map are, in words that stand below its drawing."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from candor.result import Json

__all__ = ["unit_of"]

Options = Mapping[str, Json]


def unit_of(trust: Mapping[str, Json]) -> str:
    """Say what one unit of a map is, by its trust record; "" where the method is not known."""
    tell = _UNITS.get(str(trust.get("method")))
    options = trust.get("options")
    output = "probability" if trust.get("explained") == "probability" else "score"
    return tell(options if isinstance(options, dict) else {}, output) if tell else ""


def _of_layer(options: Options, output: str) -> str:
    if options.get("normalise") is False:
        return f"weight of each place in the {output}, not scaled"
    return "share of this map's own largest value"


def _slope(options: Options, output: str) -> str:
    reduction = options.get("reduction")
    if options.get("times_input"):
        told = f"slope of the {output} times the input"
    else:
        told = f"change of the {output} for a unit of the input"
    ways = {"abs": f"size of the {told}", "squared": f"square of the {told}"}
    return ways.get(str(reduction), told)


def _share(_: Options, output: str) -> str:
    return f"share of the change of the {output} from the baseline"


def _loss(_: Options, output: str) -> str:
    return f"what the {output} loses where this is covered, mean over windows"


def _weight(options: Options, output: str) -> str:
    if options.get("baseline") == "training":
        return f"what each condition adds to the {output}"
    return f"what each part adds to the {output}, by a linear model"


_UNITS: Mapping[str, Callable[[Options, str], str]] = MappingProxyType(
    {
        "cam": _of_layer,
        "grad_cam": _of_layer,
        "grad_cam_plus_plus": _of_layer,
        "hires_cam": _of_layer,
        "layer_cam": _of_layer,
        "xgrad_cam": _of_layer,
        "gradient": _slope,
        "smooth_grad": _slope,
        "integrated_gradients": _share,
        "occlusion": _loss,
        "lime": _weight,
    }
)
