"""The scripts people start with, run unmodified by `cornu run`; the examples; and what `install_as_keras` replaces."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import runpy
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cornu
from cornu.base import config
from cornu.datasets import _files
from tests.backends import TRAINING
from tests.run_with_tiny_data import accept_what_is_there

HERE = Path(__file__).parent
SOURCE = str(HERE.parent / "src")
RNG = np.random.default_rng(0)


def run(arguments: list[str], folder: Path, paths: tuple[str, ...] = (), **environment: str) -> str:
    """What `python ARGUMENTS` prints, in the folder; an AssertionError shows what went wrong."""
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*paths, SOURCE]),
        "CORNU_BACKEND": "jax",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        **environment,
    }
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def lists(count: int) -> np.ndarray:
    found = np.empty(count, object)
    found[:] = [RNG.integers(1, 40, RNG.integers(3, 20)).tolist() for _ in range(count)]
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A CORNU_HOME with a few rows of each data set: whole batches, so that less is compiled."""
    folder = tmp_path_factory.mktemp("home")
    datasets = folder / "datasets"
    datasets.mkdir()
    images, labels = RNG.integers(0, 256, (64, 28, 28), "uint8"), np.arange(64, dtype="uint8") % 10
    np.savez(datasets / "mnist.npz", x_train=images[:32], y_train=labels[:32], x_test=images[32:], y_test=labels[32:])
    x, y = lists(40), RNG.integers(0, 2, 40)
    np.savez(datasets / "imdb.npz", x_train=x[:24], y_train=y[:24], x_test=x[24:], y_test=y[24:])
    (datasets / "imdb_word_index.json").write_text(json.dumps({f"word{i}": i for i in range(1, 40)}))
    with tarfile.open(datasets / "cifar-10-python.tar.gz", "w:gz") as archive:
        for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
            batch = {b"labels": [i % 10 for i in range(32)], b"data": RNG.integers(0, 256, (32, 3072), "uint8")}
            data = pickle.dumps(batch, 2)
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return str(folder)


SCRIPTS: Mapping[str, tuple[list[str], list[str], list[str]]] = {  # arguments, what it prints, files it leaves
    "mnist_mlp.py": ([], ["32 train samples", "Total params: 26,506", "1/1", "Test accuracy:", "Epochs: 2"], []),
    "mnist_cnn.py": (
        [],
        ["Epoch 1: val_acc improved", "Same predictions from the file: True", "Same from JSON and weights: True"],
        ["my_model.h5", "best.h5", "model.json", "model.weights.h5"],
    ),
    "cifar10_cnn.py": ([], ["A airplane", "accuracies 2 2", "probabilities (32, 10)"], []),
    "imdb_lstm.py": (
        [],
        ["decoded: True", "x_train shape: (24, 12)", "Test score is a number: True", "True 1"],
        [],
    ),
    "iris_functional.py": (
        ["30"],
        ["Connected to", "test loss, test acc: (2,)", "right: True"],
        ["acc.png", "loss.png", "iris.dot"],
    ),
    "custom_parts.py": (
        [],
        ["losses 12 True", "same True\nsame True", "subclassed ['mine']"],
        ["custom.keras", "custom.h5"],
    ),
    "tf_keras.py": ([], ["loss True", "sum 5.0", "model of 23 Sequential cornu"], []),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_classic_script_runs(script: str, home: str, tmp_path: Path) -> None:
    arguments, prints, leaves = SCRIPTS[script]
    out = run(
        [str(HERE / "run_with_tiny_data.py"), str(HERE / "scripts" / script), *arguments], tmp_path, CORNU_HOME=home
    )
    for text in prints:
        assert text in out
    for name in leaves:
        assert (tmp_path / name).stat().st_size


def test_every_script_is_run() -> None:
    assert {path.name for path in (HERE / "scripts").glob("*.py")} == set(SCRIPTS)


EXAMPLES = {  # what each prints at its end, and the files it leaves
    "digits.py": ("gives the same predictions", ["digits.keras", "training.png", "predictions.png"]),
    "iris.py": ("Test accuracy", ["iris.png"]),
    "imdb_lstm.py": ("Test accuracy", []),
    "mnist_cnn.py": ("Test accuracy", ["mnist_cnn.keras"]),
}


@pytest.mark.parametrize("backend", TRAINING, indirect=True)
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs(
    example: str, backend: str, home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Two steps of each, on all backends in one process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CORNU_HOME", home)
    monkeypatch.setattr(sys, "argv", [example])
    monkeypatch.setattr(_files, "HASHES", dict(_files.HASHES))
    monkeypatch.setattr(config.settings, "max_epochs", 1)
    monkeypatch.setattr(config.settings, "max_steps_per_epoch", 2)
    accept_what_is_there()
    if backend != "jax":  # the pictures are drawn once
        monkeypatch.setattr(
            "matplotlib.figure.Figure.savefig", lambda figure, file, **_: Path(file).write_text("drawn")
        )
    with contextlib.suppress(SystemExit):  # the digits are not learnt to 98 % in two steps
        runpy.run_path(str(HERE.parent / "examples" / example), run_name="__main__")
    prints, leaves = EXAMPLES[example]
    assert prints in capsys.readouterr().out
    for name in leaves:
        assert next(tmp_path.rglob(name)).stat().st_size


def test_every_example_is_run() -> None:
    assert {path.name for path in (HERE.parent / "examples").glob("*.py")} == set(EXAMPLES)


KERAS_ONLY = """
import sys, cornu
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *args: None if name == "tensorflow" else find(name, *args)  # as if not installed
cornu.install_as_keras()
cornu.install_as_keras()
import keras
from keras import layers, utils
from keras.engine.topology import Layer
from keras.layers.normalization import BatchNormalization
from keras.utils import np_utils
import keras.preprocessing.sequence
import tensorflow as tf
import tensorflow.keras.layers as tf_layers
from tensorflow import keras as tf_keras
from tensorflow.keras.preprocessing.sequence import pad_sequences
from tensorflow.keras import backend as K
assert keras is cornu and tf.keras is cornu and tf_keras is cornu
assert layers is cornu.layers and tf_layers is cornu.layers and utils is cornu.utils
assert Layer is cornu.Layer and BatchNormalization is cornu.layers.BatchNormalization
assert np_utils.to_categorical is cornu.utils.to_categorical and K is cornu.backend
import cornu.layers.core.dense
assert sys.modules["cornu.layers.core.dense"].Dense is layers.Dense
assert not {"jax", "torch"} & set(sys.modules)
for wrong in ("tf.constant", "tf.data"):
    try:
        eval(wrong)
    except AttributeError as error:
        print(error)
for name in ("keras.nonsense", "tensorflow.keras.nonsense", "tensorflow.data"):
    try:
        __import__(name)
    except ModuleNotFoundError as error:
        print(error)
"""


def test_keras_means_cornu_without_tensorflow(tmp_path: Path) -> None:
    out = run(["-c", KERAS_ONLY], tmp_path)
    assert "TensorFlow is not installed: Cornu stands in for tensorflow.keras only, not for tensorflow.constant" in out
    assert "No module named 'keras.nonsense': Cornu has no 'cornu.nonsense'." in out
    assert "No module named 'tensorflow.keras.nonsense'" in out
    assert "No module named 'tensorflow.data'" in out


FORMER_NAMES = """
import cornu
cornu.install_as_keras()
import keras, keras.objectives
from keras.layers import Dense
assert keras.objectives is cornu.losses
for code in (
    "from keras.layers import Merge", "import keras.wrappers.scikit_learn",
    "from tensorflow.keras.wrappers.scikit_learn import KerasClassifier", "from keras.backend import learning_phase",
    "from keras import wrappers", "keras.layers.Merge", "keras.backend.function", "keras.Sequential().fit_generator",
    "keras.Model.predict_classes", "from keras.layers import Dens", "keras.layers.Dens",
):
    try:
        exec(code)
    except (ImportError, AttributeError) as error:
        print(f"{code}: {error}")
assert not hasattr(keras.Sequential(), "fit_generator")
from keras.constraints import maxnorm, nonneg, unitnorm
assert maxnorm is keras.constraints.MaxNorm
assert keras.losses.mse is keras.metrics.MSE is keras.losses.mean_squared_error
"""


def test_what_keras_1_and_2_called_otherwise_is_told(tmp_path: Path) -> None:
    out = run(["-c", FORMER_NAMES], tmp_path).splitlines()
    assert len(out) == 11
    for said, now in zip(
        out,
        "`Concatenate` scikit-learn scikit-learn `training` scikit-learn `Concatenate` Model `fit` argmax "
        "'Dens' 'Dense'".split(),
        strict=True,
    ):
        assert now in said


CALLS: Mapping[str, Any] = {
    "mean": lambda K, A, B, M: K.mean(A, 1, True),
    "sum, max": lambda K, A, B, M: K.sum(K.max(A, axis=-1), keepdims=True),
    "mse": lambda K, A, B, M: K.mean(K.square(A[..., 0] - M), axis=-1),
    "dice": lambda K, A, B, M: 2 * K.sum(K.flatten(A) * K.flatten(A)) / (K.sum(A) + K.epsilon()),
    "argmax": lambda K, A, B, M: (K.argmax(A), K.argmin(A, 1)),
    "batch_dot": lambda K, A, B, M: (
        K.batch_dot(A, B),
        K.batch_dot(A, M, axes=1),
        K.batch_dot(M, M),
        K.batch_dot(A, A, 2),
    ),
    "dot": lambda K, A, B, M: K.dot(A, B[0]),
    "shapes": lambda K, A, B, M: (K.batch_flatten(A), K.reshape(A, (-1, 2)), K.expand_dims(A), K.squeeze(A[:1], 0)),
    "order": lambda K, A, B, M: (K.permute_dimensions(A, (0, 2, 1)), K.reverse(A, 1), K.transpose(M)),
    "clip": lambda K, A, B, M: K.clip(A, min_value=0.2, max_value=0.5),
    "concatenate": lambda K, A, B, M: (
        K.concatenate([A, A]),
        K.stack([A, A]),
        K.repeat(M, 2),
        K.repeat_elements(A, 2, 1),
    ),
    "constant": lambda K, A, B, M: (K.constant([1, 2]), K.constant(2.0, shape=(2, 2)), K.ones((2,)), K.zeros_like(A)),
    "sums": lambda K, A, B, M: (K.cumsum(A), K.cumprod(A, 1), K.prod(A), K.var(A, -1), K.std(A)),
    "gather": lambda K, A, B, M: K.gather(A, [1, 0]),
    "int_shape": lambda K, A, B, M: K.int_shape(K.constant(A)),
    "l2_normalize": lambda K, A, B, M: K.l2_normalize(A, -1),
    "relu": lambda K, A, B, M: (
        K.relu(A - 0.5, alpha=0.1, max_value=0.2),
        K.relu(A, threshold=0.5),
        K.hard_sigmoid(A * 4),
    ),
    "activations": lambda K, A, B, M: (K.sigmoid(A), K.tanh(A), K.softmax(A, 1), K.elu(A - 0.5), K.softplus(A)),
    "crossentropies": lambda K, A, B, M: (K.binary_crossentropy(M, 1 - M), K.categorical_crossentropy(M, M)),
    "compare": lambda K, A, B, M: K.cast(K.greater(A, 0.5), "float32") + K.cast(K.equal(A, A), K.floatx()),
    "switch": lambda K, A, B, M: (
        K.switch(M > 0.5, A, -A),
        K.switch(A[0, 0, 0] < 2, lambda: K.exp(A), lambda: K.log(A)),
    ),
    "conv2d": lambda K, A, B, M: K.conv2d(A[None], B[:, :, None, :4] * np.eye(4, dtype="float32"), padding="same"),
    "one_hot": lambda K, A, B, M: K.one_hot(np.array([2, 0]), 3),
    "pow": lambda K, A, B, M: (K.pow(A, 2), K.sqrt(A), K.maximum(A, 0.5), K.abs(A - 1)),
}


@pytest.mark.parametrize("call", CALLS)
def test_the_backend_module_computes_what_it_did_in_keras_2(call: str) -> None:
    import tensorflow
    from keras._tf_keras.keras import backend as theirs

    arrays = [np.asarray(RNG.random(shape), "float32") for shape in ((2, 3, 4), (2, 4, 5), (2, 3))]
    ours = cornu.tree.flatten(CALLS[call](cornu.backend, *arrays))
    expected = cornu.tree.flatten(CALLS[call](theirs, *map(tensorflow.constant, arrays)))
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(np.asarray(one, "float32"), np.asarray(other, "float32"), rtol=2e-5, atol=1e-6)


def test_the_backend_module_has_variables_and_losses_of_its_functions() -> None:
    K = cornu.backend
    v = K.variable([1, 2], name="v")
    assert (v.dtype, K.int_shape(v)) == ("float32", (2,))
    K.set_value(v, [3, 4])
    K.update_add(v, K.ones((2,)))
    assert K.get_value(v).tolist() == K.eval(v).tolist() == [4, 5]
    assert K.random_normal((2, 3), stddev=2.0).shape == K.random_uniform((2, 3), seed=1).shape == (2, 3)

    def dice(y_true: Any, y_pred: Any) -> Any:
        y_true, y_pred = K.flatten(y_true), K.flatten(K.clip(y_pred, K.epsilon(), 1))
        return 1 - 2 * K.sum(y_true * y_pred) / (K.sum(y_true) + K.sum(y_pred) + K.epsilon())

    model = cornu.Sequential([cornu.Input((3,)), cornu.layers.Lambda(lambda x: K.l2_normalize(x, -1))])
    model.add(cornu.layers.Dense(1, "sigmoid"))
    model.compile("sgd", dice, metrics=[lambda y_true, y_pred: K.mean(K.abs(y_true - y_pred))])
    assert np.isfinite(model.fit(RNG.random((2, 3)), np.ones((2, 1)), verbose=0).history["loss"])[0]


@pytest.fixture
def tensorflow(tmp_path: Path) -> str:
    """A folder with a package `tensorflow` that has a `keras` of its own, and one `keras`."""
    for name, text in {
        "tensorflow": "from tensorflow import math\nimport tensorflow.keras\n__version__ = '2.0'\nconstant = 3",
        "tensorflow/keras": "theirs = True",
        "tensorflow/keras/layers": "Dense = 'theirs'",
        "tensorflow/math": "pi = 3.14",
        "keras": "theirs = True",
    }.items():
        folder = tmp_path / "packages" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text(text)
    return str(tmp_path / "packages")


WITH_TENSORFLOW = """
import tensorflow as tf, cornu
from tensorflow import keras
from tensorflow.keras.layers import Dense
import tensorflow.keras, tensorflow.math, keras as plain
assert tf.keras is keras is plain is cornu and Dense is cornu.layers.Dense
assert tf.constant == 3 and tf.math.pi == 3.14 and tf.__version__ == "2.0"
"""


@pytest.mark.parametrize(
    "before",
    [
        "import cornu; cornu.install_as_keras()",
        "import tensorflow, keras, tensorflow.keras.layers, cornu; assert keras.theirs; cornu.install_as_keras()",
    ],
    ids=["first", "late"],
)
def test_of_an_installed_tensorflow_only_keras_is_replaced(before: str, tensorflow: str, tmp_path: Path) -> None:
    run(["-c", before + WITH_TENSORFLOW], tmp_path, (tensorflow,))


def test_nothing_is_replaced_unasked(tensorflow: str, tmp_path: Path) -> None:
    run(
        ["-c", "import cornu, keras, tensorflow; assert keras.theirs and tensorflow.keras.theirs"],
        tmp_path,
        (tensorflow,),
    )


def test_this_process_still_has_its_keras() -> None:
    import keras

    assert keras is not cornu
