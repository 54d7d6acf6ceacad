"""Random graphs of several operators: cotangents of shared values add up, rules compose."""

import numpy as np
from hypothesis import assume, given, note, seed, settings
from hypothesis import strategies as st

from candor.errors import UnsupportedOperator
from gradcheck.check import KinkError, all_holds
from gradcheck.networks import SEED
from properties.programs import Program, programs


@seed(SEED)
@settings(max_examples=100)
@given(programs(), st.sampled_from(("all", "all but batch", "rank")), st.integers(0, 2**31))
def test_the_gradient_is_exact_of_any_program(program: Program, known: str, drawn: int):
    note(f"CANDOR_SEED={SEED}, known: {known}\n{program}")
    try:
        all_holds(program.model(known), program.inputs, np.random.default_rng(drawn))
    except KinkError:
        assume(False)
    except UnsupportedOperator:
        if known != "rank":  # of unknown extents much may be refused, by name
            raise
        assume(False)
