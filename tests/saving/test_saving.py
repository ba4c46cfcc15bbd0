"""Whole models and weights in files: round trips, and errors that say what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import cornu
from cornu import layers, saving
from cornu.backend import B
from cornu.base.config import backend_scope
from cornu.base.errors import ArgumentError, CorruptFileError, ShapeError, StateError, UnknownNameError
from tests.backends import BACKENDS, TRAINING

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


@saving.register_serializable("tests")
class Scale(layers.Layer):
    """A user's layer."""

    def __init__(self, start=2.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(), initializer=cornu.initializers.Constant(self.start), name="factor")

    def call(self, inputs):
        return inputs * self.factor

    def get_config(self):
        return {**super().get_config(), "start": self.start}


@saving.register_serializable("tests")
class Net(cornu.Model):
    """A user's model with layers in a list and a dict."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.stages = [layers.Dense(units), layers.Dense(units)]
        self.heads = {"a": layers.Dense(1), "b": Scale()}

    def call(self, inputs):
        for stage in self.stages:
            inputs = stage(inputs)
        return self.heads["a"](inputs) + self.heads["b"](inputs)[:, :1]


@saving.register_serializable("tests")
class Traced(cornu.Model):
    """A user's model made from inputs and outputs, with a step of its own."""

    def train_step(self, data):
        return {**super().train_step(data), "mine": 1.0}


def mlp():
    return cornu.Sequential([cornu.Input((4,)), layers.Dense(3, activation="relu"), Scale(), layers.Dense(1)])


def normalised():
    return cornu.Sequential([layers.Dense(3, input_shape=(4,)), layers.BatchNormalization(), layers.Dense(1)])


def recurrent():
    return cornu.Sequential([cornu.Input((4,)), layers.Reshape((2, 2)), layers.LSTM(2), layers.Dense(1)])


def functional():
    inputs = cornu.Input((4,), name="x")
    inner = cornu.Sequential([cornu.Input((4,)), layers.Dense(3), layers.Dense(4)], name="inner")
    hidden = inner(inputs) + inner(inputs * 2.0)[:, ::-1]
    return cornu.Model(inputs, layers.Dense(1)(layers.Concatenate()([hidden, inputs])))


def subclassed():
    return Net(name="net")


def traced():
    inputs = cornu.Input((4,))
    return Traced(inputs, layers.Dense(1)(inputs), name="traced")


MODELS = (mlp, normalised, recurrent, functional, subclassed, traced)
TRAINED = {}


@pytest.fixture(params=MODELS, ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest):
    return request.param


@pytest.fixture(params=TRAINING)
def backend(request: pytest.FixtureRequest):
    with backend_scope(request.param):
        yield request.param


@pytest.fixture
def model(make, backend):
    """One of the models, built and trained a little; made once on each backend."""
    if (make, backend) not in TRAINED:
        found = make()
        found.compile(cornu.optimizers.Adam(0.05), loss="mse")
        found.fit(X, Y, epochs=1, verbose=0, shuffle=False)
        TRAINED[make, backend] = found
    return TRAINED[make, backend]


def same(first, second) -> None:
    np.testing.assert_array_equal(first.predict(X, verbose=0), second.predict(X, verbose=0))


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_a_model_comes_back_with_its_training(model, make, name: str, tmp_path: Path) -> None:
    if make is subclassed and name == "m.h5":
        with pytest.raises(ArgumentError, match="HDF5 cannot hold it. Save it as '.keras'"):
            model.save(tmp_path / name)
        return
    model.save(tmp_path / name)
    again = cornu.models.load_model(tmp_path / name)
    assert [type(layer) for layer in again.layers] == [type(layer) for layer in model.layers]
    if make is not subclassed:
        assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
    assert isinstance(again, type(model).__mro__[1] if make is traced else type(model))
    same(again, model)
    for mine, other in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())
    before = model.get_weights(), [v.numpy() for v in model.optimizer.variables]
    expected = model.fit(X, Y, epochs=2, verbose=0, shuffle=False).history
    found = again.fit(X, Y, epochs=2, verbose=0, shuffle=False).history
    assert set(found) == set(expected)
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-6)
    model.set_weights(before[0])
    for variable, value in zip(model.optimizer.variables, before[1], strict=True):
        variable.assign(value)


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5", "w.safetensors"])
def test_weights_come_back(model, make, name: str, tmp_path: Path) -> None:
    model.save_weights(tmp_path / name)
    other = make()
    other.build((None, 4))
    other.load_weights(tmp_path / name)
    same(other, model)


@pytest.mark.parametrize("make", [normalised], indirect=True, ids=["normalised"])
def test_what_one_backend_wrote_the_others_read(model, make, backend, tmp_path: Path) -> None:
    """Models with their optimizers, and weights."""
    outputs = model.predict(X, verbose=0)
    state = [v.numpy() for v in (*model.weights, *model.optimizer.variables)]
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
    for name in ("w.weights.h5", "w.h5", "w.safetensors"):
        model.save_weights(tmp_path / name)
    for reader in BACKENDS:
        with backend_scope(reader):
            other = make()
            other.build((None, 4))
            for name in ("m.keras", "m.h5", "w.weights.h5", "w.h5", "w.safetensors"):
                if name.startswith("m"):
                    again = cornu.models.load_model(tmp_path / name)
                    found = [*again.weights, *again.optimizer.variables]
                else:
                    other.set_weights([0 * w for w in model.get_weights()])
                    other.load_weights(tmp_path / name)
                    found = other.weights
                assert {v.backend for v in found} == {reader}
                for mine, theirs in zip(found, state, strict=name.startswith("m")):
                    np.testing.assert_array_equal(mine.numpy(), theirs)
            np.testing.assert_allclose(B.to_numpy(again(X)), outputs, rtol=1e-4, atol=1e-6)


def test_weights_come_back_from_the_file_of_a_model(tmp_path: Path) -> None:
    model, other = mlp(), mlp()
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
        other.set_weights([0 * w for w in model.get_weights()])
        other.load_weights(tmp_path / name)
        same(other, model)


def test_safetensors_have_the_names_people_guess(tmp_path: Path) -> None:
    model = functional()
    model.save_weights(tmp_path / "w.safetensors")
    names = set(safetensors.numpy.load_file(tmp_path / "w.safetensors"))
    assert names == {f"{name}/{w}" for name in ("inner/dense", "inner/dense_1", "dense") for w in ("kernel", "bias")}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@pytest.mark.parametrize("name", ["w.weights.h5", "w.safetensors", "w.h5"])
def test_every_dtype_comes_back(dtype: str, name: str, tmp_path: Path) -> None:
    def make():
        return cornu.Sequential([cornu.Input((4,)), layers.Dense(3, dtype=dtype)])

    model, other = make(), make()
    model.save_weights(tmp_path / name)
    other.load_weights(tmp_path / name)
    for mine, theirs in zip(other.weights, model.weights, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_a_stack_built_on_its_first_data_comes_back(tmp_path: Path) -> None:
    model = cornu.Sequential([layers.Dense(3), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
        same(cornu.models.load_model(tmp_path / name), model)


def test_an_uncompiled_model_and_one_without_its_optimizer(tmp_path: Path) -> None:
    model = mlp()
    model.save(tmp_path / "a.keras")
    assert not cornu.models.load_model(tmp_path / "a.keras").compiled
    model.compile("adam", "mse")
    model.train_on_batch(X, Y)
    model.save(tmp_path / "b.keras")
    assert not cornu.models.load_model(tmp_path / "b.keras", compile=False).compiled
    model.save(tmp_path / "c.keras", include_optimizer=False)
    assert not cornu.models.load_model(tmp_path / "c.keras").compiled


def test_names_resolve_through_custom_objects(tmp_path: Path) -> None:
    class Mine(layers.Layer):
        def call(self, inputs):
            return inputs + 1

    model = cornu.Sequential([cornu.Input((4,)), Mine()])
    model.save(tmp_path / "m.keras")
    with pytest.raises(UnknownNameError, match=r"Nothing is known by the name 'Mine'.*custom_objects"):
        cornu.models.load_model(tmp_path / "m.keras")
    same(cornu.models.load_model(tmp_path / "m.keras", custom_objects={"Mine": Mine}), model)
    with saving.custom_object_scope({"Mine": Mine}):
        same(cornu.models.load_model(tmp_path / "m.keras"), model)


# errors


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("m", "saved as '.keras'"),
        ("m.tf", "got the name 'm.tf'"),
        ("m.pkl", "model.export"),
    ],
)
def test_an_unknown_ending_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=message):
        mlp().save(tmp_path / name)
    with pytest.raises(ArgumentError, match=r"Weights are saved as '.safetensors' or '.weights.h5'"):
        mlp().save_weights(tmp_path / name)


def wider():
    return cornu.Sequential([cornu.Input((4,)), layers.Dense(5, activation="relu"), Scale(), layers.Dense(1)])


@pytest.mark.parametrize("name", ["w.weights.h5", "w.h5", "w.safetensors"])
def test_wrong_shapes_are_listed_and_nothing_is_loaded(name: str, tmp_path: Path) -> None:
    mlp().save_weights(tmp_path / name)
    other = wider()
    first, _, last = other.layers
    before = other.get_weights()
    with pytest.raises(ShapeError, match="nothing was loaded") as error:
        other.load_weights(tmp_path / name)
    assert "(4, 5)" in str(error.value)
    assert "(4, 3)" in str(error.value)
    for mine, old in zip(other.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, old)
    other.load_weights(tmp_path / name, skip_mismatch=True)
    np.testing.assert_array_equal(first.kernel.numpy(), before[0])
    assert last.kernel.shape == (5, 1)


def test_a_model_with_other_layers_is_told_so(tmp_path: Path) -> None:
    mlp().save_weights(tmp_path / "w.weights.h5")
    other = cornu.Sequential([cornu.Input((4,)), layers.Dense(3), layers.Dense(3), layers.Dense(1)])
    with pytest.raises(ShapeError, match=r"missing +layers/dense_2/vars/0 +\(3, 1\) in the model"):
        other.load_weights(tmp_path / "w.weights.h5")
    mlp().save_weights(tmp_path / "w.h5")
    with pytest.raises(ShapeError, match="holds weights of 3 layers .* has 2 with weights"):
        cornu.Sequential([cornu.Input((4,)), layers.Dense(3), layers.Dense(1)]).load_weights(tmp_path / "w.h5")


def test_by_name(tmp_path: Path) -> None:
    model = mlp()
    model.save_weights(tmp_path / "w.h5")
    other = cornu.Sequential([cornu.Input((4,)), layers.Dense(3, name=model.layers[0].name), layers.Dense(7)])
    other.load_weights(tmp_path / "w.h5", by_name=True)
    np.testing.assert_array_equal(other.layers[0].kernel.numpy(), model.layers[0].kernel.numpy())


def test_what_is_no_model_is_said_to_be_none(tmp_path: Path) -> None:
    model = mlp()
    (tmp_path / "text.keras").write_text("hello")
    (tmp_path / "text.h5").write_text("hello")
    model.save_weights(tmp_path / "only.h5")
    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "text.safetensors").write_text("hello, this is text")
    for name, error, message in (
        ("no.keras", ArgumentError, "There is no file .*no.keras"),
        ("folder.keras", ArgumentError, "is a folder, not a saved model"),
        ("text.keras", CorruptFileError, "cannot be read as HDF5"),
        ("text.h5", CorruptFileError, "cannot be read as HDF5"),
        ("only.h5", ArgumentError, "holds weights only, no architecture: make the model and call `load_weights`"),
    ):
        with pytest.raises(error, match=message):
            cornu.models.load_model(tmp_path / name)
    for name, error, message in (
        ("no.weights.h5", ArgumentError, "There is no file"),
        ("text.h5", CorruptFileError, "cannot be read as HDF5"),
        ("text.safetensors", CorruptFileError, "its header should have"),
    ):
        with pytest.raises(error, match=message):
            model.load_weights(tmp_path / name)


def test_an_unbuilt_model_is_told_to_build(tmp_path: Path) -> None:
    model = cornu.Sequential([layers.Dense(2)])
    with pytest.raises(StateError, match="is not built yet, so it has no weights to save or load"):
        model.save_weights(tmp_path / "w.weights.h5")
    mlp().save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(StateError, match="is not built yet"):
        model.load_weights(tmp_path / "w.weights.h5")
