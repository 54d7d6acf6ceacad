import re

import numpy as np
import pytest
from onnx import helper, numpy_helper

from candor.errors import InvalidInput
from candor.result import Tensors, Texts
from candor.runtime.model import ModelPolicy, load_model
from candor.runtime.repository import Folder
from candor.runtime.session import SessionPolicy
from candor.runtime.vocabulary import known_ids, refuse_unknown_ids
from unit.runtime.builders import FLOAT, INT64, model, value, write_model

TABLE = np.arange(21, dtype=np.float32).reshape(7, 3)


def node(operator, inputs, output, **attributes):
    return helper.make_node(operator, inputs, [output], **attributes)


LOOK_UP = node("Gather", ["table", "ids"], "y")


def sizes(*nodes, vocabulary=(), **constants):
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    inputs = [value("ids", INT64, ["n", "t"])]
    proto = model(list(nodes), inputs, [value("y", FLOAT, None)], initializers)
    return known_ids(proto.graph, dict(vocabulary))


def test_a_model_knows_as_many_ids_as_its_embedding_has_rows():
    assert sizes(LOOK_UP, table=TABLE) == {"ids": 7}
    cast = node("Cast", ["ids"], "1", to=6), node("Reshape", ["1", "shape"], "2")
    behind = node("Gather", ["table", "2"], "y")
    assert sizes(*cast, behind, table=TABLE, shape=np.array([-1])) == {"ids": 7}
    constant = node("Constant", [], "table", value=numpy_helper.from_array(TABLE))
    assert sizes(constant, LOOK_UP) == {"ids": 7}


def test_the_smallest_table_that_an_input_is_looked_up_in_counts():
    twice = node("Gather", ["table", "ids"], "y"), node("Gather", ["small", "ids"], "z")
    assert sizes(*twice, table=TABLE, small=TABLE[:4]) == {"ids": 4}


def test_a_table_of_whole_numbers_that_are_scaled_later_counts_too():
    scaled = node("DequantizeLinear", ["packed", "scale"], "table")
    constants = {"packed": TABLE.astype(np.uint8), "scale": np.float32(0.5)}
    assert sizes(scaled, LOOK_UP, **constants) == {"ids": 7}


def test_the_vocabulary_counts_where_the_graph_shows_no_table():
    assert sizes(node("Cast", ["ids"], "y", to=1), vocabulary={"ids": 5}) == {"ids": 5}
    assert sizes(LOOK_UP, vocabulary={"ids": 5}, table=TABLE) == {"ids": 7}
    assert sizes(node("Cast", ["ids"], "y", to=1)) == {}


def test_ids_that_are_changed_before_they_are_looked_up_are_the_models_own_affair():
    clipped = node("Clip", ["ids", "low"], "1"), node("Gather", ["table", "1"], "y")
    assert sizes(*clipped, table=TABLE, low=np.array(0)) == {}
    columns = node("Gather", ["table", "ids"], "y", axis=1)
    assert sizes(columns, table=TABLE) == {}


@pytest.mark.parametrize("kind", [np.int32, np.int64])
@pytest.mark.parametrize("wrong", [-1, 7, 99999])
def test_an_unknown_id_is_refused_with_its_row_and_value(kind, wrong):
    ids = np.array([[0, 6, 1], [2, 2, wrong]], kind)
    message = (
        f"row 1: input 'ids' holds {wrong} at position 2, expected a token id: the model knows "
        "0 to 6"
    )
    with pytest.raises(InvalidInput, match=re.escape(message)):
        refuse_unknown_ids({"ids": ids}, {"ids": 7})


@pytest.mark.parametrize(
    "ids", [np.array([[0, 6]]), np.zeros((0, 3), int), np.array([["6"]], object), np.array([[9.5]])]
)
def test_what_is_in_range_empty_or_no_whole_number_passes(ids):
    refuse_unknown_ids({"ids": ids}, {"ids": 7})


@pytest.fixture
def words(tmp_path):
    """A classifier of sentences of 2 words: table, mean over the words, three classes."""
    nodes = [
        node("Gather", ["table", "ids"], "1"),
        node("ReduceMean", ["1", "axes"], "scores", keepdims=0),
    ]
    constants = {"table": TABLE, "axes": np.array([1])}
    proto = model(
        nodes,
        [value("ids", INT64, ["n", "t"])],
        [value("scores", FLOAT, ["n", 3])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    path = write_model(tmp_path / "words" / "1", proto)
    (tmp_path / "words" / "model.toml").write_text(
        '[input]\nkind = "tokens"\nvocabulary = "words.txt"\n'
    )
    # one word more than the table has rows
    (tmp_path / "words" / "words.txt").write_text("a\nb\nc\nd\ne\nf\ng\nh\n")
    policy = ModelPolicy(SessionPolicy(("cpu",)), 1000, lambda *_: None)
    return load_model(Folder("words", "1", path.parent, path.parent.parent), policy)


def test_a_served_model_refuses_ids_that_it_does_not_know(words):
    assert words.check({"ids": np.array([[0, 6]])})
    for wrong in (-1, 7):
        odd = {"ids": np.array([[0, 6], [wrong, 0]])}
        message = f"row 1: input 'ids' holds {wrong} at position 0"
        with pytest.raises(InvalidInput, match=message):
            words.encode(Tensors(odd))
        with pytest.raises(InvalidInput, match=message):
            words.check(odd)
    assert words.subject().geometry.n_ids == 7
    with pytest.raises(InvalidInput, match="row 1: input 'ids' holds 7 at position 1"):
        words.encode(Texts(("a g", "a h")))
