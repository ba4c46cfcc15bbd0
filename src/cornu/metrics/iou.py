"""Overlap of predicted and true classes: intersection over union."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cornu import ops
from cornu.backend import B
from cornu.backend.contract import Array
from cornu.base.checks import whole
from cornu.base.errors import ArgumentError
from cornu.losses.loss import aligned
from cornu.metrics.metric import Metric


class IoU(Metric):
    """The mean over `target_class_ids` of TP / (TP + FP + FN), of the classes that occur.

    Labels and predictions are class numbers below `num_classes` or, where `sparse_y_true` or `sparse_y_pred` is False,
    scores whose largest entry along `axis` names the class. Elements labelled `ignore_class` do not count.
    """

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        whole(self, 1, num_classes=num_classes)
        if any(not 0 <= i < num_classes for i in target_class_ids):
            raise ArgumentError(
                f"{type(self).__name__}: target_class_ids should be class numbers below num_classes={num_classes}, got "
                f"{list(target_class_ids)}."
            )
        super().__init__(dtype, name)
        self.num_classes, self.target_class_ids = num_classes, list(target_class_ids)
        self.ignore_class, self.sparse_y_true, self.sparse_y_pred = ignore_class, sparse_y_true, sparse_y_pred
        self.axis = axis
        self.total_confusion_matrix = self.add_variable((num_classes, num_classes), name="total_confusion_matrix")

    def _classes(self, y: Any, sparse: bool) -> Array:
        y = ops.convert_to_tensor(y)
        return B.cast(y, "int32") if sparse else B.argmax(y, axis=self.axis)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in labels and predictions, with weights that broadcast from the batch axis on."""
        y_true, y_pred = self._classes(y_true, self.sparse_y_true), self._classes(y_pred, self.sparse_y_pred)
        if math.prod(y_true.shape) != math.prod(y_pred.shape):
            raise ArgumentError(
                f"{self.name}: labels and predictions should name one class for each element, got shapes "
                f"{tuple(y_true.shape)} and {tuple(y_pred.shape)}."
            )
        weights = B.convert(1, self.dtype)
        if sample_weight is not None:
            weights = aligned(ops.convert_to_tensor(sample_weight, self.dtype), y_true, f"{self.name}: sample_weight")
        weights = B.broadcast_to(weights, y_true.shape)
        if self.ignore_class is not None:
            weights = weights * B.cast(y_true != self.ignore_class, self.dtype)
        truth, guess = (ops.one_hot(B.reshape(y, (-1,)), self.num_classes, dtype=self.dtype) for y in (y_true, y_pred))
        matrix = B.matmul(B.transpose(truth, (1, 0)), guess * B.reshape(weights, (-1, 1)))
        self.total_confusion_matrix.assign_add(matrix)

    def result(self) -> Array:
        """The mean, a scalar."""
        matrix = self.total_confusion_matrix.value
        chosen = B.convert(np.asarray(self.target_class_ids, "int32"))
        common = B.sum(matrix * ops.eye(self.num_classes, dtype=self.dtype), axis=0)
        union = B.sum(matrix, axis=0) + B.sum(matrix, axis=1) - common
        common, union = B.take(common, chosen, 0), B.take(union, chosen, 0)
        occur = B.sum(B.cast(union != 0, self.dtype))
        scores = B.where(union == 0, 0 * common, common / B.where(union == 0, 1, union))
        return B.sum(scores) / B.where(occur == 0, 1, occur)


class BinaryIoU(IoU):
    """`IoU` of labels 0 and 1 and predictions that are 1 where they exceed the `threshold` (None: as they are)."""

    def __init__(
        self,
        target_class_ids: Sequence[int] = (0, 1),
        threshold: float | None = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in labels and predictions."""
        if self.threshold is not None:
            y_pred = ops.convert_to_tensor(y_pred, self.dtype) >= self.threshold
        super().update_state(y_true, y_pred, sample_weight)


class MeanIoU(IoU):
    """`IoU` of all classes."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: int = -1,
    ) -> None:
        classes = range(num_classes)
        super().__init__(num_classes, classes, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)


class OneHotIoU(IoU):
    """`IoU` of one-hot labels, and of predictions that are scores unless `sparse_y_pred`."""

    def __init__(
        self,
        num_classes: int,
        target_class_ids: Sequence[int],
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)


class OneHotMeanIoU(MeanIoU):
    """`MeanIoU` of one-hot labels, and of predictions that are scores unless `sparse_y_pred`."""

    def __init__(
        self,
        num_classes: int,
        name: str | None = None,
        dtype: Any = None,
        ignore_class: int | None = None,
        sparse_y_pred: bool = False,
        axis: int = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)
