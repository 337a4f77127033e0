"""Semi-orthogonal matrices and TDNN-F, against plain computations."""

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.nnet.factored import to_semi_orthogonal
from hybridasr.nnet.network_text import read_network


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (5, 5), (1, 6)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_steps_lead_to_a_multiple_of_a_semi_orthogonal_matrix(shape, dtype):
    matrix = (0.3 * noise(*shape)).astype(dtype)
    for _ in range(60):
        to_semi_orthogonal(matrix)
    assert matrix.dtype == dtype
    values = np.linalg.svd(matrix, compute_uv=False)
    np.testing.assert_allclose(values / values[0], 1, atol=1e-5)


def test_the_scale_floats():
    """No step of a matrix that is orthogonal already, at any size; others keep their direction."""
    matrix = 7 * np.linalg.qr(noise(6, 3))[0].T
    kept = matrix.copy()
    to_semi_orthogonal(matrix)
    np.testing.assert_allclose(matrix, kept, rtol=1e-12)
    first, scaled = noise(3, 6), 100 * noise(3, 6)
    to_semi_orthogonal(first)
    to_semi_orthogonal(scaled)
    np.testing.assert_allclose(scaled, 100 * first, rtol=1e-10)


def test_a_step_by_its_formula():
    matrix = noise(3, 5)
    gram = matrix @ matrix.T
    scale = np.trace(gram @ gram) / np.trace(gram)
    ratio = 3 * np.trace(gram @ gram) / np.trace(gram) ** 2
    assert ratio > 1.1  # far off: a quarter of the speed
    expected = matrix - 4 * 0.125 / 4 / scale * (gram - scale * np.eye(3)) @ matrix
    to_semi_orthogonal(matrix)
    np.testing.assert_allclose(matrix, expected, rtol=1e-12)


def test_zeros_stay():
    matrix = np.zeros((2, 3))
    to_semi_orthogonal(matrix)
    assert not matrix.any()


def test_tdnnf_by_plain_computation():
    network = read_network("tdnnf dim=6 bottleneck=4 offset=2\noutput", 6, 3)
    layer = network.layers[0]
    rng = np.random.default_rng(2)
    layer.replace_arrays(lambda a: (a + 0.2 * rng.random(a.shape)).astype(np.float32))
    p = {name: array.astype(np.float64) for name, array in layer.parameters.items()}
    x = noise(11, 6).astype(np.float32)
    hidden = np.array([p["linear.weights"] @ np.concatenate([x[t - 2], x[t]])
                       for t in range(2, 11)])  # of the frames 2 to 10
    expected = []
    for t in range(2, 9):
        z = np.concatenate([hidden[t - 2], hidden[t]])
        z = np.maximum(p["affine.weights"] @ z + p["affine.bias"], 0)
        z = (z - layer.statistics["norm.mean"]) / np.sqrt(layer.statistics["norm.variance"] + 1e-3)
        expected.append(z * p["norm.scale"] + p["norm.shift"] + 0.66 * x[t])
    found = layer.forward(x[None])[0][0]
    assert (layer.left, layer.right) == (2, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert layer.multiplications == 4 * 12 + 6 * 8


def test_a_network_constrains_its_factored_layers_alone():
    network = read_network("affine dim=6\ntdnnf dim=6 bottleneck=3\nlinear dim=4\n"
                           "linear dim=2 orthonormal=false\noutput", 5, 3)
    before = {name: array.copy() for name, array in network.parameters.items()}
    network.constrain()
    changed = {name for name, array in network.parameters.items()
               if not np.array_equal(array, before[name])}
    assert changed == {"1.linear.weights", "2.weights"}


def test_unequal_columns_have_no_bypass():
    with pytest.raises(UserError, match="adds the input's 5 columns to dim=6; make them equal"):
        read_network("tdnnf dim=6 bottleneck=3\noutput", 5, 3)
    assert read_network("tdnnf dim=6 bottleneck=3 bypass=0\noutput", 5, 3).output_dim == 3
