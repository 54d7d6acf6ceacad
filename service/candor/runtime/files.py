"""Read a model's files: the ONNX graph and the weights that it keeps outside.

Invariants: the digest is of exactly the bytes that were parsed; no byte is read from outside the
model's folder; the proto that comes back holds all of its weights.
"""

import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import onnx
from blake3 import blake3
from google.protobuf.message import DecodeError, Message

from candor.errors import InvalidModel
from candor.runtime.maps import class_tensors

__all__ = ["MODEL_FILE", "ModelFile", "read_model"]

MODEL_FILE = "model.onnx"

# A protobuf message cannot be larger, and a session is made from one message.
MAX_MODEL_BYTES = 2**31 - 2**20


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model as it lies on disk.

    Attributes:
        path: of the ONNX file.
        proto: parsed, external weights included; outputs that are maps, and the classes of columns,
            as tensors.
        digest: hexadecimal BLAKE3 of the file, as `b3sum model.onnx` prints it; with external data,
            of what `b3sum model.onnx weights.bin ...` prints, files in the order of their names.
        size_bytes: of all the files together.
        external: locations of the external data, as the graph spells them.
        classes: names of the classes, where the file has them; else ().
    """

    path: Path
    proto: onnx.ModelProto
    digest: str
    size_bytes: int
    external: tuple[str, ...]
    classes: tuple[str, ...] = ()


def read_model(path: Path, *, max_bytes: int = MAX_MODEL_BYTES) -> ModelFile:
    """Read, vet and digest an ONNX file with its external data.

    Raises:
        InvalidModel: unreadable, not ONNX, truncated, too large, or weights outside its folder.
    """
    content = _read(path, max_bytes, what=str(path))
    proto = _parse(content, path)
    tensors = [t for t in _tensors(proto) if t.data_location == onnx.TensorProto.EXTERNAL]
    files: dict[str, bytes] = {}
    size_bytes = len(content)
    for tensor in tensors:
        location = _location(tensor, path)
        if location not in files:
            inside = _inside(path, location, tensor.name)
            what = f"{path}: external data '{location}' of tensor '{tensor.name}'"
            files[location] = _read(inside, max_bytes - size_bytes, what=what)
            size_bytes += len(files[location])
        _embed(tensor, files[location], path)
    classes = class_tensors(proto)
    digest = _digest(content, files)
    return ModelFile(path, proto, digest, size_bytes, tuple(sorted(files)), classes)


def _read(path: Path, max_bytes: int, *, what: str) -> bytes:
    try:
        status = path.stat()
        # a pipe or a device would block or never end
        if not stat.S_ISREG(status.st_mode):
            raise InvalidModel(f"{what} is not a regular file")
        if status.st_size > max_bytes:
            raise InvalidModel(
                f"{what} has {status.st_size} bytes; a model with its external data may have "
                f"{MAX_MODEL_BYTES}, and {max_bytes} are left"
            )
        return path.read_bytes()
    except OSError as error:
        raise InvalidModel(f"{what} cannot be read: {error.strerror}") from error


def _parse(content: bytes, path: Path) -> onnx.ModelProto:
    if not content:
        raise InvalidModel(f"{path} is empty")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError as error:
        raise InvalidModel(
            f"{path} is not an ONNX model, or is cut short: its {len(content)} bytes, which begin "
            f"with {content[:8]!r}, are not a ModelProto ({error})"
        ) from error
    if not proto.graph.node or not proto.graph.output or not proto.opset_import:
        raise InvalidModel(
            f"{path} is not a whole ONNX model: it has {len(proto.graph.node)} nodes, "
            f"{len(proto.graph.output)} outputs and {len(proto.opset_import)} operator sets"
        )
    if not _is_text(proto):
        raise InvalidModel(f"{path} is broken: a name in it is not UTF-8")
    return proto


def _is_text(message: Message) -> bool:
    """Tell whether every text decodes; protobuf gives bytes in the place of one that does not."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            if not all(map(_is_text, [value] if isinstance(value, Message) else value)):
                return False
        elif field.type == field.TYPE_STRING:
            texts = [value] if isinstance(value, str | bytes) else value
            if not all(isinstance(text, str) for text in texts):
                return False
    return True


def _tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Walk every tensor, in subgraphs and functions too."""
    yield from _graph_tensors(proto.graph)
    for function in proto.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        yield attribute.t
        yield from attribute.tensors
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
        for graph in (attribute.g, *attribute.graphs):
            yield from _graph_tensors(graph)


def _location(tensor: onnx.TensorProto, path: Path) -> str:
    location = next((e.value for e in tensor.external_data if e.key == "location"), "")
    if not location:
        raise InvalidModel(f"{path}: tensor '{tensor.name}' has external data without a location")
    return location


def _inside(path: Path, location: str, tensor: str) -> Path:
    """Resolve a location, which must lie in the folder even after every symbolic link.

    Links within the folder are followed: Kubernetes mounts volumes as `weights.bin ->
    ..data/weights.bin`, where `..data` is a link to a folder beside it.
    """
    pure = PurePosixPath(location)
    if pure.is_absolute() or ".." in pure.parts or "\\" in location or "\0" in location:
        raise InvalidModel(
            f"{path}: external data '{location}' of tensor '{tensor}' must be a "
            "relative path without '..', inside the model's folder"
        )
    try:
        root = path.parent.resolve(strict=True)
        resolved = (root / pure).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise InvalidModel(
            f"{path}: external data '{location}' of tensor '{tensor}' does not exist: {error}"
        ) from error
    if not resolved.is_relative_to(root):
        raise InvalidModel(
            f"{path}: external data '{location}' of tensor '{tensor}' "
            f"leads out of the model's folder, to {resolved}"
        )
    return resolved


def _embed(tensor: onnx.TensorProto, data: bytes, path: Path) -> None:
    """Move a tensor's part of the file into the tensor."""
    entries: Mapping[str, str] = {entry.key: entry.value for entry in tensor.external_data}
    sizes = [entries.get("offset", "0"), entries.get("length", "0")]
    if not all(size.isascii() and size.isdigit() for size in sizes):
        raise InvalidModel(
            f"{path}: tensor '{tensor.name}' has external data at offset '{sizes[0]}' with length "
            f"'{sizes[1]}'; both must be whole numbers"
        )
    offset, length = map(int, sizes)
    length = length if "length" in entries else max(len(data) - offset, 0)
    if offset + length > len(data):
        raise InvalidModel(
            f"{path}: tensor '{tensor.name}' wants bytes {offset} to {offset + length} of "
            f"'{entries['location']}', which has {len(data)}: the file is cut short or another's"
        )
    tensor.raw_data = data[offset : offset + length]
    del tensor.external_data[:]
    tensor.ClearField("data_location")


def _digest(content: bytes, files: Mapping[str, bytes]) -> str:
    own = blake3(content).hexdigest()
    if not files:
        return own
    lines = [f"{own}  {MODEL_FILE}\n"]
    lines += [f"{blake3(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())]
    return blake3("".join(lines).encode()).hexdigest()
