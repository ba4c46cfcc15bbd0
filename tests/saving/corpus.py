"""Hostile and damaged files: a table of how each is forged from a good one, and of the error it deserves."""

from __future__ import annotations

import json
import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cornu.base.errors import ArgumentError, CorruptFileError, DTypeError, GraphError, ShapeError, UnknownNameError
from cornu.base.errors import UnsafeFileError as Unsafe
from tests.saving.files import members, rewrite, save, tiny, zip_up

Corrupt = CorruptFileError


@dataclass(frozen=True)
class Case:
    """One file: `forge` makes it of a good one of this name."""

    id: str
    name: str
    forge: Callable[[Path], None]
    error: type[Exception]
    match: str
    limits: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """The file, in a folder of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        save(tiny(), path)
        self.forge(path)
        return path


# zip


def adding(name: Any, data: bytes = b"", method: int = zipfile.ZIP_STORED) -> Callable[[Path], None]:
    return lambda path: zip_up(path, *members(path).items(), (name, data), method=method)


def special(mode: int, name: str = "assets/x") -> Callable[[Path], None]:
    """A member that says it is a link, a device, …"""
    info = zipfile.ZipInfo(name)
    info.external_attr = (mode | 0o777) << 16
    return adding(info, b"/etc/passwd")


def member(**changed: bytes | None) -> Callable[[Path], None]:
    return lambda path: rewrite(path, **changed)


def compressed(**changed: bytes) -> Callable[[Path], None]:
    def forge(path: Path) -> None:
        rewrite(path, **changed)
        zip_up(path, *members(path).items(), method=zipfile.ZIP_DEFLATED)

    return forge


def directory(name: bytes, at: int, value: bytes, method: int = zipfile.ZIP_STORED) -> Callable[[Path], None]:
    """Bytes of a member's entry in the archive's directory overwritten."""

    def forge(path: Path) -> None:
        zip_up(path, *members(path).items(), method=method)
        data = bytearray(path.read_bytes())
        start = data.rindex(name) - 46
        assert data[start : start + 4] == b"PK\1\2"
        data[start + at : start + at + len(value)] = value
        path.write_bytes(data)

    return forge


def replaced(old: bytes, new: bytes) -> Callable[[Path], None]:
    def forge(path: Path) -> None:
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new))

    return forge


def then(*steps: Callable[[Path], None]) -> Callable[[Path], None]:
    def forge(path: Path) -> None:
        for step in steps:
            step(path)

    return forge


KINDS = {
    "link": stat.S_IFLNK,
    "device": stat.S_IFCHR,
    "disk": stat.S_IFBLK,
    "pipe": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
}
ZIP = [
    ("parent", adding("../up"), Unsafe, "../up: a member's name leads out of the archive"),
    ("parent within", adding("assets/../../up"), Unsafe, "leads out of the archive"),
    ("absolute", adding("/etc/x"), Unsafe, "leads out of the archive"),
    ("backslash", adding("assets\\..\\x"), Unsafe, "leads out of the archive"),
    ("drive", adding("C:x"), Unsafe, "leads out of the archive"),
    (
        "nul",
        then(adding("assets/x?y"), replaced(b"assets/x?y", b"assets/x\0y")),
        Unsafe,
        r"assets/x\\x00y: .*leads out",
    ),
    ("twice", adding("config.json", b"{}"), Unsafe, "config.json: stands in the archive twice"),
    ("twice in other words", then(adding("assets/x"), adding("assets//x")), Unsafe, "stands in the archive twice"),
    ("stranger", adding("evil.py"), Unsafe, "evil.py: is a member that no saved model has"),
    *((kind, special(mode), Unsafe, "assets/x: is a link or a device") for kind, mode in KINDS.items()),
    ("config a link", then(member(config=None), special(stat.S_IFLNK, "config.json")), Unsafe, "is a link or a device"),
    ("encrypted", directory(b"config.json", 8, b"\1\0"), Unsafe, "config.json: is encrypted"),
    ("bzip2", adding("assets/x", b"x", zipfile.ZIP_BZIP2), Unsafe, "compressed by another method than deflate"),
    ("overlap", directory(b"model.weights.h5", 42, bytes(4)), Unsafe, "shares bytes with another member"),
    (
        "json bomb",
        compressed(config=b"{" + b" " * (65 << 20)),
        Unsafe,
        "config.json: grows from .* to 68157441 bytes",
    ),
    ("weights bomb", compressed(weights=bytes(65 << 20)), Unsafe, "model.weights.h5: grows"),
    (
        "announces more",
        directory(b"config.json", 24, struct.pack("<I", 5000), 8),
        Corrupt,
        "5000 bytes that were announced",
    ),
    ("announces less", directory(b"config.json", 24, struct.pack("<I", 50), 8), Corrupt, "Bad CRC-32"),
    ("other checksum", directory(b"config.json", 16, b"1234"), Corrupt, "Bad CRC-32"),
    ("far offset", directory(b"config.json", 42, b"\xff\xff\xff\x7f"), Corrupt, "cannot be read as a zip archive"),
    ("no config", member(config=None), Corrupt, "config.json: is missing from the archive"),
    ("no weights", member(weights=None), Corrupt, "model.weights.h5: is missing from the archive"),
    ("no metadata", member(metadata=None), Corrupt, "metadata.json: is missing from the archive"),
    ("weights of another kind", member(weights=b"1"), Corrupt, "cannot be read as HDF5"),
    ("not from the beginning", lambda path: path.write_bytes(b"#!" + path.read_bytes()), Corrupt, "is no zip archive"),
    ("later version", member(metadata=b'{"keras_version": "4.0.0"}'), ValueError, "the format of Keras 4.0.0"),
    ("no version", member(metadata='{"keras_version": "²"}'.encode()), ValueError, "the format of Keras ²"),
    (
        "long version",
        member(metadata=b'{"keras_version": "' + b"9" * 5000 + b'.0"}'),
        ValueError,
        "the format of Keras 999",
    ),
]

# JSON: as the configuration of an archive; the same function reads all others

QUOTES = b'{"a": "' + b'\\"' * (1 << 20)
JSON = [
    ("cut off", b"{", Corrupt, "config.json: is not JSON"),
    ("a list", b"[]", Corrupt, "should be a JSON object, begins with"),
    ("a number", b"1", Corrupt, "should be a JSON object"),
    ("nothing", b"", Corrupt, "should be a JSON object"),
    ("a mark before it", b"\xef\xbb\xbf{}", Corrupt, "should be a JSON object"),
    ("UTF-16", '{"a": 1}'.encode("utf-16-le"), Corrupt, "is not JSON"),
    ("no UTF-8", b'{"a": "\xff"}', Corrupt, "is not JSON"),
    ("twice", b'{"class_name": "Sequential", "class_name": "Dense"}', Corrupt, "the name 'class_name' stands twice"),
    ("twice within", b'{"a": [{"b": 1, "b": 2}]}', Corrupt, "the name 'b' stands twice"),
    ("deep lists", b'{"a": ' + b"[" * 99 + b"]" * 99 + b"}", None, ""),
    ("deeper lists", b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", Unsafe, "nested more than 100 deep"),
    ("very deep lists", b'{"a": ' + b"[" * (1 << 20), Unsafe, "nested more than 100 deep"),
    ("deep objects", b'{"a":' * 101, Unsafe, "nested more than 100 deep"),
    ("brackets in texts", b'{"a": "' + b"[" * 1000 + b'\\"[[["}', None, ""),
    ("endless text", QUOTES, Corrupt, "is not JSON"),
    ("endless number", b'{"a": ' + b"9" * 100_000 + b"}", Corrupt, "is not JSON"),
    ("more behind it", b"{} {}", Corrupt, "is not JSON"),
    ("control characters", b'{"\\u001b[31m": 1, "\\u001b[31m": 2}', Corrupt, r"the name '\\x1b\[31m' stands twice"),
]

# configurations


def configured(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """The configuration changed in place, or replaced by what `change` returns."""

    def forge(path: Path) -> None:
        config = json.loads(members(path)["config.json"])
        config = change(config) or config
        rewrite(path, config=json.dumps(config).encode())

    return forge


def layer(class_name: Any, module: Any, config: Any, **more: Any) -> Callable[[Path], None]:
    """Another layer in place of the Dense one."""
    entry = {"class_name": class_name, "module": module, "config": config, "registered_name": None, **more}

    def change(described: dict[str, Any]) -> None:
        described["config"]["layers"][1] = entry

    return configured(change)


def dense(**changed: Any) -> Callable[[Path], None]:
    """Other arguments of the Dense layer."""
    return configured(lambda config: config["config"]["layers"][1]["config"].update(changed))


def compiled(**changed: Any) -> Callable[[Path], None]:
    return configured(lambda config: config["compile_config"].update(changed))


def function(name: str, module: str = "builtins") -> dict[str, Any]:
    return {"class_name": "function", "module": module, "config": name, "registered_name": name}


def graph(*entries: dict[str, Any], outputs: Any = ("b", 0, 0)) -> Callable[[Path], None]:
    """A model of an input `a` and these layers."""
    first = {"class_name": "InputLayer", "module": "keras.layers", "config": {"batch_shape": [None, 2], "name": "a"}}
    config = {
        "name": "tiny",
        "layers": [first | {"name": "a", "inbound_nodes": []}, *entries],
        "input_layers": ["a", 0, 0],
        "output_layers": list(outputs),
    }
    return configured(lambda _: {"class_name": "Functional", "module": "keras.src.models.functional", "config": config})


def node(name: str, *inputs: str, class_name: str = "Dense", **config: Any) -> dict[str, Any]:
    """A layer called on the outputs of others."""
    args = [{"class_name": "__keras_tensor__", "config": {"keras_history": [i, 0, 0]}} for i in inputs]
    config = {"units": 1, "name": name, **config} if class_name == "Dense" else config
    calls = [{"args": args, "kwargs": {}}]
    return {"class_name": class_name, "module": "keras.layers", "config": config, "name": name, "inbound_nodes": calls}


def op(class_name: str, **config: Any) -> dict[str, Any]:
    """An op called on nothing."""
    calls = [{"args": [], "kwargs": {}}]
    described = {"module": "keras.src.ops", "class_name": class_name, "config": {"name": "b", **config}}
    return {**described, "name": "b", "inbound_nodes": calls}


def nested(depth: int) -> dict[str, Any]:
    config: dict[str, Any] = {"class_name": "Dense", "module": "keras.layers", "config": {"units": 1}}
    for _ in range(depth):
        config = {"class_name": "Bidirectional", "module": "keras.layers", "config": {"layer": config}}
    return config


NOTHING_KNOWN = "Nothing is known by the name"
LAMBDA = {"class_name": "__lambda__", "config": {"code": "4wAAAA==", "defaults": None, "closure": None}}
CONFIGS = [
    ("misspelt", layer("Dens", "keras.layers", {"units": 3}), UnknownNameError, "'Dens'. Did you mean 'Dense'"),
    ("system", layer("system", "os", {"command": "true"}), UnknownNameError, f"{NOTHING_KNOWN} 'system'"),
    ("process", layer("Popen", "subprocess", {"args": "true"}), UnknownNameError, f"{NOTHING_KNOWN} 'Popen'"),
    ("a module of ours", layer("saving", "keras", {}), UnknownNameError, f"{NOTHING_KNOWN} 'saving'"),
    ("a path of names", layer("saving.models.save_model", "keras", {}), UnknownNameError, NOTHING_KNOWN),
    ("a dunder", layer("__builtins__", "keras.layers", {}), UnknownNameError, NOTHING_KNOWN),
    ("a base class", layer("Layer", "keras.layers", {"unknown": 3}), ArgumentError, "no argument 'unknown'"),
    ("no text as class", layer(["Dense"], "keras.layers", {}), Corrupt, "describes no model: TypeError"),
    ("no text as module", layer("Dense", {"keras": 1}, {}), Corrupt, "describes no model: TypeError"),
    ("other folders", layer("TFSMLayer", "keras.layers", {"filepath": "/tmp"}), Unsafe, "may not name 'TFSMLayer'"),
    ("a torch module", layer("TorchModuleWrapper", "keras.layers", {"module": 1}), Unsafe, "may not name"),
    ("code", layer("Lambda", "keras.layers", {"function": LAMBDA}), Unsafe, "holds its function as Python code"),
    (
        "code as shape",
        layer("Lambda", "keras.layers", {"function": "relu", "output_shape": LAMBDA}),
        Unsafe,
        "Python code",
    ),
    ("code as mask", layer("Lambda", "keras.layers", {"function": "relu", "mask": LAMBDA}), Unsafe, "Python code"),
    ("code as activation", dense(activation=LAMBDA), UnknownNameError, "'__lambda__'"),
    *(
        (f"function {name}", layer("Lambda", "keras.layers", {"function": name}), error, match)
        for name, error, match in [
            ("eval", UnknownNameError, "'eval'"),
            ("load_model", UnknownNameError, "'load_model'"),
            ("install_as_keras", UnknownNameError, "'install_as_keras'"),
            ("saving", UnknownNameError, "'saving'"),
            ("deserialize", Unsafe, "may not name 'deserialize'"),
        ]
    ),
    (
        "a saver as activation",
        dense(activation=function("save_model", "keras.models")),
        UnknownNameError,
        "'save_model'",
    ),
    ("print as activation", dense(activation=function("print")), UnknownNameError, "'print'"),
    ("print as loss", compiled(loss=function("print")), UnknownNameError, "'print'"),
    (
        "a loader as metric",
        compiled(metrics=[function("load_model", "keras.models")]),
        UnknownNameError,
        "'load_model'",
    ),
    (
        "objects",
        dense(activation={"class_name": "__numpy__", "config": {"value": [1], "dtype": "O"}}),
        DTypeError,
        "'O'",
    ),
    (
        "a wide text",
        dense(bias_initializer={"class_name": "__numpy__", "config": {"value": [""], "dtype": "U999999999"}}),
        DTypeError,
        "'U999999999'",
    ),
    ("a layer alone", configured(lambda config: config["config"]["layers"][1]), Corrupt, "no model, but Dense"),
    ("a dict", configured(lambda config: {"config": 1}), Corrupt, "no model, but dict"),
    (
        "a dtype",
        configured(lambda c: {"class_name": "DTypePolicy", "config": {"name": "float32"}}),
        Corrupt,
        "no model",
    ),
    ("negative", dense(units=-3), ArgumentError, "-3"),
    ("a name with a path", dense(name="../../up"), ArgumentError, "should have no '/'"),
    ("a name of lines", dense(name="a\n" * 5000 + "/"), Corrupt, "describes no model: ArgumentError"),
    ("an unknown word of lines", dense(activation="\x1b[31m" * 5000), UnknownNameError, r"Unknown activation '\\x1b"),
    ("larger than the file", dense(units=10**12), ShapeError, r"\(2, 1000000000000\) in the model"),
    ("as large as the file says", dense(dtype="float64"), Unsafe, "the limit is 20", {"bytes": 20}),
    (
        "many objects",
        configured(lambda _: None),
        Unsafe,
        "its configuration has [0-9]+ objects, the limit is 3",
        {"layers": 3},
    ),
    ("long", configured(lambda _: None), Unsafe, "config.json: grows from .* the limit is 500", {"json_bytes": 500}),
    ("many members", configured(lambda _: None), Unsafe, "holds 3 members, the limit is 2", {"members": 2}),
    ("nested objects", configured(lambda _: nested(60)), Unsafe, "nested more than 100 deep"),
    ("compiled by a text", configured(lambda c: c.update(compile_config="sgd")), Corrupt, "describes no model"),
    ("compiled by more", compiled(backdoor=1), Corrupt, "unexpected keyword argument 'backdoor'"),
    ("built by a text", configured(lambda c: c.update(build_config="x")), Corrupt, "describes no model"),
    (
        "no rate",
        compiled(optimizer={"class_name": "SGD", "config": {"learning_rate": "a"}}),
        ArgumentError,
        "SGD: learning_rate should be a number",
    ),
    ("a circle", graph(node("b", "c"), node("c", "b")), GraphError, "does not close"),
    ("on itself", graph(node("b", "b")), GraphError, "does not close"),
    ("on nothing", graph(node("b", "z")), GraphError, "does not close"),
    ("no inputs", graph(node("b")), GraphError, "calls 'b' on no tensor"),
    ("no such output", graph(node("b", "a"), outputs=("b", 0, 7)), GraphError, "that no layer makes"),
    ("no such layer", graph(node("b", "a"), outputs=("z", 0, 0)), GraphError, "that no layer makes"),
    ("computing at once", graph(op("Zeros", shape=[10**13])), GraphError, "calls 'b' on no tensor"),
    ("no op", graph(op("__class__")), ArgumentError, "names the op '__class__'"),
]

# HDF5

KERNEL = "layers/dense/vars/0"


def opened(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def forge(path: Path) -> None:
        with h5py.File(path, "a") as file:
            change(file)

    return forge


def instead(make: Callable[[Any, Path], None]) -> Callable[[Path], None]:
    """The kernel's place taken by something else: `make(file, folder)`."""

    def forge(path: Path) -> None:
        with h5py.File(path.parent / "other.h5", "w") as file:
            file["secret"] = np.ones((2, 1), "float32")
        (path.parent / "raw").write_bytes(bytes(8))
        with h5py.File(path, "a") as file:
            del file[KERNEL]
            make(file, path.parent)

    return forge


def virtual(file: Any, folder: Path) -> None:
    found = h5py.VirtualLayout((2, 1), "float32")
    found[:] = h5py.VirtualSource(str(folder / "other.h5"), "secret", (2, 1))
    file.create_virtual_dataset(KERNEL, found)


def filtered(number: int) -> Callable[[Any, Path], None]:
    def make(file: Any, folder: Path) -> None:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((2, 1))
        plan.set_filter(number, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((2, 1))
        one = h5py.h5d.create(file["layers/dense/vars"].id, b"0", h5py.h5t.IEEE_F32LE, space, plan)
        one.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones((2, 1), "float32"))

    return make


def odd_float(file: Any, folder: Path) -> None:
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_ebias(120)
    space = h5py.h5s.create_simple((2, 1))
    one = h5py.h5d.create(file["layers/dense/vars"].id, b"0", kind, space)
    one.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones((2, 1), "float32"))


def stored(**kwargs: Any) -> Callable[[Any, Path], None]:
    return lambda file, folder: file.create_dataset(KERNEL, **kwargs)


def deep(file: Any) -> None:
    file.create_group("/".join(["x"] * 120))


def long_attribute(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["layer_names"] = np.full(3000, b"x" * 30)


ELSEWHERE, IN_OTHERS = "is a link to elsewhere", "keeps its data in other files"
HDF5 = [
    (
        "soft link",
        instead(lambda f, _: f.__setitem__(KERNEL, h5py.SoftLink("/layers/dense/vars/1"))),
        Unsafe,
        ELSEWHERE,
    ),
    (
        "external link",
        instead(lambda f, folder: f.__setitem__(KERNEL, h5py.ExternalLink(str(folder / "other.h5"), "secret"))),
        Unsafe,
        ELSEWHERE,
    ),
    (
        "dangling link",
        opened(lambda f: f.__setitem__("x", h5py.SoftLink("/nowhere"))),
        Unsafe,
        "x: is a link to elsewhere",
    ),
    (
        "external data",
        instead(lambda f, d: f.create_dataset(KERNEL, (2, 1), "float32", external=[(str(d / "raw"), 0, 8)])),
        Unsafe,
        IN_OTHERS,
    ),
    ("virtual data", instead(virtual), Unsafe, IN_OTHERS),
    ("twice", opened(lambda f: f.__setitem__("x", f[KERNEL])), Unsafe, "under another name"),
    ("circle", opened(lambda f: f.__setitem__("layers/x", f["layers"])), Unsafe, "under another name"),
    ("plugin", instead(filtered(32015)), Unsafe, "needs the HDF5 filter 32015, a plugin; none is loaded"),
    ("lzf", instead(stored(data=np.ones((2, 1), "float32"), compression="lzf")), Unsafe, "needs the HDF5 filter 32000"),
    ("texts", instead(stored(data=["a", "b"])), Corrupt, "expected numbers"),
    ("references", instead(stored(shape=(2,), dtype=h5py.ref_dtype)), Corrupt, "expected numbers"),
    ("lists", instead(stored(shape=(2,), dtype=h5py.vlen_dtype(np.float32))), Corrupt, "expected numbers"),
    ("records", instead(stored(data=np.zeros(2, "f4,f4"))), Corrupt, "expected numbers"),
    ("opaque", instead(stored(data=np.zeros(2, "V4"))), Corrupt, "expected numbers"),
    ("nothing at all", instead(stored(data=h5py.Empty("f4"))), Corrupt, "expected numbers"),
    ("floats of its own", instead(odd_float), Corrupt, "in a form of its own"),
    ("a type alone", opened(lambda f: f.__setitem__("x", np.dtype("f4"))), Unsafe, "neither a group nor an array"),
    ("never written", instead(stored(shape=(2, 1), dtype="f4")), Corrupt, "announced and not written"),
    (
        "nowhere written",
        instead(stored(shape=(10**12,), dtype="f4", chunks=(1024,))),
        Corrupt,
        "announced and not written",
    ),
    (
        "bomb",
        instead(stored(data=np.zeros(17 << 20, "f4"), compression=9, chunks=(1 << 20,))),
        Unsafe,
        "would grow from",
    ),
    ("deep", opened(deep), Unsafe, "or 100 levels, into the file"),
    ("many", opened(lambda f: None), Unsafe, "more than 3 items", {"members": 3}),
    ("large", opened(lambda f: None), Unsafe, "take 12 bytes, the limit is 11", {"bytes": 11}),
    ("more arrays", opened(lambda f: f.create_dataset("x", data=1.0)), ShapeError, r"unexpected +x"),
    ("fewer arrays", opened(lambda f: f.__delitem__(KERNEL)), ShapeError, rf"missing +{KERNEL}"),
    ("other shapes", instead(stored(data=np.ones((1, 2), "f4"))), ShapeError, r"mismatch +.*\(1, 2\) in the file"),
    (
        "numbers for names",
        opened(lambda f: f.attrs.__setitem__("layer_names", [1, 2])),
        Corrupt,
        "'layer_names' should be text",
    ),
    ("long names", long_attribute, Corrupt, "'layer_names' should be text"),
    (
        "names of another code",
        opened(lambda f: f.attrs.__setitem__("layer_names", [b"\xff"])),
        Corrupt,
        "should be text in UTF-8",
    ),
    ("names of nothing", opened(lambda f: f.attrs.__setitem__("layer_names", ["x"])), Corrupt, "has no list of names"),
    (
        "not from the beginning",
        lambda path: path.write_bytes(bytes(512) + path.read_bytes()),
        Corrupt,
        "cannot be read as HDF5",
    ),
    ("text", lambda path: path.write_text("hello"), Corrupt, "cannot be read as HDF5"),
    ("empty", lambda path: path.write_bytes(b""), Corrupt, "cannot be read as HDF5"),
]


def attribute(name: str, value: Any) -> Callable[[Path], None]:
    return opened(lambda file: file.attrs.__setitem__(name, value))


OLD = [
    ("model by number", attribute("model_config", 3), Corrupt, "'model_config' should be text"),
    ("no JSON", attribute("model_config", "{"), Corrupt, "model_config: is not JSON"),
    ("no class", attribute("model_config", '{"config": 1}'), Corrupt, "describes no model"),
    (
        "code",
        attribute("model_config", json.dumps({"class_name": "system", "config": {}})),
        UnknownNameError,
        "'system'",
    ),
    ("no optimizer", attribute("training_config", '{"loss": "mse"}'), Corrupt, "describes no model: KeyError"),
    (
        "a number for one",
        attribute("training_config", '{"optimizer_config": 3}'),
        Corrupt,
        "describes no model: TypeError",
    ),
    ("no training", attribute("training_config", '{"optimizer_config": "sgd", "x": 1}'), Corrupt, "describes no model"),
    ("half a letter", attribute("model_config", b'{"a": "\xed\xa0\x80"}'), Corrupt, "UTF-8|Unicode"),
    ("no names", opened(lambda f: f["model_weights"].attrs.__delitem__("layer_names")), Corrupt, "no list of names"),
    (
        "fewer arrays",
        opened(lambda f: f["model_weights/dense"].attrs.__setitem__("weight_names", [])),
        ShapeError,
        "has 1",
    ),
    ("missing arrays", opened(lambda f: f["model_weights/dense"].clear()), Corrupt, "is announced and missing"),
    (
        "optimizer of another shape",
        opened(lambda f: f["optimizer_weights"].attrs.__setitem__("weight_names", ["x"])),
        Corrupt,
        "optimizer_weights/x: is announced and missing",
    ),
]

# safetensors


def tensors(header: Any, data: bytes = b"", length: int | None = None) -> Callable[[Path], None]:
    """A file with this header, bytes or an object, and these data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if length is None else length
    return lambda path: path.write_bytes(size.to_bytes(8, "little") + text + data)


def entry(*offsets: Any, dtype: Any = "F32", shape: Any = (1,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


BIAS, WHOLE = {"dense/bias": entry(0, 4)}, {"dense/bias": entry(0, 4), "dense/kernel": entry(4, 12, shape=(2, 1))}
SAFETENSORS = [
    ("a good one", tensors(WHOLE, bytes(12)), None, ""),
    ("short", lambda path: path.write_bytes(b"1234"), Corrupt, "too few for safetensors"),
    ("longer header", tensors(WHOLE, bytes(12), 10**6), Corrupt, "its header should have 1000000 bytes"),
    ("endless header", tensors(WHOLE, bytes(12), 2**64 - 1), Corrupt, "it is cut off"),
    ("large header", tensors(WHOLE, bytes(12)), Unsafe, "the limit is 50", {"json_bytes": 50}),
    ("space before it", tensors(b" " + json.dumps(WHOLE).encode(), bytes(12)), Corrupt, "should be a JSON object"),
    ("twice", tensors(b'{"a": 1, "a": 2}'), Corrupt, "the name 'a' stands twice"),
    ("deep", tensors(b'{"a": ' + b"[" * 200 + b"]" * 200 + b"}"), Unsafe, "nested more than 100 deep"),
    ("overlap", tensors(BIAS | {"dense/kernel": entry(0, 8, shape=(2, 1))}, bytes(8)), Corrupt, "a gap or an overlap"),
    (
        "gap",
        tensors(BIAS | {"dense/kernel": entry(8, 16, shape=(2, 1))}, bytes(16)),
        Corrupt,
        "begins at byte 8, expected 4",
    ),
    ("more data", tensors(WHOLE, bytes(13)), Corrupt, "take 12 bytes, the file has 13"),
    ("less data", tensors(WHOLE, bytes(11)), Corrupt, "ends at byte 12 of 11"),
    ("other size", tensors({"dense/bias": entry(0, 4, shape=(2,))}, bytes(4)), Corrupt, "its shape \\[2\\] needs 8"),
    ("size beyond counting", tensors({"x": entry(0, 0, shape=[2**62] * 3)}), Corrupt, "takes 0 bytes"),
    ("unknown dtype", tensors({"x": entry(0, 4, dtype="O")}, bytes(4)), Corrupt, "should have a known dtype"),
    ("dtype in a list", tensors({"x": entry(0, 4, dtype=["F32"])}, bytes(4)), Corrupt, ""),
    ("negative shape", tensors({"x": entry(0, 4, shape=(-1,))}, bytes(4)), Corrupt, "should be lists of sizes"),
    ("true as shape", tensors({"x": entry(0, 4, shape=(True,))}, bytes(4)), Corrupt, "should be lists of sizes"),
    ("many axes", tensors({"x": entry(0, 4, shape=[1] * 65)}, bytes(4)), Corrupt, "should be lists of sizes"),
    ("backwards", tensors({"x": entry(4, 0)}, bytes(4)), Corrupt, ""),
    (
        "endless offsets",
        tensors(b'{"x": {"dtype": "F32", "shape": [1], "data_offsets": [1e999, 1e999]}}'),
        Corrupt,
        "lists",
    ),
    ("three offsets", tensors({"x": entry(0, 4, 8)}, bytes(8)), Corrupt, "should be lists of sizes"),
    ("no object", tensors({"x": 3}), Corrupt, "should have a known dtype, shape and data_offsets, got 3"),
    ("more in it", tensors({"x": entry(0, 4) | {"path": "/etc"}}, bytes(4)), Corrupt, "should have a known dtype"),
    ("metadata of numbers", tensors({"__metadata__": {"a": 1}}), Corrupt, "should be an object of texts"),
    (
        "metadata of half letters",
        tensors(b'{"__metadata__": {"config": "\\ud800"}}'),
        Corrupt,
        "should be an object of texts",
    ),
    (
        "later version",
        tensors({"__metadata__": {"format": "cornu", "version": "9" * 5000}}),
        ValueError,
        "format version 999",
    ),
    ("many", tensors(WHOLE, bytes(12)), Unsafe, "it holds 2 arrays, the limit is 1", {"members": 1}),
    ("large", tensors(WHOLE, bytes(12)), Unsafe, "take 12 bytes, the limit is 11", {"bytes": 11}),
    ("other names", tensors({"../../up": entry(0, 4)}, bytes(4)), ShapeError, r"unexpected +../../up"),
    ("names in colour", tensors({"\x1b[31m" * 50: entry(0, 4)}, bytes(4)), ShapeError, r"unexpected +\\x1b\[31m"),
    ("hashes of others", tensors({"__metadata__": {"sha256": '{"": "x"}'}}), Corrupt, "another SHA-256 than was saved"),
    ("hashes that are none", tensors({"__metadata__": {"sha256": "[1]"}}), Corrupt, "sha256: should be a JSON object"),
]


def indexed(*names: Any, **more: Any) -> Callable[[Path], None]:
    """An index of files with these names, in place of the file."""

    def forge(path: Path) -> None:
        for i, name in enumerate(names):
            if isinstance(name, str) and "/" not in name:
                tensors({f"x{i}": entry(0, 4)}, bytes(4))(path.with_name(name))
        places = {f"x{i}": name for i, name in enumerate(names)}
        path.with_name(path.name + ".index.json").write_text(json.dumps({"weight_map": places, **more}))
        path.unlink()

    return forge


FIRST = "w-00001-of-00001.safetensors"
INDEX = [
    ("parent", indexed("../w-00001-of-00001.safetensors"), Unsafe, "names a file that does not belong to it"),
    ("absolute", indexed("/etc/passwd"), Unsafe, "does not belong to it"),
    ("another model", indexed("v-00001-of-00001.safetensors"), Unsafe, "does not belong to it"),
    ("another line", indexed(FIRST + "\n"), Unsafe, "does not belong to it"),
    ("other digits", indexed("w-0000١-of-00001.safetensors"), Unsafe, "does not belong to it"),
    ("number", indexed(3), Corrupt, "should be an object of file names"),
    ("list", indexed(weight_map=[]), Corrupt, "should be an object of file names"),
    (
        "missing",
        then(indexed(FIRST), lambda path: path.with_name(FIRST).unlink()),
        Corrupt,
        "is missing from the folder",
    ),
    (
        "not what it says",
        then(indexed(FIRST), lambda path: tensors({"y": entry(0, 4)}, bytes(4))(path.with_name(FIRST))),
        Corrupt,
        "stands only in one of the index and w-00001",
    ),
    ("twice", indexed(FIRST, FIRST), Corrupt, "stands only in one"),
    ("long", indexed(FIRST), Unsafe, "bytes of JSON", {"json_bytes": 20}),
]

# values that the variables do not hold


def holding(value: Any) -> Callable[[Path], None]:
    return instead(lambda file, folder: file.create_dataset(KERNEL, data=value))


VALUES = [
    ("complex", np.ones((2, 1), "complex64"), DTypeError, "holds complex64 values that float32"),
    ("float64", np.full((2, 1), 0.1), DTypeError, "holds float64 values that float32"),
    ("float64 too large", np.full((2, 1), 1e300), DTypeError, "holds float64 values"),
    ("float64 that fits", np.full((2, 1), 0.5), None, ""),
    ("int too large", np.full((2, 1), 2**24 + 1), DTypeError, "holds int64 values"),
    ("int of the edge", np.full((2, 1), 2**63 - 1), DTypeError, "holds int64 values"),
    ("int that fits", np.full((2, 1), 3), None, ""),
    ("bool", np.ones((2, 1), bool), DTypeError, "holds bool values"),
    ("float16", np.full((2, 1), 0.5, "float16"), None, ""),
    ("big-endian", np.full((2, 1), 0.5, ">f4"), None, ""),
]


def _cases(kind: str, name: str, rows: list[Any]) -> list[Case]:
    return [Case(f"{kind}: {row[0]}", name, *row[1:]) for row in rows]


CASES = [
    *_cases("zip", "m.keras", ZIP),
    *(Case(f"json: {row[0]}", "m.keras", member(config=row[1]), *row[2:]) for row in JSON if row[2]),
    *_cases("config", "m.keras", CONFIGS),
    *_cases("hdf5", "w.weights.h5", HDF5),
    *_cases("old", "m.h5", OLD),
    *_cases("safetensors", "w.safetensors", SAFETENSORS),
    *_cases("index", "w.safetensors", INDEX),
    *(Case(f"value: {row[0]}", "w.weights.h5", holding(row[1]), *row[2:]) for row in VALUES),
]
"""An error of None: the file is good."""
