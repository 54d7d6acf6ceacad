"""Find the models under a root, laid out as Triton lays them out.

    <root>/<name>/<version>/model.onnx    versions are whole numbers; the newest is served
    <root>/<name>/model.onnx              version 1
    <root>/model.onnx, <root>/1/...       one model, whose name is set (as KServe mounts it)

`model.toml` lies in the version's folder, or in the model's for all of its versions. What begins
with a dot is skipped: Kubernetes keeps its `..data` there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from candor.errors import InvalidModel
from candor.runtime.files import MODEL_FILE

__all__ = ["Folder", "find_folders", "find_names"]

_MANIFEST_FILE = "model.toml"


@dataclass(frozen=True, slots=True)
class Folder:
    """Where one version of a model lies.

    Attributes:
        name: of the model.
        version: a whole number, spelled out.
        path: the folder that holds `model.onnx` and its external data.
        manifest: the folder whose `model.toml` counts for it.
    """

    name: str
    version: str
    path: Path
    manifest: Path

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.path / MODEL_FILE


def find_names(root: Path, model_name: str = "") -> dict[str, Path]:
    """Find the folder of each model, by name.

    Args:
        root: of the repository.
        model_name: how the model is called where the root itself is one.

    Raises:
        InvalidModel: the root is not a folder, or is a model without a name.
    """
    if not root.is_dir():
        raise InvalidModel(f"the model root '{root}' is not a folder")
    if not _holds_model(root):
        return {path.name: path for path in _visible(root) if path.is_dir()}
    if not model_name:
        raise InvalidModel(
            f"the model root '{root}' holds a model itself, not folders of models: set model_name "
            "to say how it is called"
        )
    return {model_name: root}


def find_folders(name: str, path: Path) -> dict[str, Folder]:
    """Find the versions of a model, oldest first.

    Raises:
        InvalidModel: there is none, or two folders for the same version.
    """
    found: dict[int, Folder] = {}
    if (path / MODEL_FILE).exists():
        found[1] = Folder(name, "1", path, path)
    for folder in _versions(path):
        version = int(folder.name)
        if version in found:
            raise InvalidModel(
                f"version {version} of model '{name}' is in both {found[version].path} and {folder}"
            )
        own = (folder / _MANIFEST_FILE).exists()
        found[version] = Folder(name, str(version), folder, folder if own else path)
    if not found:
        raise InvalidModel(
            f"model '{name}' has neither {path / MODEL_FILE} nor a folder "
            f"{path / '<whole number>' / MODEL_FILE}"
        )
    return {folder.version: folder for _, folder in sorted(found.items())}


def _holds_model(path: Path) -> bool:
    return (path / MODEL_FILE).exists() or any(
        (folder / MODEL_FILE).exists() for folder in _versions(path)
    )


def _versions(path: Path) -> Iterator[Path]:
    for folder in _visible(path):
        name = folder.name
        if name.isascii() and name.isdigit() and int(name) > 0 and folder.is_dir():
            yield folder


def _visible(path: Path) -> Iterator[Path]:
    try:
        yield from sorted(child for child in path.iterdir() if not child.name.startswith("."))
    except OSError as error:
        raise InvalidModel(f"the folder {path} cannot be read: {error.strerror}") from error
