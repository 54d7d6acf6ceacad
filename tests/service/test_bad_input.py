"""Everything that a caller can get wrong: a clear error, and a server that goes on."""

import io
import struct
import zlib
from collections.abc import Callable, Iterator

import grpc
import numpy as np
import pytest
from PIL import Image

from candor.client import Client
from candor.errors import (
    CandorError,
    InvalidInput,
    InvalidOption,
    InvalidTarget,
    NotFound,
    TooLarge,
)
from serving import Server

ROW = np.zeros((1, 3, 64, 64), np.float32)


@pytest.fixture(autouse=True)
def _server_answers_afterwards(client: Client) -> Iterator[None]:
    yield
    assert client.predict("photos", tensors={"image": ROW}).scores is not None


def picture(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def bomb() -> bytes:
    """A PNG of some hundred bytes that says it is 60,000 pixels square."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


MISTAKES: dict[str, tuple[Callable[[Client], object], type[CandorError], str]] = {
    "unknown model": (
        lambda c: c.predict("fotos", tensors={"image": ROW}), NotFound, "photos"),
    "unknown version": (
        lambda c: c.predict("photos", version="7", tensors={"image": ROW}), NotFound, "7"),
    "wrong shape": (
        lambda c: c.predict("photos", tensors={"image": ROW[:, :2]}), InvalidInput, "64"),
    "wrong rank": (
        lambda c: c.explain("photos", ["cam"], tensors={"image": ROW[0]}), InvalidInput, "axes"),
    "wrong dtype": (
        lambda c: c.predict("photos", tensors={"image": ROW.astype(np.float64)}),
        InvalidInput, "FP64"),
    "unknown input": (
        lambda c: c.predict("photos", tensors={"x": ROW}), InvalidInput, "image"),
    "not a number": (
        lambda c: c.explain("photos", ["cam"], tensors={"image": ROW * np.nan}),
        InvalidInput, "row 0"),
    "infinity": (
        lambda c: c.explain("photos", ["lime"], tensors={"image": ROW + np.inf}),
        InvalidInput, "row 0"),
    "empty batch": (
        lambda c: c.explain("photos", ["cam"], tensors={"image": ROW[:0]}), InvalidInput, "row"),
    "not a picture": (
        lambda c: c.predict("photos", images=[b"GIF it is not"]), InvalidInput, "row 0"),
    "half a picture": (
        lambda c: c.predict("photos", images=[picture(64, 64)[:90]]), InvalidInput, "row 0"),
    "decompression bomb": (
        lambda c: c.predict("photos", images=[bomb()]), TooLarge, "60000"),
    "text without tokens": (
        lambda c: c.predict("sentences", texts=["   "]), InvalidInput, "row 0"),
    "text of 100,000 tokens": (
        lambda c: c.predict("sentences", texts=["good " * 100_000]), TooLarge, "512"),
    "picture for a model of texts": (
        lambda c: c.predict("sentences", images=[picture(8, 8)]), InvalidInput, "texts"),
    "no rows for a recurrent network": (
        lambda c: c.predict("sentences", tensors={"tokens": np.zeros((0, 3), np.int64)}),
        InvalidInput, "at least one row"),
    "no steps for a recurrent network": (
        lambda c: c.predict("sentences", tensors={"tokens": np.zeros((1, 0), np.int64)}),
        InvalidInput, "one step"),
    "nothing to explain": (
        lambda c: c.explain(
            "sentences", ["gradient"], tensors={"tokens": np.zeros((1, 0), np.int64)}),
        InvalidInput, "one step"),
    "unknown token id": (
        lambda c: c.predict("sentences", tensors={"tokens": np.array([[10**6]])}),
        InvalidInput, "1000000"),
    "unknown method": (
        lambda c: c.explain("photos", ["shap"], tensors={"image": ROW}), InvalidOption, "lime"),
    "unknown option": (
        lambda c: c.explain("photos", [{"lime": {"samples": 5}}], tensors={"image": ROW}),
        InvalidOption, "n_samples"),
    "option out of range": (
        lambda c: c.explain("photos", [{"lime": {"n_samples": 0}}], tensors={"image": ROW}),
        InvalidOption, "n_samples"),
    "window larger than the picture": (
        lambda c: c.explain(
            "photos", [{"occlusion": {"window": (99, 99)}}], tensors={"image": ROW}),
        InvalidOption, "99"),
    "target out of range": (
        lambda c: c.explain("photos", ["cam"], targets=50, tensors={"image": ROW}),
        InvalidTarget, "49"),
    "unknown label": (
        lambda c: c.explain("photos", ["cam"], targets="espreso", tensors={"image": ROW}),
        InvalidTarget, "espresso"),
    "layer that does not exist": (
        lambda c: c.explain(
            "photos", [{"grad_cam": {"layer": "nowhere"}}], tensors={"image": ROW}),
        NotFound, "features"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake_is_named(client: Client, case: str) -> None:
    ask, kind, said = MISTAKES[case]
    with pytest.raises(kind) as caught:
        ask(client)
    assert said in caught.value.message


def test_bad_row_is_named_among_good_ones(client: Client) -> None:
    rows = np.concatenate([ROW, ROW * np.nan, ROW])
    with pytest.raises(InvalidInput, match="row 1"):
        client.explain("photos", ["cam"], tensors={"image": rows})


def test_plain_prediction_of_nan_answers_as_onnx_runtime_does(client: Client) -> None:
    found = client.predict("photos", tensors={"image": ROW * np.nan})
    assert found.scores is not None
    assert np.isnan(found.scores).all()


@pytest.mark.parametrize("size", [(1, 1), (20_000, 3), (3, 20_000)])
def test_picture_of_any_shape_is_explained(client: Client, size: tuple[int, int]) -> None:
    found = client.explain("photos", ["grad_cam"], images=[picture(*size)], render=True)
    answer = found.of("grad_cam")
    assert answer.values.shape == (64, 64)
    view = found.prediction.rows[0].view
    assert (view.width, view.height) == size
    assert Image.open(io.BytesIO(answer.overlay_png)).format == "PNG"


def test_message_over_the_limit_is_refused(server: Server, client: Client) -> None:
    with grpc.insecure_channel(
        server.grpc_target, options=[("grpc.max_send_message_length", -1)]
    ) as channel:
        call = channel.unary_unary("/candor.v1.ExplanationService/Predict")
        with pytest.raises(grpc.RpcError) as caught:
            call(bytes(65 * 2**20), timeout=30)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_bytes_that_are_no_message_are_refused(server: Server, client: Client) -> None:
    with grpc.insecure_channel(server.grpc_target) as channel:
        for method in (
            "candor.v1.ExplanationService/Explain",
            "inference.GRPCInferenceService/ModelInfer",
        ):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(f"/{method}")(b"\xff" * 50, timeout=10)
            assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
