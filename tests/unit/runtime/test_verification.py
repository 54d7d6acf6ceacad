"""That the check of a gradient can fail, and that programs in float64 are what they say."""

from dataclasses import replace

import numpy as np
import pytest
from onnx import ModelProto

from candor.autodiff import RULES
from candor.errors import InvalidModel, Unsupported
from candor.runtime.blueprints import plan_explanations
from candor.runtime.exact import in_float64
from candor.runtime.manifest import Manifest
from candor.runtime.session import Session, SessionPolicy
from candor.runtime.verification import Verification
from gradcheck.case import Case, model_of
from gradcheck.cases_pointwise import CASES as POINTWISE
from gradcheck.cases_spatial import CASES as SPATIAL
from gradcheck.check import compiled, in_float32, in_runtime, runner
from unit.autodiff.build import model

CPU = SessionPolicy(providers=("cpu",))
WRITTEN_OUT = {"AveragePool", "Celu", "Conv", "ConvTranspose", "Cosh", "Elu", "Erf", "Gelu",
               "GlobalAveragePool", "GlobalMaxPool", "HardSwish", "InstanceNormalization",
               "LeakyRelu", "Mean", "Mish", "Sinh", "Softplus", "Tan"}  # fmt: skip


def loads(program: ModelProto) -> bool:
    try:
        Session(program, CPU)
    except InvalidModel:
        return False
    return True


def verification(text: str) -> Verification:
    made = model(text, w=np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3))
    made.opset_import.add(domain="ai.onnx.ml", version=3)
    return Verification(plan_explanations(made, Manifest(), None, None), CPU, 3)


TANH = "(float[n, 4] x) => (float[n, 3] y) { h = Tanh(x) y = MatMul(h, w) }"


def slopes(check: Verification) -> list[str]:
    rows = np.random.default_rng(3).standard_normal((3, 4)).astype(np.float32)
    return [found.verdict for found in check.slopes(rows, check.targets(rows, None), 2)]


def test_the_gradient_of_a_model_agrees() -> None:
    assert slopes(verification(TANH)) == ["agrees"] * 6


def test_a_wrong_rule_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(RULES["Tanh"], apply=lambda op, at: [op.Mul(at.g, 0.999)])
    monkeypatch.setitem(RULES, "Tanh", wrong)
    assert slopes(verification(TANH)) == ["differs"] * 6


def test_a_rule_that_is_wrong_in_its_fifth_digit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = RULES["Tanh"].apply
    close = replace(RULES["Tanh"], apply=lambda op, at: [op.Mul(right(op, at)[0] or "", 1 + 1e-4)])
    monkeypatch.setitem(RULES, "Tanh", close)
    assert slopes(verification(TANH)) == ["differs"] * 6


def test_a_straight_through_estimate_is_not_verified() -> None:
    text = """(float[n, 4] x) => (float[n, 3] y) {
        s = Constant <value_float = 0.1>()
        q = QuantizeLinear(x, s) d = DequantizeLinear(q, s) y = MatMul(d, w)
    }"""
    with pytest.raises(Unsupported, match="straight-through"):
        verification(text)


def test_a_scaler_of_records_takes_part_in_float64() -> None:
    """ONNX Runtime's takes float64 and writes float32, which would look like a wrong slope."""
    text = """(float[n, 4] x) => (float[n, 3] y) {
        z = ai.onnx.ml.Scaler <offset = [746.0, 2.3, 13.0, 0.9], scale = [0.003, 0.9, 1.2, 4.4]>(x)
        h = Tanh(z) y = MatMul(h, w)
    }"""
    check = verification(text)
    rows = np.array([[700, 2, 14, 1], [1100, 3, 12, 0.5]], np.float32)
    found = list(check.slopes(rows, check.targets(rows, None), 3))
    assert [slope.verdict for slope in found] == ["agrees"] * 6
    assert max(slope.error for slope in found) < 1e-6


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=f"{i}:{case}")
        for i, case in enumerate((*POINTWISE, *SPATIAL))
        if case.op in WRITTEN_OUT
        and not case.attributes.keys() & {"alpha", "approximate", "epsilon"}
    ],
)
def test_a_program_in_float64_computes_the_same_where_kernels_are_missing(case: Case) -> None:
    rounded = [a if a is None or a.dtype != np.float64 else a.astype("f4").astype("f8")
               for a in case.operands]  # fmt: skip
    wide = compiled(model_of(replace(case, operands=rounded), known="all but batch"))
    narrow = compiled(in_float32(model_of(replace(case, operands=rounded), known="all but batch")))
    point = replace(case, operands=rounded).point
    found = in_float64(narrow.forward, loads)
    assert not found.narrow
    for ours, wanted in zip(
        in_runtime(found.program)(point), runner(wide.forward, case.kernels)(point), strict=True
    ):
        np.testing.assert_allclose(ours, wanted, rtol=1e-11, atol=1e-12)
