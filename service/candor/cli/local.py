"""A model from a file, loaded as the service would load it, without a service."""

import argparse
from pathlib import Path

from candor.cli.exits import UsageError
from candor.result import ModelId
from candor.runtime.blueprints import plan_explanations
from candor.runtime.files import MODEL_FILE, ModelFile, read_model
from candor.runtime.manifest import load_manifest
from candor.runtime.model import Model, ModelPolicy
from candor.runtime.session import SessionPolicy
from candor.runtime.specs import TensorSpec
from candor.runtime.verification import Verification
from candor.settings import load_settings

__all__ = [
    "add_model_argument",
    "add_size_argument",
    "load_file",
    "open_model",
    "sole_input",
    "verification",
]


def add_model_argument(parser: argparse.ArgumentParser) -> None:
    """Add what names the file, and --json."""
    parser.add_argument("file", type=Path, metavar="MODEL.onnx", help="the file, or its folder")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def add_size_argument(parser: argparse.ArgumentParser) -> None:
    """Add --size and --seed, for rows that are drawn at random."""
    parser.add_argument(
        "--size", type=int, metavar="N", help="extent of free axes other than the batch"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of all that is random (fresh)")


def open_model(path: Path) -> tuple[ModelFile, Model]:
    """Read and load a model; a model.toml beside it or in the folder above counts.

    Raises:
        UsageError: there is no such file.
        InvalidModel: it cannot be served.
    """
    path = path / MODEL_FILE if path.is_dir() else path
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    file = read_model(path)
    return file, load_file(file)


def load_file(file: ModelFile) -> Model:
    """Load a model that was read, or one that was made of it.

    Raises:
        InvalidModel: it cannot be served.
    """
    own = file.path.parent
    folder = own if (own / "model.toml").exists() else own.parent
    policy = ModelPolicy(
        session=_sessions(),
        max_image_pixels=load_settings().max_image_pixels,
        on_run=lambda *_: None,
    )
    name = ModelId(file.path.stem, "1", file.digest)
    return Model(name, file, load_manifest(folder), policy)


def sole_input(model: Model, what: str) -> TensorSpec:
    """The input of a model that has one.

    Args:
        model: to look at.
        what: the sentence that goes on with "models with one input".

    Raises:
        UsageError: it has several.
        Unsupported: it cannot be explained.
    """
    name = model.input_name
    if len(model.inputs) > 1:
        names = ", ".join(spec.name for spec in model.inputs)
        raise UsageError(f"{what} models with one input; this one has {names}")
    return next(spec for spec in model.inputs if spec.name == name)


def verification(file: ModelFile, model: Model, seed: int) -> Verification:
    """Compile what checks a model's gradient against finite differences in float64.

    Raises:
        Unsupported: it has no gradient, or one that is an estimate by design.
    """
    plan = plan_explanations(file.proto, model.manifest, None, None)
    return Verification(plan, _sessions(), seed)


def _sessions() -> SessionPolicy:
    return SessionPolicy(providers=load_settings().providers)
