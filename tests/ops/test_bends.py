"""Where many functions are bent or joined from two pieces, at 0, ±1 and the like, their derivatives are right too."""

from __future__ import annotations

import numpy as np
import pytest

from cornu import ops
from cornu.base import config
from cornu.base.config import backend_scope
from tests.backends import TRAINING

POINTS = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
NAMES = """
abs arccos arcsin arcsinh arctan arctanh celu cos cosh elu erf exp exp2 expm1 gelu hard_shrink hard_sigmoid hard_silu
hard_tanh i0 leaky_relu log1p log_sigmoid mish reciprocal relu relu6 rsqrt selu sigmoid silu sin sinc sinh soft_shrink
softplus softsign sparse_plus sparse_sigmoid sqrt square squareplus tan tanh tanh_shrink
"""
FUNCTIONS = {name: getattr(ops, name) for name in NAMES.split()} | {
    "gelu, exact": lambda x: ops.gelu(x, approximate=False),
    "logaddexp": lambda x: ops.logaddexp(x, ops.zeros_like(x)),
    "power of 2": lambda x: ops.power(x, 2),
    "power, of the exponent": lambda x: ops.power(ops.full_like(x, 3), x),
    "norm": lambda x: ops.norm(ops.stack([x, ops.ones_like(x)]), axis=0),
    "hypot": lambda x: ops.hypot(x, ops.full_like(x, 3)),
    "logsumexp": lambda x: ops.logsumexp(ops.stack([x, ops.zeros_like(x)]), axis=0),
    "cumprod": lambda x: ops.cumprod(ops.stack([x, x, x + 1]), axis=0)[-1],
    "cross-entropy": lambda x: ops.binary_crossentropy(ops.full_like(x, 0.3), x, from_logits=True),
}
NOT_SMOOTH = {"hypot"}  # of |x1|, whose second derivative at 0 is lost
TIES = {"hard_tanh", "soft_shrink", "sparse_sigmoid"}  # of a maximum and a number, whose slope JAX shares out


def quotients(fn):
    """Slopes to the left and to the right, and second differences there, by NumPy in double precision."""
    before = config.floatx()
    with backend_scope("numpy"), np.errstate(all="ignore"):
        config.set_floatx("float64")
        try:
            step = 1e-3
            left, right = (
                [np.asarray(fn(POINTS + (center + i) * step), "float64") for i in (-1, 0, 1)] for center in (-1, 1)
            )
        finally:
            config.set_floatx(before)
        slopes = [(part[2] - part[0]) / (2 * step) for part in (left, right)]
        return slopes, [(part[2] - 2 * part[1] + part[0]) / step**2 for part in (left, right)]


@pytest.mark.parametrize("backend", TRAINING)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives(name, backend):
    fn = FUNCTIONS[name]
    slopes, bends = quotients(fn)
    with backend_scope(backend):
        x = ops.convert_to_tensor(POINTS.astype("float32"))
        first = ops.convert_to_numpy(ops.grad(lambda x: ops.sum(fn(x)))(x))
        second = ops.hessian_vector_product(lambda x: ops.sum(fn(x)), [x], [ops.ones_like(x)])[0]
        second = ops.convert_to_numpy(second)
    assert np.isfinite(slopes[0]).sum() >= 2
    for found, (below, above) in ((first, slopes), *([] if name in NOT_SMOOTH else [(second, bends)])):
        smooth = np.isclose(below, above, rtol=0.02, atol=0.02)
        middle = (below + above) / 2
        np.testing.assert_allclose(found[smooth], middle[smooth], rtol=0.02, atol=0.01)


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - TIES))
def test_backends_agree_on_the_slope_of_a_bend(name):
    """It may be any between those of both sides; zeros are frequent, so that losses would go apart by it."""
    found = {}
    for backend in TRAINING:
        with backend_scope(backend):
            x = ops.convert_to_tensor(POINTS.astype("float32"))
            found[backend] = ops.convert_to_numpy(ops.grad(lambda x: ops.sum(FUNCTIONS[name](x)))(x))
    for slopes in found.values():
        np.testing.assert_allclose(slopes, found["jax"], rtol=1e-3, atol=1e-3, err_msg=str(found))
