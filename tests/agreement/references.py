"""The packages that candor is compared with, imported once and past their import-time warnings."""

import sys
import types
import warnings

__all__ = [
    "CAMS",
    "ClassifierOutputTarget",
    "GradCAM",
    "InputXGradient",
    "IntegratedGradients",
    "LayerIntegratedGradients",
    "LimeBase",
    "LimeImageExplainer",
    "LimeTabularExplainer",
    "LimeTextExplainer",
    "NoiseTunnel",
    "Occlusion",
    "Saliency",
    "SegmentationAlgorithm",
]


def _stand_in_for_torchvision() -> None:
    """pytorch-grad-cam imports names from torchvision that no Grad-CAM uses.

    torchvision is large and tied to one build of torch, so that empty names stand in for it.
    """
    names = {
        "torchvision": (),
        "torchvision.transforms": ("Compose", "Normalize", "ToTensor"),
        "torchvision.transforms.functional": ("resize",),
    }
    for module_name, attributes in names.items():
        module = types.ModuleType(module_name)
        for attribute in attributes:
            setattr(module, attribute, None)
        sys.modules.setdefault(module_name, module)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from captum.attr import (
        InputXGradient,
        IntegratedGradients,
        LayerIntegratedGradients,
        NoiseTunnel,
        Occlusion,
        Saliency,
    )
    from lime.lime_base import LimeBase
    from lime.lime_image import LimeImageExplainer
    from lime.lime_tabular import LimeTabularExplainer
    from lime.lime_text import LimeTextExplainer
    from lime.wrappers.scikit_image import SegmentationAlgorithm

    try:
        import torchvision  # noqa: F401
    except ImportError:
        _stand_in_for_torchvision()
    from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

CAMS = types.MappingProxyType(
    {
        "grad_cam": GradCAM,
        "grad_cam_plus_plus": GradCAMPlusPlus,
        "hires_cam": HiResCAM,
        "layer_cam": LayerCAM,
        "xgrad_cam": XGradCAM,
    }
)
"""pytorch-grad-cam's class for each of candor's methods."""
