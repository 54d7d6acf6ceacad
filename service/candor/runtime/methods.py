"""Which explanation methods a model supports, at which layer, and for the others why not."""

from collections.abc import Callable

from candor.autodiff import Anatomy
from candor.errors import NotFound, Unsupported
from candor.result import CamFormula
from candor.runtime.programs.blueprint import Blueprint
from candor.runtime.programs.cam import cam_program
from candor.runtime.programs.cam_formulas import FORMULAS
from candor.runtime.programs.gradient import gradient_program, noisy_program, path_program
from candor.runtime.programs.perturb import perturb_program

__all__ = ["EXPLANATIONS", "layer_of", "refusals"]

EXPLANATIONS = (
    "cam",
    *FORMULAS,
    "gradient",
    "smooth_grad",
    "integrated_gradients",
    "occlusion",
    "lime",
)
"""The methods that a model is asked about; the same names as `explain.options.METHODS`."""


def refusals(blueprint: Blueprint) -> dict[str, str | None]:
    """For each method the reason why its program cannot be compiled; None where it can."""
    anatomy = blueprint.anatomy

    def grad_cam() -> object:
        layer = layer_of(anatomy, "grad_cam", None)
        return cam_program(blueprint, "grad_cam", layer, normalise=True)

    def cam() -> object:
        layer = layer_of(anatomy, "cam", None)
        return cam_program(blueprint, "cam", layer, normalise=True) if blueprint.ends else layer

    # Methods that differ in their arithmetic alone need the same of the graph.
    by_slope = _refusal(grad_cam)
    # Of several inputs numpy masks the rows, wherever they are run.
    perturbed = None if blueprint.ends else _refusal(lambda: perturb_program(blueprint))
    return {
        "cam": _refusal(cam),
        **dict.fromkeys(FORMULAS, by_slope),
        "gradient": _refusal(lambda: gradient_program(blueprint, "score")),
        "smooth_grad": _refusal(lambda: noisy_program(blueprint, "score")),
        "integrated_gradients": _refusal(lambda: path_program(blueprint, "score")),
        "occlusion": perturbed,
        "lime": perturbed,
    }


def layer_of(anatomy: Anatomy, formula: CamFormula, layer: str | None) -> str:
    """The layer to use: the named one, checked, or the default.

    Raises:
        NotFound: no such layer.
        Unsupported: the model has no layer for it, or `cam` is asked away from its head.
    """
    names = [found.name for found in anatomy.layers]
    if layer is not None and layer not in names and formula != "cam":
        raise NotFound(f"there is no layer '{layer}'; there are {', '.join(names) or 'none'}")
    if formula == "cam":
        if anatomy.cam_head is None:
            hint = "; grad_cam needs no such head" if names else ""
            raise Unsupported(
                f"cam needs global average pooling and at most one linear layer before the "
                f"scores, but {anatomy.cam_refusal}{hint}"
            )
        if layer not in (None, anatomy.cam_head.layer):
            raise NotFound(
                f"cam has the one layer '{anatomy.cam_head.layer}', not '{layer}'; "
                "grad_cam takes any of the model's"
            )
        return anatomy.cam_head.layer
    found = layer or anatomy.layer
    if found is None:
        raise Unsupported("no layer with a spatial extent lies between the input and the score")
    return found


def _refusal(build: Callable[[], object]) -> str | None:
    try:
        build()
    except Unsupported as error:
        return error.message
    return None
