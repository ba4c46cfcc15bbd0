"""Networks' ops against PyTorch and Keras, names, and errors; convolutions have a file of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import torch

import cornu.ops as ops
from cornu.backend import B
from cornu.base import config
from cornu.base.errors import ArgumentError, ShapeError
from cornu.core.symbolic import KerasTensor

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def numpy_backend() -> Iterator[None]:
    """The conformance suite shows that the backends agree."""
    with config.backend_scope("numpy"):
        yield


def draw(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype("float32")


def last(x: Any) -> np.ndarray:
    return np.moveaxis(np.asarray(x), 1, -1)


def test_every_name_of_keras_is_there() -> None:
    assert [name for name in dir(keras.ops.nn) if not name.startswith("_") and not hasattr(ops.nn, name)] == []


@pytest.mark.parametrize("backend", ["jax", "torch", "tensorflow"])
@pytest.mark.parametrize("name", ["mish", "hard_silu"])
def test_activations_are_level_far_below_zero(name: str, backend: str) -> None:
    with config.backend_scope(backend):
        slopes = ops.grad(lambda x: ops.sum(getattr(ops, name)(x)))(ops.array([-np.inf, -1e4]))
        np.testing.assert_array_equal(B.to_numpy(slopes), 0)


@pytest.mark.parametrize("kind", ["average", "max"])
@pytest.mark.parametrize(("sizes", "wanted"), [((7,), 3), ((5, 8), (2, 7)), ((3, 4), (3, 6)), ((5, 4, 6), (2, 4, 1))])
def test_adaptive_pools_are_those_of_torch(kind: str, sizes: tuple[int, ...], wanted: Any) -> None:
    x = draw(2, 3, *sizes)
    fn = getattr(torch.nn.functional, f"adaptive_{'avg' if kind == 'average' else 'max'}_pool{len(sizes)}d")
    expected = fn(torch.tensor(x), wanted).numpy()
    found = getattr(ops, f"adaptive_{kind}_pool")
    np.testing.assert_allclose(found(last(x), wanted), last(expected), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found(x, wanted, data_format="channels_first"), expected, rtol=1e-5, atol=1e-6)


FOLDS = [
    ((6, 7), {"kernel_size": 2}),
    ((6, 7), {"kernel_size": (3, 2), "stride": (2, 3), "padding": (1, 0)}),
    ((9, 8), {"kernel_size": 3, "dilation": (1, 2), "padding": 2, "stride": 2}),
]


@pytest.mark.parametrize(("sizes", "options"), FOLDS)
def test_fold_and_unfold_are_those_of_torch(sizes: tuple[int, int], options: dict[str, Any]) -> None:
    x = draw(2, 3, *sizes)
    patches = torch.nn.functional.unfold(torch.tensor(x), **options)
    np.testing.assert_array_equal(ops.unfold(x, **options), patches)
    expected = torch.nn.functional.fold(patches, sizes, **options)
    np.testing.assert_allclose(ops.fold(patches.numpy(), sizes, **options), expected, rtol=1e-5, atol=1e-6)


def test_blocks() -> None:
    x = draw(2, 18, 2, 3)
    expected = torch.nn.functional.pixel_shuffle(torch.tensor(x), 3).numpy()
    spread = ops.depth_to_space(x, 3, "channels_first")
    np.testing.assert_array_equal(spread, expected)
    np.testing.assert_array_equal(ops.space_to_depth(spread, 3, "channels_first"), x)
    np.testing.assert_array_equal(ops.depth_to_space(last(x), 3), keras.ops.depth_to_space(last(x), 3))
    np.testing.assert_array_equal(ops.space_to_depth(last(spread), 3), keras.ops.space_to_depth(last(spread), 3))


@pytest.mark.parametrize("options", [{}, {"strides": 2, "padding": "same"}, {"dilation_rate": 2}])
def test_separable_conv_is_that_of_keras(options: dict[str, Any]) -> None:
    args = draw(2, 7, 8, 3), draw(3, 2, 3, 2), draw(1, 1, 6, 4)
    np.testing.assert_allclose(
        ops.separable_conv(*args, **options), keras.ops.separable_conv(*args, **options), rtol=1e-4, atol=1e-4
    )


def test_psnr() -> None:
    a, b = draw(2, 4, 5, 3), draw(2, 4, 5, 3)
    assert float(ops.psnr(a, b, 2.0)) == pytest.approx(float(keras.ops.psnr(a, b, 2.0)), rel=1e-5)
    # 255² · 8 000 is beyond float16, what comes out is not
    wide = np.zeros((8000,), "float16")
    assert float(ops.psnr(wide, wide + 255, 255)) == pytest.approx(0, abs=1e-3)


def ctc(labels: int, steps: int, classes: int, seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    logits = 3 * rng.standard_normal((4, steps, classes)).astype("float32")
    target = rng.integers(1, classes, (4, labels))
    return target, logits, rng.integers(0, labels + 1, 4), rng.integers(2 * labels, steps + 1, 4)


@pytest.mark.parametrize(("labels", "steps", "classes"), [(3, 9, 4), (5, 30, 3), (20, 60, 30)])
def test_ctc_loss_and_its_gradient_are_those_of_torch(labels: int, steps: int, classes: int) -> None:
    target, logits, labels_of, steps_of = ctc(labels, steps, classes, steps)
    t = torch.tensor(logits, requires_grad=True)
    lengths = torch.tensor(steps_of), torch.tensor(labels_of)
    scores = t.log_softmax(-1).permute(1, 0, 2)
    expected = torch.nn.functional.ctc_loss(scores, torch.tensor(target), *lengths, reduction="none")
    expected.sum().backward()
    np.testing.assert_allclose(ops.ctc_loss(target, logits, labels_of, steps_of), expected.detach(), rtol=1e-4)
    with config.backend_scope("jax"):
        gradient = B.compile(ops.grad(lambda x: ops.sum(ops.ctc_loss(target, x, labels_of, steps_of))))(logits)
        np.testing.assert_allclose(B.to_numpy(gradient), t.grad, rtol=1e-3, atol=1e-4)


def test_ctc_loss_is_that_of_keras() -> None:
    target, logits, labels_of, steps_of = ctc(3, 9, 4, 1)
    for dtype in ("float32", "float16", "int32"):
        expected = np.asarray(keras.ops.ctc_loss(target, logits.astype(dtype), labels_of, steps_of))
        found = ops.ctc_loss(target, logits.astype(dtype), labels_of, steps_of)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-3)
    # What lies behind a target's length does not matter.
    behind = np.where(np.arange(3) < labels_of[:, None], target, -7)
    np.testing.assert_array_equal(ops.ctc_loss(behind, logits, labels_of, steps_of), ops.ctc_loss(target, *[
        logits, labels_of, steps_of
    ]))  # fmt: skip


def test_a_target_that_does_not_fit_has_a_large_loss_and_a_gradient() -> None:
    logits = draw(1, 4, 3)
    assert 1e5 <= float(ops.ctc_loss([[1, 1, 1]], logits, [3], [4])[0]) < 1.1e5
    with config.backend_scope("jax"):
        gradient = B.to_numpy(ops.grad(lambda x: ops.sum(ops.ctc_loss([[1, 1, 1]], x, [3], [4])))(logits))
    assert np.all(np.isfinite(gradient))
    assert np.any(gradient != 0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"merge_repeated": False},
        {"mask_index": 2},
        {"strategy": "beam_search", "top_paths": 3},
        {"strategy": "beam_search", "top_paths": 2, "beam_width": 50, "mask_index": 3},
    ],
)
def test_ctc_decode_is_that_of_keras(options: dict[str, Any]) -> None:
    logits, lengths = 2 * draw(3, 6, 4), np.array([6, 4, 5])
    paths, scores = (np.asarray(a) for a in keras.ops.ctc_decode(logits, lengths, **options))
    found, found_scores = ops.ctc_decode(logits, lengths, **options)
    np.testing.assert_array_equal(found, paths)
    np.testing.assert_allclose(found_scores, scores, rtol=1e-4)
    assert (found.dtype, found_scores.dtype) == (paths.dtype, scores.dtype)


def test_a_narrow_beam_keeps_good_paths() -> None:
    """Of 40 steps over 12 classes a beam of 8 finds what the widest finds, with nearly all of its probability."""
    rng = np.random.default_rng(4)
    logits = rng.standard_normal((2, 40, 12)).astype("float32")
    logits[..., 0] += 2
    logits[np.arange(2)[:, None], np.arange(40), rng.integers(0, 12, (2, 40))] += 5
    lengths = np.array([40, 33])
    paths, scores = ops.ctc_decode(logits, lengths, "beam_search", 8, 3)
    _, wide = ops.ctc_decode(logits, lengths, "beam_search", 60, 3)
    assert np.all(scores[:, 0] <= wide[:, 0] + 1e-4)
    np.testing.assert_allclose(scores[:, 0], wide[:, 0], atol=0.05)
    # Its score is at most what the loss says of the path, which sums over all alignments.
    best = paths[0]
    loss = ops.ctc_loss(best, logits, (best >= 0).sum(-1), lengths)
    assert np.all(scores[:, 0] <= -loss + 1e-3)
    np.testing.assert_allclose(scores[:, 0], -loss, atol=0.05)


def test_unknown_batch() -> None:
    x, lengths = KerasTensor((None, 5, 4)), KerasTensor((None,), "int32")
    with config.backend_scope("jax"):
        paths, scores = ops.ctc_decode(x, lengths, "beam_search", top_paths=3)
        assert (paths.shape, paths.dtype, scores.shape, scores.dtype) == ((3, None, 5), "int32", (None, 3), "float32")
        assert ops.ctc_loss(KerasTensor((None, 3), "int32"), x, lengths, lengths).shape == (None,)
        images = KerasTensor((None, None, None, 8))
        assert ops.adaptive_average_pool(images, 3).shape == (None, 3, 3, 8)
        assert ops.depth_to_space(images, 2).shape == (None, None, None, 2)


TARGET, LOGITS, LABELS, STEPS = ctc(3, 9, 4, 1)
IMAGES = draw(2, 4, 6, 3)
BAD = [
    (lambda: ops.ctc_loss(TARGET[0], LOGITS, LABELS, STEPS), ShapeError, r"ctc_loss: target should be \(batch, max"),
    (lambda: ops.ctc_loss(TARGET, LOGITS[0], LABELS, STEPS), ShapeError, r"output should be \(batch, steps, classes\)"),
    (lambda: ops.ctc_loss(TARGET, LOGITS, LABELS[:2], STEPS), ShapeError, "one size, got .*'target_length': 2"),
    (lambda: ops.ctc_loss(TARGET, LOGITS, LABELS, STEPS, -1), ArgumentError, "mask_index .* from 0 to 3, got -1"),
    (lambda: ops.ctc_decode(LOGITS, STEPS, "beam-search"), ArgumentError, "strategy .* Did you mean 'beam_search'"),
    (lambda: ops.ctc_decode(LOGITS, STEPS, "beam_search", 2, 3), ArgumentError, "from 1 to beam_width=2, got 3"),
    (lambda: ops.ctc_decode(LOGITS, STEPS[0]), ShapeError, r"sequence_lengths should be \(batch,\), got shape \(\)"),
    (lambda: ops.depth_to_space(IMAGES, 2), ShapeError, r"block_size=2.*divisible by \(1, 1, 4\), got"),
    (lambda: ops.space_to_depth(IMAGES, 3), ShapeError, r"space_to_depth: .*divisible by \(3, 3, 1\)"),
    (lambda: ops.space_to_depth(IMAGES, 0), ArgumentError, "block_size should be a positive int, got 0"),
    (lambda: ops.space_to_depth(IMAGES[0], 2), ShapeError, "images of 4 axes"),
    (lambda: ops.unfold(IMAGES[0], 2), ShapeError, r"unfold: x should be \(batch, channels, height, width\)"),
    (lambda: ops.unfold(IMAGES, 4), ShapeError, "unfold: the window of 4 .dilation 1. is larger than the image's 3"),
    (lambda: ops.unfold(IMAGES, 2, padding=-1), ArgumentError, "unfold: padding should be an int from 0"),
    (lambda: ops.fold(draw(1, 8, 5), (3, 4), 2), ShapeError, r"6 places .*channels · 4, 6\), got \(1, 8, 5\)"),
    (lambda: ops.fold(draw(1, 7, 6), (3, 4), 2), ShapeError, r"channels · 4, 6\), got \(1, 7, 6\)"),
    (lambda: ops.adaptive_max_pool(IMAGES, (2, 2, 2)), ArgumentError, "output_size should be a positive int or 2"),
    (lambda: ops.adaptive_average_pool(IMAGES, 0), ArgumentError, "output_size should be a positive int or 2 of them"),
    (lambda: ops.psnr(IMAGES, IMAGES[:1], 255), ShapeError, "psnr: x1 and x2 should have one shape"),
    (lambda: ops.psnr(IMAGES, IMAGES, 0), ArgumentError, "psnr: max_val should be .* positive number, got 0"),
    (
        lambda: ops.separable_conv(IMAGES, draw(2, 2, 3, 2), draw(1, 1, 5, 4)),
        ShapeError,
        r"pointwise_kernel should have the shape \(1, 1, 6, 'filters'\) .* got \(1, 1, 5, 4\)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), BAD, ids=[message[:40] for _, _, message in BAD])
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
