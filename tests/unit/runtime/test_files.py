import os
import re
import threading

import numpy as np
import pytest
from blake3 import blake3
from onnx import TensorProto, helper, numpy_helper

from candor.errors import InvalidModel
from candor.runtime.files import read_model
from candor.runtime.session import Session, SessionPolicy
from unit.runtime.builders import FLOAT, externalise, linear_model, model, value, write_model


def test_a_model_is_read_with_the_digest_that_b3sum_prints(tmp_path):
    path = write_model(tmp_path)
    found = read_model(path)
    assert found.digest == blake3(path.read_bytes()).hexdigest()
    assert found.proto == linear_model()
    assert (found.size_bytes, found.external) == (path.stat().st_size, ())


def external_model(folder, location="weights.bin", **options):
    proto = linear_model()
    data = externalise(proto, location, **options)
    return write_model(folder, proto), data


def test_external_weights_come_back_inside_and_run(tmp_path):
    path, data = external_model(tmp_path, offset=8)
    (tmp_path / "weights.bin").write_bytes(bytes(8) + data + b"rest")
    found = read_model(path)
    assert found.proto == linear_model()
    assert found.external == ("weights.bin",)
    assert found.size_bytes == path.stat().st_size + 8 + len(data) + 4
    session = Session(found.proto, SessionPolicy(("cpu",)))
    x = np.ones((1, 4), np.float32)
    np.testing.assert_allclose(session.run({"x": x})["scores"], [[6, 6.4, 6.8]], rtol=1e-6)


def test_the_digest_of_a_model_in_parts_is_of_the_lines_that_b3sum_prints(tmp_path):
    path, data = external_model(tmp_path)
    (tmp_path / "weights.bin").write_bytes(data)
    lines = (
        f"{blake3(path.read_bytes()).hexdigest()}  model.onnx\n"
        f"{blake3(data).hexdigest()}  weights.bin\n"
    )
    assert read_model(path).digest == blake3(lines.encode()).hexdigest()


def test_the_digest_takes_the_parts_in_the_order_of_their_names(tmp_path):
    proto = linear_model()
    proto.graph.initializer.insert(0, numpy_helper.from_array(np.ones(2, np.float32), "first"))
    z = externalise(proto, "z.bin")
    proto.graph.initializer.reverse()
    a = externalise(proto, "a.bin")
    proto.graph.initializer.reverse()
    path = write_model(tmp_path, proto)
    lines = f"{blake3(path.read_bytes()).hexdigest()}  model.onnx\n"
    for name, data in (("a.bin", a), ("z.bin", z)):
        (tmp_path / name).write_bytes(data)
        lines += f"{blake3(data).hexdigest()}  {name}\n"
    assert read_model(path).external == ("a.bin", "z.bin")
    assert read_model(path).digest == blake3(lines.encode()).hexdigest()


def test_one_changed_weight_outside_changes_the_digest(tmp_path):
    path, data = external_model(tmp_path)
    digests = set()
    for last in (b"\0", b"\1"):
        (tmp_path / "weights.bin").write_bytes(data[:-1] + last)
        digests.add(read_model(path).digest)
    assert len(digests) == 2


def test_data_without_a_length_reaches_to_the_end_of_its_file(tmp_path):
    path, data = external_model(tmp_path, offset=4)
    proto = read_proto(path)
    del proto.graph.initializer[0].external_data[2]
    path.write_bytes(proto.SerializeToString())
    (tmp_path / "weights.bin").write_bytes(bytes(4) + data)
    assert read_model(path).proto == linear_model()


def read_proto(path):
    proto = linear_model()
    proto.ParseFromString(path.read_bytes())
    return proto


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "a/../../secret.bin"])
def test_data_outside_the_folder_is_refused_with_tensor_and_location(tmp_path, location):
    (tmp_path / "secret.bin").write_bytes(bytes(48))
    path, _ = external_model(tmp_path / "m", location)
    with pytest.raises(InvalidModel, match=rf"'{location}' of tensor 'w' must be a relative path"):
        read_model(path)


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(48))
    path, _ = external_model(tmp_path / "m")
    (tmp_path / "m" / "weights.bin").symlink_to("../secret.bin")
    with pytest.raises(InvalidModel, match=r"'weights.bin' of tensor 'w' leads out of the model's"):
        read_model(path)


def test_a_link_to_a_folder_outside_is_refused(tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "weights.bin").write_bytes(bytes(48))
    path, _ = external_model(tmp_path / "m", "inner/weights.bin")
    (tmp_path / "m" / "inner").symlink_to("../secrets")
    with pytest.raises(InvalidModel, match="leads out of the model's folder"):
        read_model(path)


def test_links_of_a_kubernetes_volume_are_followed(tmp_path):
    real = tmp_path / "..2026_11_20"
    path, data = external_model(real)
    (real / "weights.bin").write_bytes(data)
    (tmp_path / "..data").symlink_to("..2026_11_20")
    for name in ("model.onnx", "weights.bin"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    assert read_model(tmp_path / "model.onnx").digest == read_model(path).digest


def test_a_pipe_in_place_of_a_file_is_refused_instead_of_waited_for(tmp_path):
    path, _ = external_model(tmp_path)
    os.mkfifo(tmp_path / "weights.bin")
    refusals: list[str] = []

    def read() -> None:
        with pytest.raises(InvalidModel) as caught:
            read_model(path)
        refusals.append(caught.value.message)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert "'weights.bin' of tensor 'w' is not a regular file" in refusals[0]


def test_a_missing_file_of_weights_is_refused(tmp_path):
    path, _ = external_model(tmp_path)
    with pytest.raises(InvalidModel, match=r"'weights.bin' of tensor 'w' does not exist"):
        read_model(path)


def test_weights_that_are_cut_short_are_refused_with_both_numbers(tmp_path):
    path, data = external_model(tmp_path)
    (tmp_path / "weights.bin").write_bytes(data[:-1])
    with pytest.raises(
        InvalidModel, match=r"'w' wants bytes 0 to 48 of 'weights.bin', which has 47"
    ):
        read_model(path)


@pytest.mark.parametrize(("key", "entry"), [("offset", "-4"), ("length", "x"), ("offset", "٣")])
def test_an_offset_or_length_that_is_no_number_is_refused(tmp_path, key, entry):
    path, data = external_model(tmp_path)
    proto = read_proto(path)
    next(e for e in proto.graph.initializer[0].external_data if e.key == key).value = entry
    path.write_bytes(proto.SerializeToString())
    (tmp_path / "weights.bin").write_bytes(data)
    with pytest.raises(InvalidModel, match="both must be whole numbers"):
        read_model(path)


def test_external_data_in_a_subgraph_is_vetted_too(tmp_path):
    tensor = numpy_helper.from_array(np.ones(3, np.float32), "hidden")
    inner = helper.make_graph(
        [helper.make_node("Identity", ["hidden"], ["out"])], "inner", [], [value("out", FLOAT, [3])]
    )
    inner.initializer.append(tensor)
    inner.initializer[0].ClearField("raw_data")
    inner.initializer[0].data_location = TensorProto.EXTERNAL
    inner.initializer[0].external_data.add(key="location", value="../secret.bin")
    proto = model(
        [helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)],
        [value("c", TensorProto.BOOL, [])],
        [value("y", FLOAT, [3])],
    )
    with pytest.raises(InvalidModel, match="'hidden' must be a relative path"):
        read_model(write_model(tmp_path, proto))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "model.onnx is empty"),
        (b"<html>not found</html>", "is not an ONNX model, or is cut short: its 22 bytes, which"),
        (linear_model().SerializeToString()[:-30], "is not an ONNX model, or is cut short"),
        (linear_model().SerializeToString()[:2], "is not a whole ONNX model: it has 0 nodes"),
        (b"\x08\x0a", "it has 0 nodes, 0 outputs and 0 operator sets"),
    ],
    ids=["empty", "html", "truncated", "only a version", "no graph"],
)
def test_what_is_no_model_is_refused_with_path_and_reason(tmp_path, content, message):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidModel, match=re.escape(message)) as caught:
        read_model(path)
    assert str(path) in caught.value.message


def test_a_name_that_is_not_text_is_refused(tmp_path):
    content = linear_model().SerializeToString()
    for name in (b"head", b"scores", b"graph"):
        path = tmp_path / "model.onnx"
        path.write_bytes(content.replace(name, b"\xff" * len(name)))
        with pytest.raises(InvalidModel, match="a name in it is not UTF-8"):
            read_model(path)


def test_a_model_over_the_limit_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "model.onnx"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InvalidModel, match=rf"has {2**40} bytes; a model .* may have"):
        read_model(path)


def test_external_data_count_towards_the_limit(tmp_path):
    path, data = external_model(tmp_path)
    (tmp_path / "weights.bin").write_bytes(data)
    assert read_model(path, max_bytes=path.stat().st_size + len(data))
    with pytest.raises(
        InvalidModel, match=r"external data 'weights.bin' of tensor 'w' has 48 bytes"
    ):
        read_model(path, max_bytes=path.stat().st_size + len(data) - 1)


def test_a_missing_model_is_refused(tmp_path):
    with pytest.raises(InvalidModel, match=r"model\.onnx cannot be read: No such file"):
        read_model(tmp_path / "model.onnx")
