"""Sequential, Functional and subclassed models: building, calling, describing, cloning."""

from __future__ import annotations

import json
import re

import jax.numpy as jnp
import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import cornu
from cornu import layers, saving
from cornu.base import config
from cornu.base.errors import (
    ArgumentError,
    BackendMismatchError,
    CornuError,
    DTypeError,
    GraphError,
    ShapeError,
    StateError,
)
from tests.backends import TRAINING

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")


# Sequential


@pytest.mark.parametrize(
    "first",
    [
        lambda: [cornu.Input((4,)), layers.Dense(3)],
        lambda: [layers.InputLayer((4,)), layers.Dense(3)],
        lambda: [layers.Dense(3, input_shape=(4,))],
        lambda: [layers.Dense(3, input_shape=4)],
        lambda: [layers.Dense(3, input_dim=4)],
        lambda: [layers.Dense(3, batch_input_shape=(None, 4))],
        lambda: [layers.Dense(3, input_shape=(4,), weights=[np.ones((4, 3)), np.zeros(3)])],
    ],
)
def test_a_stack_is_built_at_once_when_it_knows_its_input(first) -> None:
    model = cornu.Sequential(first())
    assert model.built
    assert model.count_params() == 15
    assert model.input_shape == (None, 4)
    assert model.output_shape == (None, 3)
    assert len(model.layers) == 1


def test_initial_weights_are_set() -> None:
    model = cornu.Sequential([layers.Dense(1, input_dim=4, weights=[np.ones((4, 1)), np.ones(1)])])
    np.testing.assert_allclose(model(X), X.sum(1, keepdims=True) + 1, rtol=1e-5)


def test_a_stack_is_built_on_its_first_data_or_by_build() -> None:
    model = cornu.Sequential([layers.Dense(3), layers.Dense(2)])
    assert not model.built
    with pytest.raises(StateError, match="Call it on data"):
        model.count_params()
    with pytest.raises(StateError, match="has no input yet"):
        _ = model.input_shape
    assert model(X).shape == (6, 2)
    assert model.input_shape == (None, 4)
    other = cornu.Sequential([layers.Dense(3), layers.Dense(2)])
    other.build((None, 4))
    assert [w.shape for w in other.weights] == [w.shape for w in model.weights]
    other.set_weights(model.get_weights())
    np.testing.assert_array_equal(other(X), model(X))


def test_whole_numbers_stay_whole_in_a_stack_built_on_data() -> None:
    model = cornu.Sequential([layers.Embedding(5, 2), layers.Flatten()])
    assert model(np.array([[1, 2], [3, 4]])).shape == (2, 4)
    assert model.inputs[0].dtype.startswith("int")


def test_pop_and_add_again() -> None:
    model = cornu.Sequential([cornu.Input((4,)), layers.Dense(3), layers.Dense(2)])
    top = model.pop()
    assert top.units == 2
    assert model.output_shape == (None, 3)
    model.add(layers.Dense(7))
    assert model(X).shape == (6, 7)
    for _ in range(2):
        model.pop()
    with pytest.raises(StateError, match="no layer to pop"):
        model.pop()


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda model: 3, ArgumentError, "takes a layer, got 3"),
        (lambda model: model.layers[0], ArgumentError, "cannot hold it twice"),
        (lambda model: layers.Dense(2, name="first"), ArgumentError, "a layer named 'first' already"),
        (lambda model: cornu.Input((4,)), ArgumentError, "belongs at the beginning, before"),
        (lambda model: layers.Conv2D(2, 3), CornuError, "conv2d"),
    ],
)
def test_a_layer_that_does_not_fit_leaves_the_stack_as_it_was(wrong, error, message: str) -> None:
    model = cornu.Sequential([cornu.Input((4,)), layers.Dense(3, name="first")])
    before = model(X)
    with pytest.raises(error, match=message):
        model.add(wrong(model))
    assert [layer.name for layer in model.layers] == ["first"]
    np.testing.assert_array_equal(model(X), before)


def test_an_empty_stack_says_so() -> None:
    with pytest.raises(StateError, match="has no layers: `add` some first"):
        cornu.Sequential()(X)


# Functional


def branches(k):
    """Many inputs and outputs, a shared layer, operators, a model within."""
    a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
    shared = k.layers.Dense(4, activation="tanh", name="shared")
    inside = k.Input((4,))
    inner = k.Model(inside, k.layers.Dense(4)(inside), name="inner")
    both = k.layers.Concatenate(name="both")([shared(a), shared(b) * 2.0 - 1.0])
    late = k.Input((2,), name="late")
    return k.Model(
        {"a": a, "b": b, "late": late},
        {"sum": k.layers.Add(name="sum")([inner(a), b]), "end": k.layers.Dense(2, name="end")(both) + late},
    )


@pytest.mark.usefixtures("backend")
def test_a_graph_computes_what_keras_computes_in_layers_of_the_same_order() -> None:
    ours, theirs = branches(cornu), branches(keras)
    assert [type(layer).__name__ for layer in ours.layers] == [
        type(layer).__name__ for layer in theirs.layers if "ops" not in type(layer).__module__
    ]
    theirs.set_weights([np.full(w.shape, 0.1 * i + 0.1, "float32") for i, w in enumerate(theirs.weights)])
    ours.set_weights(theirs.get_weights())
    inputs = {"a": X, "b": X[::-1].copy(), "late": X[:, :2]}
    found, expected = ours(inputs), theirs(inputs)
    assert set(found) == set(expected) == {"sum", "end"}
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6)


def two_inputs():
    a, b = cornu.Input((4,), name="a"), cornu.Input((2,), name="b")
    return cornu.Model([a, b], layers.Concatenate()([layers.Dense(2)(a), b]))


def test_inputs_by_position_and_by_name() -> None:
    model = two_inputs()
    expected = model([X, X[:, :2]])
    for inputs in ((X, X[:, :2]), {"b": X[:, :2], "a": X}, {"b": X[:, :2], "a": X, "unused": X}):
        np.testing.assert_array_equal(model(inputs), expected)


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        ([X], ArgumentError, r"has 2 inputs \(a, b\), got 1"),
        ({"a": X, "bb": X}, ArgumentError, r"the input 'b' is missing; got 'a', 'bb'. Did you mean 'bb'"),
        ([X, X], ShapeError, r"the input 'b' should have shape \(None, 2\), got \(6, 4\)"),
        ([X[0], X[0, :2]], ShapeError, r"Is the batch axis missing\? `x\[None\]` adds one"),
        ([X, None], ArgumentError, "the input 'b' should be a tensor, got None"),
    ],
)
def test_inputs_that_do_not_fit(inputs, error, message: str) -> None:
    with pytest.raises(error, match=message):
        two_inputs()(inputs)


def test_a_model_from_a_layer_within() -> None:
    model = cornu.Sequential([cornu.Input((4,)), layers.Dense(3, name="middle"), layers.Dense(2)])
    part = cornu.Model(model.input, model.get_layer("middle").output)
    np.testing.assert_array_equal(part(X), model.layers[0](X))
    rest = cornu.Model(model.layers[1].input, model.output)
    np.testing.assert_allclose(rest(part(X)), model(X), rtol=1e-6)


def test_graphs_that_do_not_hold_together() -> None:
    a, b = cornu.Input((4,), name="a"), cornu.Input((4,), name="b")
    with pytest.raises(GraphError, match=r"disconnected.*Add it to `inputs`"):
        cornu.Model(a, layers.Add()([a, b]))
    with pytest.raises(GraphError, match=r"Two layers are named 'twin'.*another `name`"):
        cornu.Model(a, layers.Dense(1, name="twin")(layers.Dense(1, name="twin")(a)))
    with pytest.raises(GraphError, match="An input stands twice"):
        cornu.Model([a, a], layers.Dense(1)(a))
    with pytest.raises(GraphError, match=r"(?s)All outputs should be symbolic.*use cornu.ops, or wrap it in a Lambda"):
        cornu.Model(a, X)
    with pytest.raises(TypeError, match="has no value yet"):
        np.sort(layers.Dense(1)(a))
    with pytest.raises(TypeError, match="has no value yet"):
        np.asarray(a)
    for foreign, error in (
        (jnp.tanh, ValueError),
        (lambda x: jnp.concatenate([x, x]), ValueError),
        (torch.tanh, TypeError),
        (lambda x: torch.cat([x, x]), TypeError),
        (tf.tanh, TypeError),
        (tf.nn.relu, TypeError),
    ):
        with pytest.raises(error, match="(?s)shape=.*has no value yet.*Use cornu.ops or layers") as caught:
            foreign(a)
        assert isinstance(caught.value, CornuError)
    with pytest.raises(ArgumentError, match="`outputs` is missing"):
        cornu.Model(inputs=a)


def test_a_call_without_a_return_and_an_argument_that_is_not_there_are_told() -> None:
    class Forgotten(layers.Layer):
        def call(self, x):
            x + 1

    with pytest.raises(ArgumentError, match="'mine' .Forgotten.: its `call` returned None. Is a `return` missing"):
        cornu.Sequential([cornu.Input((4,)), Forgotten(name="mine")])
    with pytest.raises(ArgumentError, match="Dense has no argument 'activaton'. Did you mean 'activation'"):
        layers.Dense(3, activaton="relu")


def test_a_layer_reused_with_another_shape_names_itself_and_the_shapes() -> None:
    dense = layers.Dense(3, name="reused")
    dense(cornu.Input((4,)))
    with pytest.raises(ValueError, match=r"(?s)'reused'.*4.*5"):
        dense(cornu.Input((5,)))


# subclassed


class Net(cornu.Model):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.stack = [layers.Dense(units), layers.Dense(units)]
        self.heads = {"one": layers.Dense(1), "two": [layers.Dense(2)]}
        self.dropout = layers.Dropout(0.5)

    def call(self, inputs, training=False):
        for layer in self.stack:
            inputs = layer(inputs)
        inputs = self.dropout(inputs, training=training)
        return self.heads["one"](inputs), self.heads["two"][0](inputs)


def test_a_subclassed_model_finds_its_layers() -> None:
    model = Net()
    one, two = model(X)
    assert one.shape == (6, 1)
    assert two.shape == (6, 2)
    assert len(model.layers) == 5
    assert model.count_params() == 15 + 12 + 4 + 8
    np.testing.assert_array_equal(one, model(X, training=False)[0])
    assert not np.array_equal(one, model(X, training=True)[0])
    assert model.compute_output_shape((None, 4)) == ((None, 1), (None, 2))


def test_a_subclassed_model_is_built_by_build() -> None:
    model = Net()
    model.build((None, 4))
    assert model.count_params() == 39


class Forgot(cornu.Model):
    def __init__(self):
        self.dense = layers.Dense(1)

    def call(self, inputs):
        return self.dense(inputs)


def test_common_slips_in_subclasses() -> None:
    with pytest.raises(StateError, match=r"Forgot.__init__ did not call `super\(\).__init__\(\)`"):
        Forgot()(X)
    with pytest.raises(NotImplementedError, match=r"does not define `call\(self, inputs\)`"):
        cornu.Model()(X)


@saving.register_serializable("tests.models")
class Stepped(cornu.Model):
    """Functional, with a training step of its own."""

    def train_step(self, data):
        return {**super().train_step(data), "stepped": 1.0}


def test_a_subclass_made_from_inputs_and_outputs_keeps_its_step() -> None:
    inputs = cornu.Input((4,))
    model = Stepped(inputs, layers.Dense(1)(inputs))
    assert isinstance(model, Stepped)
    model.compile("sgd", "mse")
    assert "stepped" in model.fit(X, X[:, :1], verbose=0).history
    for again in (
        Stepped.from_config(model.get_config()),
        cornu.models.model_from_json(model.to_json()),
        cornu.models.clone_model(model),
    ):
        assert [w.shape for w in again.weights] == [(4, 1), (1,)]
    assert isinstance(cornu.models.model_from_json(model.to_json()), Stepped)


# describing


def stack():
    return cornu.Sequential([cornu.Input((4,)), layers.Dense(3, activation="relu"), layers.Dense(2)])


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("make", [stack, two_inputs, lambda: branches(cornu)])
@pytest.mark.parametrize(
    "copy",
    [
        lambda m: cornu.models.model_from_json(m.to_json()),
        lambda m: type(m).from_config(m.get_config()),
        lambda m: cornu.Model.from_config(json.loads(json.dumps(m.get_config()))) if hasattr(m, "operations") else m,
        cornu.models.clone_model,
    ],
    ids=["json", "config", "Model.from_config", "clone"],
)
def test_a_copy_computes_the_same_with_the_same_weights(make, copy) -> None:
    model = make()
    again = copy(model)
    again.set_weights(model.get_weights())
    inputs = [np.ones((2, *t.shape[1:]), "float32") for t in model.inputs]
    inputs = inputs[0] if len(inputs) == 1 else inputs
    found, expected = (cornu.tree.flatten(m(inputs)) for m in (again, model))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]


def test_cloning_by_functions() -> None:
    def wider(layer):
        settings = layer.get_config()
        if isinstance(layer, layers.Dense):
            settings["units"] *= 2
        return type(layer).from_config(settings)

    assert cornu.models.clone_model(stack(), clone_function=wider).output_shape == (None, 4)
    image = cornu.Input((4,), batch_size=3)
    assert cornu.models.clone_model(stack(), input_tensors=image).input_shape == (3, 4)


def test_cloning_goes_into_models_within_if_asked() -> None:
    def nested(k):
        inputs, middle = k.Input((4,)), k.Input((2,))
        inner = k.Model(middle, k.layers.Dense(2, name="deep")(middle), name="graph")
        stacked = k.Sequential([k.Input((4,)), k.layers.Dense(2, name="low")], name="stack")
        return k.Model(inputs, k.layers.Dense(3, name="top")(inner(stacked(inputs))))

    def cloned(k, **options):
        made, called = [], []

        def clone(layer):
            made.append(layer.name)
            return type(layer).from_config(layer.get_config())

        def call(layer, *args, **kwargs):
            called.append(layer.name)
            return layer(*args, **kwargs)

        twin = k.models.clone_model(nested(k), clone_function=clone, call_function=call, **options)
        assert twin.output_shape == (None, 3)
        return sorted(made), sorted(called)

    assert cloned(cornu) == cloned(keras) == (["graph", "stack", "top"], ["graph", "stack", "top"])
    assert cloned(cornu, recursive=True) == cloned(keras, recursive=True)
    with pytest.raises(ArgumentError, match="call_function is for Functional models only.*Sequential"):
        cornu.models.clone_model(stack(), call_function=lambda layer, x: layer(x))
    with pytest.raises(ArgumentError, match="Functional models only.*Net"):
        cornu.models.clone_model(Net(), call_function=lambda layer, x: layer(x))


def test_get_layer() -> None:
    model = two_inputs()
    assert model.get_layer("a") is model.layers[0]
    assert model.get_layer(index=-1) is model.layers[-1]
    with pytest.raises(ValueError, match=r"has no layer 'aa'. Did you mean 'a'\? Layers: a, "):
        model.get_layer("aa")
    with pytest.raises(ArgumentError, match="has 4 layers, there is none at index 9"):
        model.get_layer(index=9)
    with pytest.raises(ArgumentError, match="either a name or an index"):
        model.get_layer()


def test_the_summary_names_layers_shapes_and_counts() -> None:
    lines: list[str] = []
    model = branches(cornu)
    model.get_layer("inner").trainable = False
    model.summary(print_fn=lines.append, expand_nested=True, show_trainable=True, line_length=140)
    text = "\n".join(lines)
    for part in (
        "shared (Dense)",
        "(None, 4)",
        "both[0][0]",
        "inner (Functional)",
        "Total params: 58",
        "Trainable params: 38",
    ):
        assert part in text
    assert "Non-trainable params: 20" in text
    with pytest.raises(StateError, match="is not built yet, so it cannot be summarised"):
        cornu.Sequential([layers.Dense(1)]).summary()


def lines_of(model, **options) -> str:
    lines: list[str] = []
    model.summary(print_fn=lines.append, **options)
    return "\n".join(lines)


@pytest.mark.parametrize(
    "use",
    [
        lambda m: m(X),
        lambda m: (m.compile("sgd", "mse"), m.fit(X, X[:, :3], batch_size=6, verbose=0)),
        lambda m: m.build((6, 4)),
    ],
    ids=["called", "fitted", "built"],
)
def test_the_summary_of_a_subclass_shows_output_shapes(use) -> None:
    class Two(cornu.Model):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.both, self.unused = layers.Dense(5), Pair(), layers.Dense(7)

        def call(self, inputs):
            return self.both(self.first(inputs))[0]

    class Pair(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = layers.Dense(3)

        def call(self, inputs):
            return self.inner(inputs), inputs

    model = Two()
    use(model)
    text = lines_of(model, line_length=120)
    assert re.search(r"dense\w* \(Dense\) +│ \((6|None), 5\) ", text)
    assert re.search(r"\(Pair\) +│ \(\((6|None), 3\), \((6|None), 5\)\) ", text)
    assert re.search(r"dense\w* \(Dense\) +│ \? +│ +0 \(unbuilt\)", text)


def test_the_summary_of_a_range_of_layers() -> None:
    model = cornu.Sequential([cornu.Input((4,)), *(layers.Dense(i + 1, name=f"{'abcd'[i]}_layer") for i in range(4))])
    for wanted, shown in {
        ("b_layer", "c_layer"): "bc",
        ("c_layer", "c_layer"): "c",
        ("d_layer", "b_layer"): "bcd",  # as in Keras
        ("a", "[bc]_"): "abc",  # patterns, as in Keras
    }.items():
        assert re.findall(r"(\w)_layer \(", lines_of(model, layer_range=wanted)) == list(shown)
    assert "Total params: 34" in lines_of(model, layer_range=["b_layer", "b_layer"])
    for wrong, message in {
        ("zz", "a_layer"): "no layer 'zz'",
        ("a_layer", "d_layr"): r"no layer 'd_layr'. Did you mean 'd_layer'\?",
        "a": "two layer names, got 'a'",
        ("a_layer",): "two layer names",
        ("a_layer", 3): "two layer names",
    }.items():
        with pytest.raises(ArgumentError, match=message):
            model.summary(layer_range=wrong)
    for length in (-1, 5, "wide"):
        with pytest.raises(ArgumentError, match=f"line_length should be an int of at least 30 or None, got {length!r}"):
            model.summary(line_length=length)


# state


@pytest.mark.parametrize("backend", TRAINING, indirect=True)
def test_freezing_after_compile_changes_what_trains(backend: str) -> None:
    model = stack()
    model.compile("sgd", "mse")
    model.fit(X, X[:, :2], verbose=0)
    model.layers[0].trainable = False
    frozen, free = model.layers[0].get_weights(), model.layers[1].get_weights()
    model.fit(X, X[:, :2], verbose=0)
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], frozen[0])
    assert not np.array_equal(model.layers[1].get_weights()[0], free[0])


def test_wrong_weights_are_refused_whole() -> None:
    model = stack()
    before = model.get_weights()
    with pytest.raises(ShapeError, match="has 4 weights, got 1"):
        model.set_weights(before[:1])
    with pytest.raises(ShapeError, match=r"nothing was set.*/kernel' has shape \(4, 3\); .*\(3, 4\) does not fit"):
        model.set_weights([before[0].T, *before[1:]])
    for wrong in (np.array(["a", "b"]), [[1], [1, 2]]):
        with pytest.raises(DTypeError, match=r"nothing was set. Variable '.*/bias' needs numbers of shape \(2,\), got"):
            model.set_weights([before[0] + 1, *before[1:3], wrong])
    for nothing in (None, 5):
        with pytest.raises(ArgumentError, match=f"set_weights takes a list of arrays.*got {nothing}"):
            model.set_weights(nothing)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


@pytest.mark.usefixtures("backend")
def test_stateless_calls_and_state_trees() -> None:
    model = cornu.Sequential([cornu.Input((4,)), layers.Dense(2), layers.BatchNormalization()])
    values = [w.value * 0 + 1 for w in model.trainable_variables]
    others = [w.value for w in model.non_trainable_variables]
    outputs, after = model.stateless_call(values, others, X, training=True)
    assert outputs.shape == (6, 2)
    assert not np.array_equal(after[0], others[0])
    np.testing.assert_array_equal(model.non_trainable_variables[0].value, others[0])
    state = model.get_state_tree("numpy_array")
    twin = cornu.models.clone_model(model)
    assert set(state) == {"trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables"}
    model.set_weights([0 * w for w in model.get_weights()])
    model.set_state_tree(state)
    twin.set_weights(model.get_weights())
    np.testing.assert_array_equal(twin(X), model(X))
    with pytest.raises(ArgumentError, match="has no variable 'nowhere'"):
        model.set_state_tree({"trainable_variables": {"nowhere": 1}})


@pytest.mark.usefixtures("backend")
def test_a_lost_mask_is_a_warning_that_names_both_layers() -> None:
    class Blind(layers.Layer):
        def call(self, inputs):
            return inputs * 2.0

    embed = layers.Embedding(5, 3, mask_zero=True)
    good = cornu.Sequential([cornu.Input((4,), dtype="int32"), embed, layers.LSTM(2)])
    ids = np.array([[1, 2, 0, 0]])
    np.testing.assert_allclose(good(ids), good.layers[1](embed(ids[:, :2])), rtol=1e-5)
    with pytest.warns(UserWarning, match="would use a mask, but layer 'blind"):
        cornu.Sequential([cornu.Input((4,), dtype="int32"), embed, Blind(), layers.LSTM(2)])(ids)


@pytest.mark.parametrize("backend", TRAINING, indirect=True)
@pytest.mark.parametrize(("policy", "dtype"), [("mixed_bfloat16", "bfloat16"), ("mixed_float16", "float16")])
def test_mixed_precision(policy: str, dtype: str, backend: str) -> None:
    inputs = cornu.Input((4,))
    hidden = layers.Dense(3, dtype=policy)(inputs)
    assert hidden.dtype == dtype
    model = cornu.Model(inputs, layers.Dense(1, dtype="float32")(hidden))
    assert {w.dtype for w in model.weights} == {"float32"}
    model.compile("adam", "mse")
    assert np.isfinite(model.fit(X, X[:, :1], verbose=0).history["loss"][0])


def test_two_models_on_two_backends() -> None:
    ours = stack()
    with config.backend_scope("numpy"):
        other = stack()
    other.set_weights(ours.get_weights())
    np.testing.assert_allclose(other.predict(X, verbose=0), ours.predict(X, verbose=0), rtol=1e-5, atol=1e-6)
    with pytest.raises(BackendMismatchError, match=r"(?s)jax.*numpy|numpy.*jax"):
        ours(other.layers[0].kernel)
