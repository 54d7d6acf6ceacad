"""The options of the class activation maps: a layer, and what becomes of its values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from candor.explain.spec import Spec
from candor.result import CamFormula

__all__ = [
    "CAMS",
    "Cam",
    "CamOptions",
    "GradCam",
    "GradCamPlusPlus",
    "HiresCam",
    "LayerCam",
    "XgradCam",
]

_LAYER = Spec(
    "name", "value in the graph whose activation is mapped; default: the last with spatial extent"
)
_NORMALISE = Spec("flag", "map to 0..1 as pytorch-grad-cam does; false: the score's own units")


@dataclass(frozen=True, slots=True)
class Cam:
    """Exact class activation map; only for global-average-pooling heads."""

    layer: str | None = field(default=None, metadata={"spec": _LAYER})
    normalise: bool = field(default=True, metadata={"spec": _NORMALISE})


@dataclass(frozen=True, slots=True)
class GradCam:
    """Gradient-weighted class activation map."""

    layer: str | None = field(default=None, metadata={"spec": _LAYER})
    normalise: bool = field(default=True, metadata={"spec": _NORMALISE})


@dataclass(frozen=True, slots=True)
class GradCamPlusPlus:
    """Grad-CAM with weights that count each position by its own slope."""

    layer: str | None = field(default=None, metadata={"spec": _LAYER})
    normalise: bool = field(default=True, metadata={"spec": _NORMALISE})


@dataclass(frozen=True, slots=True)
class HiresCam:
    """Gradients times activations, position by position: where the score comes from."""

    layer: str | None = field(default=None, metadata={"spec": _LAYER})
    normalise: bool = field(default=True, metadata={"spec": _NORMALISE})


@dataclass(frozen=True, slots=True)
class LayerCam:
    """Positive gradients times activations, position by position; sharp in early layers."""

    layer: str | None = field(default=None, metadata={"spec": _LAYER})
    normalise: bool = field(default=True, metadata={"spec": _NORMALISE})


@dataclass(frozen=True, slots=True)
class XgradCam:
    """Grad-CAM with the gradients weighted by the activations, which keeps their sum."""

    layer: str | None = field(default=None, metadata={"spec": _LAYER})
    normalise: bool = field(default=True, metadata={"spec": _NORMALISE})


CamOptions: TypeAlias = Cam | GradCam | GradCamPlusPlus | HiresCam | LayerCam | XgradCam

CAMS: Mapping[CamFormula, type[CamOptions]] = MappingProxyType(
    {
        "cam": Cam,
        "grad_cam": GradCam,
        "grad_cam_plus_plus": GradCamPlusPlus,
        "hires_cam": HiresCam,
        "layer_cam": LayerCam,
        "xgrad_cam": XgradCam,
    }
)
"""The options of each map, by its name, which is also that of its formula."""
