import numpy as np
import pytest

from candor.explain.quadrature import gauss_legendre


@pytest.mark.parametrize("n", [1, 2, 3, 7, 50, 100])
def test_nodes_and_weights_are_numpys(n):
    nodes, weights = gauss_legendre(n)
    want_nodes, want_weights = np.polynomial.legendre.leggauss(n)
    np.testing.assert_allclose(nodes, 0.5 * (1 + want_nodes), atol=1e-15)
    np.testing.assert_allclose(weights, 0.5 * want_weights, rtol=1e-11)


@pytest.mark.parametrize("n", [1, 5, 64, 3000])
def test_what_has_a_known_integral_is_integrated(n):
    nodes, weights = gauss_legendre(n)
    assert (np.diff(nodes) > 0).all()
    assert weights.sum() == pytest.approx(1, abs=1e-14)
    degree = min(2 * n - 1, 40)
    assert weights @ nodes**degree == pytest.approx(1 / (degree + 1), rel=1e-12)
