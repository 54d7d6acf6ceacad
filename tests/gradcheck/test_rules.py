"""Every rule, against slopes in float64 and against the runtime's own float32."""

import numpy as np
import onnxruntime
import pytest
from onnx import defs

from candor.autodiff import BLOCKED, NO_GRADIENT, RULES
from candor.autodiff.prepare import EXPANDED
from gradcheck import cases_pointwise, cases_rare, cases_spatial
from gradcheck.case import Case, case, model_of, x
from gradcheck.check import agrees_in_float32, has_the_slope, in_runtime
from gradcheck.networks import SEED

CASES = [*cases_pointwise.CASES, *cases_spatial.CASES, *cases_rare.CASES]
RECURRENT = {"LSTM", "GRU", "RNN", "Scan"}  # in test_recurrent.py and test_scan.py
QUANTISED = {  # estimates, no derivatives: in test_straight_through.py
    name for name, rule in RULES.items() if rule.apply.__module__.endswith(("quantize", "integer"))
}
STANDARD = {name for name in RULES if "." not in name}
"""The rules of the standard's own domain; those of others have tests beside what needs them."""
CLASSICAL = {"ai.onnx.ml.Normalizer", "ai.onnx.ml.Scaler"}  # in test_classical.py

ANY_EXTENT = {"Add", "AveragePool", "Concat", "Conv", "Gather", "GatherElements", "Gemm",
              "GlobalAveragePool", "LayerNormalization", "MatMul", "MaxPool", "ReduceMean",
              "ReduceSum", "Relu", "Slice", "Softmax", "Split", "Transpose", "Where"}  # fmt: skip
"""Tested with nothing known but ranks too, as in networks for pictures of any size."""


def any_extent(case: Case) -> bool:
    """Whether a case's operator, with its attributes, is tested so."""
    needs = {"auto_pad", "ceil_mode"} if case.op == "AveragePool" else {"auto_pad"}
    return case.op in ANY_EXTENT and needs.isdisjoint(case.attributes)


@pytest.mark.parametrize(
    ("case", "known"),
    [
        pytest.param(case, known, id=f"{i}:{case}-{known}")
        for i, case in enumerate(CASES)
        for known in ("all", "all but batch", "rank")
        if known != "rank" or any_extent(case)
    ],
)
def test_gradient_is_the_slope_along_any_direction(case: Case, known: str):
    rng = np.random.default_rng(SEED)
    try:
        has_the_slope(model_of(case, known=known), case.point, rng, kernels=case.kernels)
    except AssertionError as error:
        raise AssertionError(f"CANDOR_SEED={SEED}: {error}") from error


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{i}:{case}") for i, case in enumerate(CASES)]
)
def test_the_runtime_computes_the_same_in_float32_with_and_without_optimisations(case: Case):
    rng = np.random.default_rng(SEED)
    model = model_of(case, known="all but batch")
    try:
        agrees_in_float32(model, case.point, rng, kernels=case.kernels)
    except AssertionError as error:
        raise AssertionError(f"CANDOR_SEED={SEED}: {error}") from error


def test_every_rule_has_a_case():
    assert set(RULES) | EXPANDED == {case.op for case in CASES} | RECURRENT | QUANTISED | CLASSICAL


NOT_IN_CLASSIFIERS = {
    "makes constants or noise, from no operand that varies": {
        "BlackmanWindow", "Constant", "HammingWindow", "HannWindow", "MelWeightMatrix",
        "RandomNormal", "RandomUniform", "Range",
    },
    "is a loss of training": {"NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"},
    "reads bytes, bits or text": {
        "BitCast", "ImageDecoder", "RegexFullMatch", "StringConcat", "StringSplit",
        "TfIdfVectorizer",
    },
    "handles optional values or sequences as a whole": {
        "Optional", "OptionalGetElement", "OptionalHasElement", "SequenceEmpty", "SequenceErase",
        "SequenceLength",
    },
    "undoes a pooling, for pictures as results": {"MaxUnpool"},
    "keeps the state of a generating model": {"TensorScatter"},
    "has been seen in no classifier": {"CumProd", "Det"},
}  # fmt: skip
"""What is refused as an operator without a rule, and why nobody should meet that."""


def newest_opset() -> int:
    for version in range(defs.onnx_opset_version(), 17, -1):
        try:
            in_runtime(model_of(case("Relu", x(2), opset=version), known="all"))
        except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
            continue  # "is under development"
        return version
    raise AssertionError("ONNX Runtime loads no opset")


def test_every_operator_that_the_runtime_loads_has_been_thought_of():
    newest = newest_opset()
    schemas = [s for s in defs.get_all_schemas_with_history() if s.domain == ""]
    loaded = sorted((s for s in schemas if s.since_version <= newest), key=_version)
    standard = {name for name, s in {s.name: s for s in loaded}.items() if not s.deprecated}
    listed = [STANDARD, NO_GRADIENT, set(BLOCKED), EXPANDED, *NOT_IN_CLASSIFIERS.values()]
    assert standard == set().union(*listed)
    assert len(standard) == sum(map(len, listed)), "an operator is in two lists"


def _version(schema: defs.OpSchema) -> int:
    return schema.since_version
