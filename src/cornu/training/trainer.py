"""compile, fit, evaluate, predict: what every model can do."""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from cornu import metrics as metrics_module
from cornu import optimizers
from cornu.backend import B
from cornu.base import config, tree
from cornu.base.checks import whole
from cornu.base.errors import ArgumentError, DataError, StateError, did_you_mean, warn
from cornu.base.spec import Spec
from cornu.callbacks.callback import CallbackList
from cornu.callbacks.history import History
from cornu.core import configurable
from cornu.core.state import StateScope, pairs, value_and_grad
from cornu.core.tracking import changes, find
from cornu.core.variable import Variable
from cornu.metrics import Mean, Metric
from cornu.random.seed import global_generator, next_seed
from cornu.training import diagnosis, speed
from cornu.training.data import ArrayData, BatchData, adapt, split_rows, unpack_batch
from cornu.training.engine import (
    DeviceLogs,
    Engine,
    Forward,
    Interruption,
    Listener,
    batch_for_step,
    build_by_tracing,
    fixed_batch,
    in_jax_form,
)
from cornu.training.objective import CompiledLoss, CompiledMetrics, infer_update, masks_of, output_names, put_masks
from cornu.training.run import Run, is_verbose, wished_checkpoint


def in_own_backend(method: Callable[..., Any]) -> Any:
    """The method under the backend of its model."""

    @functools.wraps(method)
    def run(model: Any, *args: Any, **kwargs: Any) -> Any:
        with config.backend_scope(model._backend):
            return method(model, *args, **kwargs)

    return run


class _Evaluation(Listener):
    """Tells the callbacks of the batches of an evaluation."""

    def __init__(self, told: CallbackList) -> None:
        self._told = told
        self.every_step = told.wants_every("test")
        self.count = 0

    def begin(self, step: int) -> None:
        if self.every_step:
            self._told.on_test_batch_begin(step)

    def end(self, step: int, logs: DeviceLogs) -> bool:
        self.count = step + 1
        self._told.on_test_batch_end(step, dict(logs.fetch()) if self.every_step else logs)
        return False


class Trainer:
    """Training, evaluation and prediction. Overriding `train_step(self, data)` is the same on every backend."""

    stop_training = False
    debug = False
    """Raise NonFiniteError at the first step whose loss is not finite, naming the layer; slower."""
    optimizer: Any = None
    loss: Any = None
    compiled = False
    history: Any = None
    _loss_tracker: Mean | None = None
    _compiled_loss: CompiledLoss | None = None
    _compiled_metrics: CompiledMetrics | None = None
    _engines: Mapping[str, tuple[int, Any, Any]] = MappingProxyType({})

    @in_own_backend
    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int | str = "auto",
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Configure training.

        `loss`, `metrics` and `loss_weights` may be lists or dicts by output. `steps_per_execution` fixes how many steps
        run in one dispatch (`"auto"` adapts it). `run_eagerly=True` runs Python step by step, for debugging.
        `jit_compile` asks for XLA or torch.compile (True), does without (False; on JAX, which has no other programs,
        step by step), or leaves it to the backend.
        """
        if steps_per_execution != "auto":
            whole("compile", 1, steps_per_execution=steps_per_execution)
        if jit_compile not in (True, False, None, "auto"):
            raise ArgumentError(f"jit_compile should be True, False or 'auto', got {jit_compile!r}.")
        self.optimizer = optimizers.get(optimizer)
        if auto_scale_loss and self.dtype_policy.name == "mixed_float16":  # type: ignore[attr-defined]
            if self.optimizer is not None and not isinstance(self.optimizer, optimizers.LossScaleOptimizer):
                self.optimizer = optimizers.LossScaleOptimizer(self.optimizer)
        self.loss = loss
        self._compile_arguments = {
            "optimizer": optimizer,
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        }
        for one in tree.flatten(loss):  # unknown names are errors here, not at the first step
            CompiledLoss._resolve(one)
        for one in tree.flatten((metrics, weighted_metrics)):
            metrics_module.check_name(one)
        self.run_eagerly, self.jit_compile = bool(run_eagerly), jit_compile
        self.steps_per_execution = steps_per_execution
        self.stop_training = False
        self.compiled = True
        self._compiled_loss = self._compiled_metrics = None
        self._loss_tracker = Mean(name="loss")
        self._engines = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_engines": {}}  # a copy compiles its own programs

    @property
    def _compiles(self) -> bool:
        without = getattr(self, "jit_compile", "auto") is False and B.needs_compiler
        return not getattr(self, "run_eagerly", False) and not without

    # what subclasses may override

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of training on `data`: x, (x, y) or (x, y, sample_weight). Returns what is logged."""
        x, y, sample_weight = unpack_batch(data)

        def forward() -> tuple[Any, Any]:
            y_pred = self(x, training=True)  # type: ignore[operator]
            loss = self._loss_of(x, y, y_pred, sample_weight, True)
            return self.optimizer.scale_loss(loss), (loss, y_pred, masks_of(y_pred))

        trainable = self.trainable_variables  # type: ignore[attr-defined]
        (_, (loss, y_pred, found)), gradients = value_and_grad(forward, trainable, has_aux=True)()
        put_masks(y_pred, found)
        self.optimizer.apply(gradients, trainable)
        self._track_loss(loss, x)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """One step of evaluation. Returns what is logged."""
        x, y, sample_weight = unpack_batch(data)
        y_pred = self(x, training=False)  # type: ignore[operator]
        loss = self._loss_of(x, y, y_pred, sample_weight, False)
        self._track_loss(loss, x)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data: Any) -> Any:
        """The outputs for one batch."""
        x, _, _ = unpack_batch(data)
        return self(x, training=False)  # type: ignore[operator]

    def _loss_of(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Any:
        """`compute_loss`, which may be overridden without `training`, as of old."""
        parameters = inspect.signature(self.compute_loss).parameters.values()
        knows = any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters)
        more = {"training": training} if knows else {}
        return self.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **more)

    @in_own_backend
    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The scalar to minimise: the compiled loss plus what layers added."""
        total = None
        if self._compiled_loss is not None and y is not None:
            total = self._compiled_loss(y, y_pred, sample_weight)
        for added in self.losses:  # type: ignore[attr-defined]
            added = B.sum(B.cast(added, config.floatx())) if hasattr(added, "shape") else B.convert(added)
            total = added if total is None else total + added
        if total is None:
            if self.loss is not None and y is None:
                raise DataError(
                    f"The model was compiled with the loss {self.loss!r}, but the data has no targets: pass `y`, or "
                    "let the data yield (x, y)."
                )
            raise ArgumentError(
                "There is nothing to minimise: give `compile` a loss, call `add_loss` in a layer, or override "
                "`compute_loss` or `train_step`."
            )
        return total

    def stateless_compute_loss(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        metrics_variables: Any,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> tuple[Any, tuple[Any, Any, Any, Any]]:
        """`compute_loss` with these values for the variables, and their values after."""
        groups = (self.trainable_variables, self.non_trainable_variables, self.metrics_variables)  # type: ignore[attr-defined]
        given = (trainable_variables, non_trainable_variables, metrics_variables)
        with StateScope(pairs(groups, given)) as scope:
            loss = self.compute_loss(x, y, y_pred, sample_weight, training)
            after = tuple([scope.get(v) for v in group] for group in groups)
        return loss, (*after, None)  # type: ignore[return-value]

    def compute_loss_and_updates(
        self,
        trainable_variables: Any,
        non_trainable_variables: Any,
        metrics_variables: Any,
        x: Any,
        y: Any,
        sample_weight: Any,
        training: bool = False,
        optimizer_variables: Any = None,
    ) -> tuple[Any, tuple[Any, Any, Any, Any]]:
        """The loss as a function of the variables' values, for `train_step` in Keras-on-JAX form."""
        groups = (self.trainable_variables, self.non_trainable_variables, self.metrics_variables)  # type: ignore[attr-defined]
        given = (trainable_variables, non_trainable_variables, metrics_variables)
        with StateScope(pairs(groups, given)) as scope:
            y_pred = self(x, training=training)  # type: ignore[operator]
            loss = self.compute_loss(x, y, y_pred, sample_weight, training)
            self._track_loss(loss, x)
            _, updated, counted = ([scope.get(v) for v in group] for group in groups)
        return loss, (loss, y_pred, updated, counted)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Count one batch in the compiled metrics; the results so far."""
        if self._compiled_metrics is not None and y is not None:
            self._compiled_metrics.update_state(y, y_pred, sample_weight)
        results: dict[str, Any] = self.get_metrics_result()
        return results

    @in_own_backend
    def get_metrics_result(self) -> dict[str, Any]:
        """The results of all metrics so far, by name."""
        results: dict[str, Any] = {}
        for metric in self.metrics:
            result = metric.result()
            if isinstance(result, dict):
                results |= result
            else:
                results[metric.name] = result
        return results

    def _track_loss(self, loss: Any, x: Any) -> None:
        leaves = tree.present(x)
        if self._loss_tracker is not None:
            self._loss_tracker.update_state(loss, sample_weight=leaves[0].shape[0] if leaves else 1)

    @property
    def metrics(self) -> list[Metric]:
        """The loss's mean, those of several outputs, the layers' and the compiled metrics."""
        found: list[Metric] = [self._loss_tracker] if self._loss_tracker is not None else []
        if self._compiled_loss is not None:
            found += self._compiled_loss.metrics
        found += [m for layer in self._flatten_layers(include_self=False) for m in find(layer, Metric)]  # type: ignore[attr-defined]
        found += find(self, Metric)
        if self._compiled_metrics is not None:
            found += self._compiled_metrics.metrics
        return list({id(m): m for m in found}.values())

    @property
    def metrics_names(self) -> list[str]:
        """Names of the metrics, in the order of `evaluate`'s results."""
        return [metric.name for metric in self.metrics]

    @property
    def metrics_variables(self) -> list[Variable]:
        """The variables of all metrics."""
        return [v for metric in self._engine_metrics() for v in metric.variables]

    @in_own_backend
    def reset_metrics(self) -> None:
        """Set all metrics to their beginning."""
        for metric in self.metrics:
            metric.reset_state()

    # engines

    def _is_default(self, name: str) -> bool:
        return getattr(type(self), name) is getattr(Trainer, name)

    def _engine_metrics(self) -> list[Metric]:
        found = {id(m): m for m in [*self.metrics, *Trainer.metrics.fget(self)]}  # type: ignore[attr-defined]
        return list(found.values())

    def _engine_variables(self, kind: str) -> list[Variable]:
        found: dict[Variable, None] = dict.fromkeys(self.variables)  # type: ignore[attr-defined]
        if kind != "predict":
            found |= dict.fromkeys(v for metric in self._engine_metrics() for v in metric.variables)
        if kind == "train":
            found |= dict.fromkeys(v for one in find(self, optimizers.Optimizer) for v in one.variables)
        found[global_generator().state] = None
        return list(found)

    def _engine(self, kind: str) -> Any:
        """The engine for a kind of step, made anew when the model has changed since."""
        cached = self._engines.get(kind)
        if cached is not None and cached[0] == changes():
            return cached[2]
        key = (
            self._compiles,
            tuple(map(id, self._engine_variables(kind))),
            tuple(v.trainable for v in self.variables),  # type: ignore[attr-defined]
            tuple((id(layer), layer._version) for layer in self._flatten_layers()),  # type: ignore[attr-defined]
        )
        engine: Any = cached[2] if cached is not None and cached[1] == key else None
        if engine is None:
            engine = Forward(self) if kind == "predict" else Engine(self, kind)
            if kind == "train" and cached is not None:
                engine.watch, engine.because = cached[2].watch, _changed(cached[1], key, self)
        self._engines = {**self._engines, kind: (changes(), key, engine)}
        return engine

    def _prepare(self, kind: str, batch: Any) -> None:
        """Build what is not built, for a batch (x, y, sample_weight) of this form."""
        if kind == "train":
            B.require_gradients()
        x, y, _ = batch
        self._make_objectives(x, y)
        if kind != "train":
            return
        if not self._is_default("train_step") and not in_jax_form(self.train_step):
            if "train" not in self._engines:  # what the step builds must be there before it is compiled
                build_by_tracing(self, lambda b: self.train_step(batch_for_step(*b)), batch)
        elif self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]

    def _make_objectives(self, x: Any, y: Any) -> None:
        """Build the model by tracing it if need be, and match losses and metrics to its outputs."""
        wanted = self.compiled and self._compiled_loss is None and self._compiled_metrics is None
        arguments = getattr(self, "_compile_arguments", {})
        has_objectives = any(arguments.get(k) is not None for k in ("loss", "metrics", "weighted_metrics"))
        if (self._fully_built() and not (wanted and has_objectives)) or not self._defines_call():  # type: ignore[attr-defined]
            return
        makers: list[Any] = []

        def forward(arrays: Any) -> Any:
            y_pred, makers[:] = diagnosis.with_makers(lambda: self(arrays, training=False))  # type: ignore[operator]
            return y_pred

        y_pred = build_by_tracing(self, forward, x)
        self.built = True
        if not wanted or not has_objectives or y is None:
            return
        names = output_names(y_pred, getattr(self, "output_names", None))
        size = fixed_batch(self)
        y_specs = tree.map_structure(lambda leaf: Spec.of(leaf).batched(size), y, none_is_leaf=False)
        if arguments["loss"] is not None:
            self._compiled_loss = CompiledLoss(arguments["loss"], arguments["loss_weights"], y_specs, y_pred, names)
            for loss, maker, name in zip(self._compiled_loss.losses, makers, names, strict=True):
                diagnosis.check_logits(loss, maker, name)
        if arguments["metrics"] is not None or arguments["weighted_metrics"] is not None:
            self._compiled_metrics = CompiledMetrics(
                arguments["metrics"], arguments["weighted_metrics"], y_specs, y_pred, names
            )
            if any(not metric.variables for metric in self._compiled_metrics.metrics):  # they see the outputs first
                infer_update(self._compiled_metrics, y_specs, y_pred)

    # the verbs

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: Any = True,
        class_weight: Mapping[Any, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
        checkpoint: Any = None,
        resume: bool = True,
        profile: Any = None,
        **former: Any,
    ) -> History:
        """Train for `epochs` passes over the data; returns the History callback.

        `x` (and `y`) are arrays, nests of them, or `x` yields batches: a PyDataset, generator, DataLoader, iterable.
        `batch_size` defaults to 32. Ctrl-C leaves a usable model. With a folder, or a `training.Checkpoint`, as
        `checkpoint` the run's state is saved there, and the same script goes on from it after any end, to the same
        result; `resume=False` starts anew beside it. `profile`, a folder, takes a trace of the run for Perfetto or
        TensorBoard; `explain_speed` tells afterwards where the time went.
        """
        if former:
            raise _unknown_argument("fit", next(iter(former)))
        with config.backend_scope(self._backend), _alone(self, "fit"):  # type: ignore[attr-defined]
            self._check_compiled("fit")
            whole("fit", 0, epochs=epochs, initial_epoch=initial_epoch)
            sizes = {"validation_steps": validation_steps, "validation_batch_size": validation_batch_size}
            whole("fit", 1, True, steps_per_epoch=steps_per_epoch, **sizes)
            for frequency in validation_freq if isinstance(validation_freq, Collection) else [validation_freq]:
                whole("fit", 1, validation_freq=frequency)
            data = adapt(x, y, sample_weight, batch_size, shuffle)
            held_out: ArrayData | BatchData | None = None
            if validation_split and validation_data is None:
                if not isinstance(data, ArrayData):
                    raise ArgumentError(
                        "validation_split needs arrays; for data that yields batches use validation_data."
                    )
                data, held_out = split_rows(data, validation_split)
            elif validation_data is not None:
                held_out = _validation(validation_data, validation_batch_size or batch_size)
            if class_weight is not None:
                data.weigh(class_weight)
            if isinstance(held_out, ArrayData) and validation_batch_size is not None:
                held_out.batch_size = min(validation_batch_size, held_out.rows)
            told = callbacks
            if not isinstance(told, CallbackList):
                told = CallbackList(callbacks, add_history=True, add_progbar=is_verbose(verbose), model=self)
            at = wished_checkpoint(checkpoint, told)
            run = Run(self, data, held_out, told, epochs, steps_per_epoch, validation_steps, validation_freq, at)
            with contextlib.closing(told):
                return run.train(initial_epoch, resume, profile, verbose)

    def explain_speed(self) -> str:
        """Where the time of the last epoch of `fit` went, what was compiled and why, and what would help most.

        Prints the report and returns it. Raises StateError before the first `fit`.
        """
        text = speed.report(self)
        print(text)
        return text

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """The loss and metrics on the data: a number, a list in the order of `metrics_names`, or a dict."""
        if kwargs:
            raise _unknown_argument("evaluate", next(iter(kwargs)))
        with config.backend_scope(self._backend), _alone(self, "evaluate"):  # type: ignore[attr-defined]
            self._check_compiled("evaluate")
            whole("evaluate", 1, True, steps=steps)
            data = adapt(x, y, sample_weight, batch_size)
            told = callbacks
            if not isinstance(told, CallbackList):
                told = CallbackList(callbacks, add_progbar=is_verbose(verbose), model=self)
            told.set_params({"epochs": 1, "steps": steps or data.num_batches, "verbose": verbose})
            with contextlib.closing(told), Interruption() as interruption:
                logs = self._evaluate(data, told, steps, interruption, checks=True)
            return logs if return_dict else self._as_list(logs)

    def _evaluate(
        self,
        data: ArrayData | BatchData,
        told: CallbackList,
        steps: int | None,
        interruption: Interruption,
        checks: bool = False,
    ) -> dict[str, Any]:
        batch = data.peek()
        self._prepare("test", batch)
        if checks:
            diagnosis.check_labels(self, batch[1])
        engine: Engine = self._engine("test")
        told.on_test_begin()
        listener = _Evaluation(told)
        found = engine.epoch(data, 0, _at_most_once(steps, data), 0, listener, interruption)
        if found is None:
            raise DataError("The data to evaluate on yields no batch.")
        if steps is not None and listener.count < steps:
            warn(f"The data to evaluate on ended after {listener.count} of {steps} steps: those were counted, once.")
        if isinstance(data, BatchData):
            data.end_of_epoch()
            data.rewind()  # for the next evaluation
        logs = dict(found.fetch())
        told.on_test_end(logs)
        return logs

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for all rows of `x`, as NumPy arrays."""
        with config.backend_scope(self._backend):  # type: ignore[attr-defined]
            if steps is not None:
                whole("predict", 1, steps=steps)
            data = adapt(x, None, None, batch_size)
            if not self._fully_built():  # type: ignore[attr-defined]
                batch = data.peek()
                build_by_tracing(self, lambda arrays: self(arrays, training=False), batch[0])  # type: ignore[operator]
                self.built = True
            forward: Forward = self._engine("predict")
            told = None
            if callbacks or (is_verbose(verbose) and _shows_predictions(verbose)):
                told = CallbackList(callbacks, add_progbar=is_verbose(verbose), model=self)
                told.set_params({"epochs": 1, "steps": steps or data.num_batches, "verbose": verbose})
                told.on_predict_begin()
            if told is None and isinstance(data, ArrayData) and data.num_batches == 1 and steps is None:
                return tree.map_structure(lambda leaf: np.array(B.to_numpy(leaf)), forward(data.as_batch()[0]))
            results: list[Any] = []
            outputs: Any = None
            chosen = data.batches(0, 0, 0, _at_most_once(steps, data), False)
            with contextlib.closing(told or CallbackList()), contextlib.closing(chosen), Interruption() as interruption:
                for i, (batch, _, _) in enumerate(interruption.over(chosen)):
                    if told is not None:
                        told.on_predict_batch_begin(i)
                    outputs = forward(batch)
                    results.append(tree.flatten(outputs))
                    if i >= 2:  # the device works ahead, but outputs do not pile up on it
                        results[i - 2] = [np.asarray(leaf) for leaf in B.to_numpy_tree(results[i - 2])]
                    if told is not None:
                        told.on_predict_batch_end(i, {"outputs": outputs})
            if not results:
                raise DataError("The data to predict for yields no batch.")
            columns = zip(*(B.to_numpy_tree(row) for row in results), strict=True)
            joined = [np.array(column[0]) if len(column) == 1 else np.concatenate(column) for column in columns]
            if told is not None:
                told.on_predict_end()
            return tree.pack_sequence_as(outputs, joined)

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """One training step on one batch; the loss and metrics of this batch."""
        return self._on_batch("train", x, y, sample_weight, class_weight, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """One evaluation step on one batch; the loss and metrics of this batch."""
        return self._on_batch("test", x, y, sample_weight, None, return_dict)

    def _on_batch(self, kind: str, x: Any, y: Any, sample_weight: Any, class_weight: Any, return_dict: bool) -> Any:
        with config.backend_scope(self._backend):  # type: ignore[attr-defined]
            self._check_compiled(f"{kind}_on_batch")
            data = _one_batch(f"{kind}_on_batch", adapt(x, y, sample_weight))
            if class_weight is not None:
                data.weigh(class_weight)
            self._prepare(kind, data.peek())
            diagnosis.check_labels(self, data.y)
            engine = self._engine(kind)
            if not engine.resets:
                self.reset_metrics()
            logs, _ = engine.run_batch(data.as_batch(), engine.resets)
            values = dict(logs.fetch())
            return values if return_dict else self._as_list(values)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        return self.predict(x, batch_size=_one_batch("predict_on_batch", adapt(x)).rows, verbose=0)

    def _as_list(self, logs: dict[str, Any]) -> Any:
        values = list(logs.values())
        return values[0] if len(values) == 1 else values

    def _data_seed(self) -> int:
        """The seed of the data's order, drawn once for each model."""
        if not hasattr(self, "_seed_of_data"):
            self._seed_of_data = next_seed()
        return self._seed_of_data

    def _check_compiled(self, method: str) -> None:
        if not self.compiled:
            raise StateError(
                f"{self._label()} is not compiled: call `model.compile(optimizer=..., loss=...)` before `{method}`."  # type: ignore[attr-defined]
            )

    # files

    def get_compile_config(self) -> dict[str, Any] | None:
        """What `compile` was given, as plain data; None if it was not called."""
        if not self.compiled:
            return None
        arguments = dict(self._compile_arguments)
        arguments["optimizer"] = self.optimizer
        if arguments["steps_per_execution"] == "auto":  # Keras has no such value
            arguments["steps_per_execution"] = 1
        return {name: configurable.serialize(value) for name, value in arguments.items()}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as `get_compile_config` described."""
        arguments = {name: configurable.deserialize(value) for name, value in config.items()}
        if arguments.get("steps_per_execution") == 1:
            arguments["steps_per_execution"] = "auto"
        self.compile(**arguments)
        if self.built and self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]


_FORMER = {"nb_epoch": "epochs", "samples_per_epoch": "steps_per_epoch", "nb_val_samples": "validation_steps"}
_OF_DATA = ("workers", "use_multiprocessing", "max_queue_size", "nb_worker", "max_q_size")


_at_work: dict[int, list[int]] = {}


@contextlib.contextmanager
def _alone(model: Any, verb: str) -> Iterator[None]:
    """Raises StateError while another thread is in `fit` or `evaluate` of the model, which has one set of metrics."""
    mine = [threading.get_ident()]
    held = _at_work.setdefault(id(model), mine)  # that of an outer call, if this is one of its callbacks
    if held != mine:
        raise StateError(
            f"{verb}: another thread is in `fit` or `evaluate` of {model.name!r}, which has one set of metrics. Wait "
            "for it, or give each thread a model: `keras.models.clone_model`, `set_weights`, `compile`."
        )
    try:
        yield
    finally:
        if held is mine:
            del _at_work[id(model)]


def _unknown_argument(method: str, name: str) -> ArgumentError:
    """The error for an argument that a method does not have, or not any more."""
    if name in _OF_DATA:
        return ArgumentError(f"{method} has no argument {name!r} any more: give it to a PyDataset, or leave it out.")
    known = list(inspect.signature(getattr(Trainer, method)).parameters)[1:-1]
    hint = f" It is called {_FORMER[name]!r} now." if name in _FORMER else did_you_mean(name, known)
    return ArgumentError(f"{method} has no argument {name!r}.{hint}")


def _changed(before: Any, now: Any, model: Any) -> str:
    """Why a step is compiled anew: what differs between two keys of an engine."""
    if before[0] != now[0]:
        return "run_eagerly or jit_compile was changed"
    if before[1] != now[1]:
        return "the model has other variables than before"
    if before[2] != now[2]:
        names = [v.path for v, old, new in zip(model.variables, before[2], now[2], strict=True) if old != new]
        return f"trainable was changed: {', '.join(names[:4])}{', …' if len(names) > 4 else ''}"
    old = dict(before[3])
    names = [layer.name for layer in model._flatten_layers() if old.get(id(layer)) != layer._version]
    return f"layers were changed (trainable, rate or the like): {', '.join(names[:4])}"


def _shows_predictions(verbose: Any) -> bool:
    """Predicting is quiet off the terminal unless asked."""
    return verbose != "auto" or sys.stdout.isatty()


def _at_most_once(steps: int | None, data: ArrayData | BatchData) -> int | None:
    """So many steps, or as many as the data has if it is known."""
    return steps if steps is None or data.num_batches is None else min(steps, data.num_batches)


def _one_batch(method: str, data: ArrayData | BatchData) -> ArrayData:
    if not isinstance(data, ArrayData):
        raise DataError(f"{method} needs the arrays of one batch, got {type(data.source).__name__}.")
    return data


def _validation(validation_data: Any, batch_size: int | None) -> ArrayData | BatchData:
    if isinstance(validation_data, dict) or hasattr(validation_data, "shape"):
        return adapt(validation_data, None, None, batch_size)
    if not isinstance(validation_data, tuple | list):
        return adapt(validation_data)
    if not 1 <= (count := len(validation_data)) <= 3:
        raise ArgumentError(
            f"validation_data should be (x, y), (x, y, sample_weight) or yield such batches, got {count} parts."
        )
    x, y, weight = (*validation_data, None, None)[:3]
    try:
        return adapt(x, y, weight, batch_size)
    except DataError as error:
        raise DataError(f"The validation data: {error}") from error
