"""Small ONNX models, pictures and folders, made in code."""

import random
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def linear_model(features=4, classes=3, batch="n") -> onnx.ModelProto:
    """scores = x w, with w[i, j] = i + j / 10."""
    weights = np.add.outer(np.arange(features), np.arange(classes) / 10).astype(np.float32)
    return model(
        [helper.make_node("MatMul", ["x", "w"], ["scores"], name="head")],
        inputs=[helper.make_tensor_value_info("x", FLOAT, [batch, features])],
        outputs=[helper.make_tensor_value_info("scores", FLOAT, [batch, classes])],
        initializers=[numpy_helper.from_array(weights, "w")],
    )


def model(nodes, inputs, outputs, initializers=()) -> onnx.ModelProto:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def write_model(folder: Path, proto: onnx.ModelProto | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes((proto or linear_model()).SerializeToString())
    return path


def externalise(proto: onnx.ModelProto, location: str, offset=0, length=None) -> bytes:
    """Move the first initialiser out; returns the bytes that belong into the file."""
    tensor = proto.graph.initializer[0]
    data = tensor.raw_data
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": location, "offset": offset}
    entries["length"] = len(data) if length is None else length
    for key, entry in entries.items():
        tensor.external_data.add(key=key, value=str(entry))
    return data


def encode(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def quadrants(width=40, height=20) -> Image.Image:
    """Red, green / blue, white: shows every flip and rotation."""
    picture = Image.new("RGB", (width, height), (255, 0, 0))
    picture.paste((0, 255, 0), (width // 2, 0, width, height // 2))
    picture.paste((0, 0, 255), (0, height // 2, width // 2, height))
    picture.paste((255, 255, 255), (width // 2, height // 2, width, height))
    return picture


def png_header(width: int, height: int) -> bytes:
    """A PNG of a hundred bytes that claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(64)))
        + chunk(b"IEND", b"")
    )


def webp_header(kind: bytes, width: int, height: int) -> bytes:
    """The head of a WebP file in one of its three forms."""
    body = {
        b"VP8X": bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"),
        b"VP8L": b"\x2f" + (width - 1 | (height - 1) << 14).to_bytes(4, "little") + bytes(20),
        b"VP8 ": bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(20),
    }[kind]
    content = b"WEBP" + kind + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", len(content)) + content


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Break a file in a few places: change, drop, repeat and insert bytes, or cut it off."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        # headers are short, and where most of a decoder's branches are
        at = rng.randrange(len(data) if rng.random() < 0.5 else min(len(data), 300))
        match rng.randrange(6):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                del data[at : at + rng.randrange(1, 20)]
            case 3:
                data[at:at] = rng.randbytes(rng.randrange(1, 20))
            case 4:
                data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", bytes(4), b"\x80\0\0\0"))
            case _:
                data = data[: max(at, 1)]
        data = data or bytearray(b"x")
    return bytes(data)


def with_right_checksums(png: bytes) -> bytes:
    """Let a broken PNG pass its checksums, so that the decoder gets to see what is broken."""
    if not png.startswith(b"\x89PNG\r\n\x1a\n"):
        return png
    fixed, at = bytearray(png[:8]), 8
    while at + 12 <= len(png):
        (length,) = struct.unpack_from(">I", png, at)
        if at + 12 + length > len(png):
            break
        body = png[at + 4 : at + 8 + length]
        fixed += png[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(fixed) + png[at:]
