"""Random uses of every group of operators: slopes in float64, the runtime's float32."""

import numpy as np
import pytest
from hypothesis import assume, given, note, seed, settings
from hypothesis import strategies as st

from candor.errors import UnsupportedOperator
from gradcheck.case import Case, model_of
from gradcheck.check import KinkError, all_holds, is_the_adjoint
from gradcheck.networks import SEED
from properties import moving, pointwise, windows

GROUPS = {
    "convolutions": windows.convolutions(),
    "transposed convolutions": windows.transposed_convolutions(),
    "poolings": windows.poolings(),
    "broadcasts": pointwise.broadcasts(),
    "reductions": pointwise.reductions(),
    "products": pointwise.products(),
    "activations": pointwise.activations(),
    "normalisations": pointwise.normalisations(),
    "slices": moving.slices(),
    "pads": moving.pads(),
    "gathers": moving.gathers(),
    "joins": moving.joins(),
    "shapings": moving.shapings(),
    "resizes": moving.resizes(),
}
KNOWN = ("all", "all but batch", "rank")


@pytest.mark.parametrize("group", GROUPS)
def test_the_gradient_is_exact_of_any(group: str):
    check = is_the_adjoint if group == "resizes" else all_holds

    @seed(SEED)
    @settings(max_examples=60 if group in {"convolutions", "poolings"} else 40)
    @given(GROUPS[group], st.sampled_from(KNOWN), st.integers(0, 2**31))
    def holds(case: Case, known: str, drawn: int):
        note(f"CANDOR_SEED={SEED}: {case}, known: {known}")
        try:
            check(model_of(case, known=known), case.point, np.random.default_rng(drawn))
        except KinkError:
            assume(False)
        except UnsupportedOperator:
            if known != "rank":  # of unknown extents much may be refused, by name
                raise
            assume(False)

    holds()
