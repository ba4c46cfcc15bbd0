"""Programs of the torch backend: a function is recorded once, as the kernels that it calls, and then replayed.

What costs time in a small eager step is Python: layers, checks, autograd's bookkeeping. A recording holds nothing but
the calls of kernels, those of the backward pass among them, as the lines of one Python function. It is made while the
function runs for the first time, on its real arguments, below autograd (a `TorchDispatchMode`), so whatever PyTorch can
run can be recorded, unless it looks at a value that is computed: then the function goes on running as it is.
"""

from __future__ import annotations

import functools
import itertools
import threading
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.weak import WeakIdKeyDictionary

from cornu.backend.torch import graphs
from cornu.base import tree
from cornu.base.errors import warn

aten = torch.ops.aten
_Wrapper = Callable[[Callable[..., list[Any]], Sequence[int]], Callable[..., list[Any]]]
"""Makes the kernels of a function one; tells which of its arguments are new at every call."""
_SAME = {aten.detach.default, aten.alias.default, aten.lift_fresh.default, aten.lift.default}
"""Kernels that return their argument."""
_LOOKS = {
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.unique_dim.default,
    aten._unique2.default,
}
"""Kernels that return something to Python, or whose result's size depends on values."""
_SHORT = frozenset(
    "abs add addmm amax amin argmax bitwise_and bitwise_or bitwise_not bmm clamp cos div eq exp ge gt index_select"
    " isfinite le log log1p logical_and logical_not logical_or lt maximum minimum mm mul ne neg pow relu rsqrt sigmoid"
    " sin sqrt sub sum t tanh transpose unsqueeze where".split()
)
"""Kernels called by their binding in `torch`, which takes 1.5 µs where the overload itself takes 2.4."""
_MANY = {
    getattr(getattr(aten, name), overload): getattr(torch, f"_foreach_{name}")
    for overload, names in {
        "Tensor": "add sub mul div",
        "default": "abs maximum minimum neg rsqrt sign sqrt",
        "Tensor_Scalar": "pow",
    }.items()
    for name in names.split()
}
"""Kernels that exist for lists, of which one call is made of many (`Recorder.together`)."""
_MANY_BYTES = {"cpu": 1 << 14, "cuda": 1 << 22}
"""Larger arrays are left alone: their own kernel takes longer than to call it, on a CPU while they are in its cache."""


class UncapturableError(Exception):
    """What ran cannot be recorded: its way depends on values."""


class _StaleError(Exception):
    """A value was read after a kernel had overwritten it."""


@dataclass(frozen=True)
class Ref:
    """A value of the program to be: its number."""

    number: int


@dataclass
class _Line:
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: list[int] | int
    pure: bool
    kernel: bool = True
    group: int = 0
    """Of lines that may change their order, or 0."""
    like: Any = None
    """Equal for lines of a group that one kernel on lists can stand for (see `_like`)."""

    def used(self) -> list[int]:
        return [leaf.number for leaf in tree_flatten((self.args, self.kwargs))[0] if isinstance(leaf, Ref)]

    def made(self) -> list[int]:
        return [self.results] if isinstance(self.results, int) else self.results


@dataclass
class _Frame:
    """A function that is being recorded: the body of a loop is one within another."""

    lines: list[_Line] = field(default_factory=list)
    known: Any = field(default_factory=WeakIdKeyDictionary)
    count: int = 0
    lifted: list[tuple[torch.Tensor, int]] = field(default_factory=list)
    overwritten: dict[int, set[int]] = field(default_factory=dict)  # storage -> ids of tensors that are up to date
    owned: set[int] = field(default_factory=set)  # storages that may be overwritten
    kept: list[Any] = field(default_factory=list)

    def number(self, tensor: torch.Tensor) -> int:
        self.count += 1
        self.known[tensor] = self.count
        return self.count


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the kernels that run while it is active; `frames` are the functions being recorded, innermost last."""

    def __init__(self, in_place: bool, thorough: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.frames: list[_Frame] = []
        self.in_place, self.thorough = in_place, thorough
        self.group, self.groups = 0, itertools.count(1)

    # recording

    @contextmanager
    def together(self) -> Iterator[None]:
        """Kernels that run within it, alike and on many arrays, become one that runs on lists."""
        outer, self.group = self.group, 0 if self.thorough else next(self.groups)
        try:
            yield
        finally:
            self.group = outer

    def find(self, tensor: torch.Tensor, depth: int = -1) -> int | None:
        """The number of a tensor in the innermost frame, into which it is taken if an outer one knows it."""
        frame = self.frames[depth]
        found: int | None = frame.known.get(tensor)
        if found is None and len(self.frames) + depth > 0 and self.find(tensor, depth - 1) is not None:
            found = frame.number(tensor)
            frame.lifted.append((tensor, found))
        if found is not None and id(tensor) not in frame.overwritten.get(_storage(tensor), {id(tensor)}):
            raise _StaleError
        return found

    def is_traced(self, *values: Any) -> bool:
        """Whether one of the values is computed by the program."""
        return any(isinstance(leaf, torch.Tensor) and self.find(leaf) is not None for leaf in tree_flatten(values)[0])

    def refer(self, values: Any) -> Any:
        """The values with tensors of the program as references."""

        def one(leaf: Any) -> Any:
            if isinstance(leaf, torch.Tensor) and (number := self.find(leaf)) is not None:
                return Ref(number)
            return leaf

        return tree_map(one, values)

    def add(
        self, fn: Callable[..., Any], args: Any, kwargs: Any, results: Any, pure: bool = True, kernel: bool = True
    ) -> None:
        """A line that calls `fn`; `args` are references already, `results` tensors or lists of them."""
        frame = self.frames[-1]
        if isinstance(results, torch.Tensor):
            numbers: list[int] | int = frame.number(results)
        else:
            numbers = [frame.number(r) if isinstance(r, torch.Tensor) else 0 for r in results]
        frame.lines.append(_Line(fn, args, kwargs, numbers, pure, kernel, self.group))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        drawn = torch.Tag.nondeterministic_seeded in func.tags
        if not self.is_traced(args, kwargs) and not drawn:
            return func(*args, **kwargs)  # a constant of the program
        if func in _LOOKS:
            raise UncapturableError(f"{func} needs a value that is computed")
        mutates = func._schema.is_mutable
        if mutates:
            self._give_constants_a_copy(func, args, kwargs)
        references, named = self.refer((args, kwargs))
        out = func(*args, **kwargs)
        found = out if isinstance(out, torch.Tensor) else tree_flatten(out)[0]
        if func in _SAME:
            self.frames[-1].known[out] = self.find(args[0])
        elif isinstance(out, torch.Tensor) or (isinstance(out, list | tuple) and len(out)):
            line = func if isinstance(out, torch.Tensor) or len(found) == len(out) else _flat(func)
            self.add(line, references, named, found, pure=not mutates and not drawn)
            if self.group and func in _MANY and not kwargs:
                self.frames[-1].lines[-1].like = _like(func, args, out)
        elif mutates:  # a kernel on a list, in place
            self.frames[-1].lines.append(_Line(func, references, named, [], False))
        else:
            raise UncapturableError(f"{func} returns {type(out).__name__}")
        for tensor in (out,) if isinstance(out, torch.Tensor) else found:
            self._is_up_to_date(tensor)
        return out

    def _is_up_to_date(self, tensor: Any) -> None:
        """What was made of overwritten memory just now shows what is in it."""
        frame = self.frames[-1]
        if isinstance(tensor, torch.Tensor) and (current := frame.overwritten.get(_storage(tensor))) is not None:
            current.add(id(tensor))
            frame.kept.append(tensor)  # whose id is its own for as long as it lives

    def _give_constants_a_copy(self, func: Any, args: Any, kwargs: Any) -> None:
        """What a kernel writes into must be made anew by each run of the program."""
        for argument, value in zip(func._schema.arguments, args, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                for leaf in tree_flatten(value)[0]:
                    if isinstance(leaf, torch.Tensor) and self.find(leaf) is None:
                        self.add(torch.clone, (leaf.clone(),), {}, leaf)

    # what is no kernel

    def call(self, fn: Callable[..., Any], *args: Any, kernel: bool) -> Any:
        """`fn(*args)`, a function of ours without gradient that returns a tensor, as one line."""
        given = self.refer(args)
        with _disable_current_modes():
            out = fn(*(a.detach() if isinstance(a, torch.Tensor) else a for a in args))
        if self.is_traced(args):
            self.add(fn, given, {}, out, kernel=kernel and not self.thorough)
        return out

    def may_overwrite(self, tensors: Iterable[torch.Tensor]) -> bool:
        """Whether all the tensors are given away to the program."""
        owned = self.frames[-1].owned
        return self.in_place and all(_storage(t) in owned and not t._is_view() for t in tensors)

    def overwrite(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """New names for tensors that a kernel overwrote: reading them by the old ones is an error from now on."""
        frame, renewed = self.frames[-1], []
        for tensor in tensors:
            new = tensor.detach()
            frame.known[new] = frame.known[tensor]
            frame.overwritten[_storage(tensor)] = {id(new)}
            frame.kept.append(new)
            renewed.append(new)
        return renewed

    def record(
        self, fn: Callable[..., Any], inputs: list[torch.Tensor], owned: int, repeated: bool = False
    ) -> tuple[Program, Any, list[Any]]:
        """`fn(inputs)` as a program: it, the form of its results, and the tensors from outside that it takes besides.

        The first `owned` inputs may be overwritten. `fn` returns a nest of tensors; other leaves become constants.
        What is `repeated` may be a CUDA graph.
        """
        frame = _Frame()
        with _disable_current_modes():
            fresh = [t.detach().clone() if i < owned else t.detach() for i, t in enumerate(inputs)]
        self.frames.append(frame)
        try:
            numbers = [frame.number(t) for t in fresh]
            frame.owned = {_storage(t) for t in fresh[:owned]}
            result = fn(fresh)
            leaves = tree.present(result)
            outputs = [self._output(leaf, fresh) for leaf in leaves]
            outside = [tensor for tensor, _ in frame.lifted]
            numbers += [number for _, number in frame.lifted]
        finally:
            self.frames.pop()
        kernels: _Wrapper | None = None
        if self.thorough:
            kernels = _compiled
        elif repeated and graphs.fits(fresh):
            kernels = graphs.Graphed
        return Program(frame.lines, numbers, outputs, kernels, len(inputs)), result, outside

    def _output(self, leaf: Any, inputs: list[torch.Tensor]) -> Any:
        """How a leaf is returned: results own their memory, so that they may be overwritten in their turn."""
        if not isinstance(leaf, torch.Tensor):
            return leaf
        number = self.find(leaf)
        if number is None:
            self.add(torch.clone, (leaf.detach(),), {}, copy := leaf.detach().clone())
            return Ref(self.find(copy) or 0)
        frame = self.frames[-1]
        if any(leaf is t for t in inputs) or id(leaf) in frame.overwritten.get(_storage(leaf), ()):
            return Ref(number)
        lifted = any(number == one for _, one in frame.lifted)
        if leaf._is_view() or lifted or _storage(leaf) in frame.owned:
            self.add(torch.clone, (Ref(number),), {}, copy := leaf.detach().clone())
            return Ref(self.find(copy) or 0)
        frame.owned.add(_storage(leaf))  # a second output of the same memory gets a copy
        return Ref(number)


class Program:
    """A recording as a Python function: `run(*tensors) -> list of tensors`.

    `fast` is `run` with its kernels made one by `kernels`, after those that functions of ours wait for.
    """

    def __init__(
        self,
        lines: list[_Line],
        inputs: list[int],
        outputs: list[Any],
        kernels: _Wrapper | None = None,
        moving: int = 0,
    ) -> None:
        lines = _together(_needed(_without_repetition(lines, outputs), outputs))
        names: dict[str, Any] = {}
        source = [f"def run({', '.join(f'v{n}' for n in inputs)}):"]
        last = {n: i for i, line in enumerate(lines) for n in (*line.made(), *line.used())}
        kept = {leaf.number for leaf in outputs if isinstance(leaf, Ref)}

        known: dict[Any, str] = {}

        def name(value: Any, key: Any, prefix: str) -> str:
            if key not in known:
                known[key] = f"{prefix}{len(known)}"
                names[known[key]] = value
            return known[key]

        def text(value: Any) -> str:
            if isinstance(value, Ref):
                return f"v{value.number}"
            if isinstance(value, list | tuple) and type(value) in (list, tuple, torch.Size):
                inner = ", ".join(map(text, value))
                return f"[{inner}]"
            if value is None or isinstance(value, bool | int | str):
                return repr(value)
            return name(value, id(value), "c")

        for i, line in enumerate(lines):
            fn = _binding(line.fn)
            function = name(fn, fn, "f")
            arguments = [*map(text, line.args), *(f"{key}={text(value)}" for key, value in line.kwargs.items())]
            made = line.results
            target = f"v{made}" if isinstance(made, int) else ", ".join(f"v{n}" for n in made) + ("," if made else "")
            source.append(f"    {target + ' = ' if target else ''}{function}({', '.join(arguments)})")
            over = sorted({n for n in (*line.made(), *line.used()) if last[n] == i and n not in kept})
            if over:
                source.append(f"    del {', '.join(f'v{n}' for n in over)}")
        source.append(f"    return [{', '.join(map(text, outputs))}]")
        self.source, self.names = "\n".join(source), names
        exec(compile(self.source, "<recorded by cornu>", "exec"), names)
        self.run: Callable[..., list[Any]] = names["run"]
        self.fast: Callable[..., list[Any]] = self.run
        self.release: Callable[[list[Any]], list[Any]] = list
        """What makes results of `fast` last when it is called again."""
        if kernels is not None:
            self.fast, self.release = _in_two(lines, inputs, outputs, kernels, moving) or (self.run, list)


def _compiled(run: Callable[..., list[Any]], moving: Sequence[int]) -> Callable[..., list[Any]]:
    compiled = torch.compile(run, fullgraph=True, dynamic=False)  # when it is first called: after recording

    def call(*tensors: torch.Tensor) -> list[Any]:
        with torch.no_grad():
            return compiled(*tensors)

    return call


def _in_two(lines: list[_Line], inputs: list[int], outputs: list[Any], kernels: _Wrapper, moving: int) -> Any:
    """The lines in two parts: what is no kernel with all that it needs, and the rest made one by `kernels`."""
    made_by = {n: line for line in lines for n in line.made()}
    first: set[int] = set()
    waiting = [line for line in lines if not line.kernel]
    while waiting:
        line = waiting.pop()
        if id(line) not in first:
            first.add(id(line))
            waiting += [made_by[n] for n in line.used() if n in made_by]
    read: set[int] = set()
    written: set[int] = set()
    for line in lines:
        used = set(line.used())
        if id(line) not in first:
            read |= used
            written |= set() if line.pure else used
        elif used & (written if line.pure else read):
            return None  # what is written in place keeps the two in the order they have
    ahead = [line for line in lines if id(line) in first]
    rest = [line for line in lines if id(line) not in first]
    if not rest:
        return None
    wanted = {n for line in rest for n in line.used()} | {leaf.number for leaf in outputs if isinstance(leaf, Ref)}
    live = sorted(wanted & {n for line in ahead for n in line.made()})
    begin = Program(ahead, inputs, [Ref(n) for n in live]).run if ahead else None
    new = [*range(moving), *range(len(inputs), len(inputs) + len(live))]
    one = kernels(Program(rest, [*inputs, *live], outputs).run, new)

    def run(*tensors: torch.Tensor) -> list[Any]:
        return one(*tensors, *(begin(*tensors) if begin is not None else ()))

    return run, getattr(one, "release", list)


@functools.cache
def _flat(kernel: Callable[..., Any]) -> Callable[..., list[Any]]:
    """A kernel that returns lists among its results, returning one list."""
    return lambda *args, **kwargs: tree_flatten(kernel(*args, **kwargs))[0]


def _binding(fn: Any) -> Callable[..., Any]:
    if fn in (aten.view.default, aten._unsafe_view.default):
        return torch.reshape  # also where strides have become others
    packet = getattr(fn, "overloadpacket", None)
    short = getattr(packet, "__name__", "")
    return getattr(torch, short) if short in _SHORT else fn  # type: ignore[no-any-return]


def _without_repetition(lines: list[_Line], outputs: list[Any]) -> list[_Line]:
    """The lines, where one that computes what an earlier one has computed is left out; `outputs` are kept apart."""
    seen: dict[Any, _Line] = {}
    same: dict[int, int] = {}
    returned = {leaf.number for leaf in outputs if isinstance(leaf, Ref)}
    kept = []

    def renamed(leaf: Any) -> Any:
        return Ref(same.get(leaf.number, leaf.number)) if isinstance(leaf, Ref) else leaf

    def key(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return tuple(map(key, value))
        return value if isinstance(value, Ref) else (type(value), repr(value)) if _is_plain(value) else id(value)

    for line in lines:
        line.args, line.kwargs = tree_map(renamed, (line.args, line.kwargs))
        if not line.pure:
            seen.clear()  # values may have been overwritten
            kept.append(line)
            continue
        mark = (line.fn, key(line.args), tuple((name, key(value)) for name, value in line.kwargs.items()))
        first = seen.setdefault(mark, line)
        if first is line or not returned.isdisjoint(line.made()):
            kept.append(line)
        else:
            same.update(zip(line.made(), first.made(), strict=True))
    return kept


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | torch.dtype)


def _needed(lines: list[_Line], outputs: list[Any]) -> list[_Line]:
    """The lines without those whose results nobody uses."""
    used = {leaf.number for leaf in outputs if isinstance(leaf, Ref)}
    kept = []
    for line in reversed(lines):
        if not line.pure or not used.isdisjoint(line.made()):
            used.update(line.used())
            kept.append(line)
    return kept[::-1]


def _like(kernel: Any, args: Any, out: Any) -> Any:
    """What calls of a kernel have in common that one on lists can stand for; None if it cannot for this call."""
    lists = []
    for i, arg in enumerate(args):
        if isinstance(arg, torch.Tensor):
            if arg.dtype is not out.dtype or arg.device != out.device:
                return None
            if arg.shape == out.shape:
                lists.append((i, arg.is_contiguous()))
            elif arg.ndim or kernel not in (aten.mul.Tensor, aten.div.Tensor):
                return None
    ordered = kernel is aten.mul.Tensor or (lists and lists[0][0] == 0)  # factors may change places
    if not lists or not ordered or not out.is_floating_point() or out.nbytes > _MANY_BYTES.get(out.device.type, 0):
        return None
    return kernel, tuple(lists), out.dtype, out.device


def _together(lines: list[_Line]) -> list[_Line]:
    """The lines, of each group in an order in which many that are alike become one."""
    parts = [(key, list(part)) for key, part in itertools.groupby(lines, lambda line: (line.group, line.pure))]
    return [line for (group, pure), part in parts for line in (_regrouped(part) if group and pure else part)]


def _regrouped(lines: list[_Line]) -> list[_Line]:
    waits = {n for line in lines for n in line.made()}
    done: list[_Line] = []
    while lines:
        later: list[_Line] = []
        ready: dict[Any, list[_Line]] = {}
        for line in lines:
            if not waits.isdisjoint(line.used()):
                later.append(line)
            elif line.like is None:
                done.append(line)
                waits.difference_update(line.made())
            else:
                shared = tuple(
                    (type(one), one if isinstance(one, Ref | int | float) else id(one)) for one in _rest(line)
                )
                ready.setdefault((line.like, shared), []).append(line)
        for alike in ready.values():
            done.append(_one_of_many(alike) if len(alike) > 1 else alike[0])
            waits.difference_update(done[-1].made())
        lines = later
    return done


def _rest(line: _Line) -> list[Any]:
    """The arguments that lines which are alike share."""
    places = [i for i, _ in line.like[1]]
    return [arg for i, arg in enumerate(line.args) if i not in places]


def _one_of_many(alike: list[_Line]) -> _Line:
    kernel, places, *_ = alike[0].like
    lists = [[line.args[i] for line in alike] for i, _ in places]
    return _Line(_MANY[kernel], (*lists, *_rest(alike[0])), {}, [n for line in alike for n in line.made()], True)


class _Guard(TorchFunctionMode):
    """Refuses what shows values to Python without calling a kernel."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.__array__, torch.Tensor.data_ptr):
            if self.recorder.is_traced(args[0]):
                raise UncapturableError(f"{func.__name__}() needs a value that is computed")
        return func(*args, **(kwargs or {}))


class _Active(threading.local):
    recorder: Recorder | None = None


active = _Active()


def _where(error: BaseException) -> str:
    """The innermost line outside of frameworks and of this package at which an error was raised."""
    lines = traceback.extract_tb(error.__traceback__)
    users = [f for f in lines if not any(part in f.filename for part in ("site-packages", "/cornu/", "<"))]
    return f"See line {users[-1].lineno} of {users[-1].filename}: {users[-1].line}" if users else ""


@contextmanager
def _replaying() -> Iterator[None]:
    """Below autograd, but with gradients on: the kernel of LSTMs leaves out else what its derivative needs."""
    with torch.enable_grad(), torch._C._AutoDispatchBelowAutograd():
        yield


def without_autocast() -> AbstractContextManager[Any] | None:
    """A context in which the `torch.autocast` around it is off, if one is on: dtypes are the policy's to choose."""
    if torch._C._is_any_autocast_enabled():
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                return torch.autocast(kind, enabled=False)  # then asked again
    return None


class Captured:
    """A function recorded for each form of its arguments, and replayed; with `donate` it may overwrite the first."""

    def __init__(
        self, fn: Callable[..., Any], to_tensor: Callable[[Any], torch.Tensor], donate: bool, thorough: bool
    ) -> None:
        self.fn, self.to_tensor, self.donate, self.thorough = fn, to_tensor, donate, thorough
        self.programs: dict[Any, tuple[Callable[..., list[Any]] | None, list[torch.Tensor], Any]] = {}
        self.reason = ""
        """Why it is not recorded."""

    def __call__(self, *args: Any) -> Any:
        if active.recorder is None and (quiet := without_autocast()) is not None:
            with quiet:
                return self(*args)
        leaves = tree.flatten(args)
        tensors = [leaf if type(leaf) is torch.Tensor else self._leaf(leaf) for leaf in leaves]
        if active.recorder is not None:
            return self.fn(*tree.pack_sequence_as(args, tensors))  # part of what is being recorded
        form = tuple([(t.shape, t.dtype) if isinstance(t, torch.Tensor) else None for t in tensors])
        key = (form, tree.structure(args))
        found = self.programs.get(key)
        if found is None:
            found = self.programs[key] = self._record(args, tensors)
        run, outside, like = found
        if run is None:
            return self.fn(*tree.pack_sequence_as(args, tensors))
        with _replaying():
            return tree.packed(like, run(*(t for t in tensors if t is not None), *outside))

    def _leaf(self, leaf: Any) -> Any:
        return leaf if leaf is None or isinstance(leaf, torch.Tensor) else self.to_tensor(leaf)

    def _record(self, args: Any, tensors: list[Any]) -> Any:
        owned = len(tree.present(args[0])) if self.donate else 0

        for in_place in (True, False):
            recorder = Recorder(in_place, self.thorough)
            active.recorder = recorder
            try:
                with _Guard(recorder), recorder, warnings.catch_warnings():
                    program, like, outside = recorder.record(
                        lambda fresh: self.fn(*tree.packed(args, fresh)), tree.present(tensors), owned
                    )
                return program.fast, outside, like
            except _StaleError:
                continue
            except UncapturableError as error:
                self.reason = str(error)
                if self.thorough:
                    warn(f"jit_compile=True: the step runs as it is, not compiled: {error}. {_where(error)}")
                return None, [], None
            finally:
                active.recorder = None
        return None, [], None


def recorded_loop(
    recorder: Recorder, body: Callable[..., Any], state: Any, more: Callable[[Any], Any] | None, steps: Any = None
) -> Any:
    """A loop as one line of the program: `steps` times `body(i, state)`, or `body(state)` while `more(state)`."""
    given = tree.present(state)
    device = next((t.device for t in given if isinstance(t, torch.Tensor)), None)
    leaves = [torch.as_tensor(t, device=device) for t in given]
    if torch.is_grad_enabled() and any(t.requires_grad for t in leaves):
        raise UncapturableError("the gradient of a loop whose length is computed")
    count = len(leaves)

    outside: list[torch.Tensor] = []
    if more is None:
        first = [*leaves, torch.zeros((), dtype=torch.int32, device=device)]
        program, like, outside = recorder.record(lambda v: body(v[-1], tree.packed(state, v[:-1])), first, count, True)

        def run(step: Callable[..., Any], *tensors: torch.Tensor) -> list[torch.Tensor]:
            values, others = list(tensors[1 : count + 1]), tensors[count + 1 :]
            for i in torch.arange(int(tensors[0]), dtype=torch.int32, device=device).unbind():
                values = step(*values, i, *others)
            return values

        head = [steps if isinstance(steps, torch.Tensor) else torch.tensor(int(steps))]
    else:
        program, like, beside = recorder.record(lambda v: body(tree.packed(state, v)), leaves, count)
        test, _, tested = recorder.record(lambda v: [more(tree.packed(state, v))], leaves, 0)
        split = count + len(beside)

        def run(step: Callable[..., Any], *tensors: torch.Tensor) -> list[torch.Tensor]:
            values, others, rest = list(tensors[:count]), tensors[count:split], tensors[split:]
            while test.run(*values, *rest)[0]:
                values = step(*values, *others)
            return values

        outside, head = [*beside, *tested], []
    begin = len(head)
    given = [*head, *leaves, *outside]
    refs = recorder.refer(tuple(given))
    frame = recorder.frames[-1]
    own = [recorder.in_place and _storage(t) in frame.owned and not t._is_view() for t in leaves]
    with _disable_current_modes(), _replaying():
        plain = [t.detach() for t in given]
        out = run(
            program.run, *plain[:begin], *(t.clone() for t in plain[begin : begin + count]), *plain[begin + count :]
        )

    def replay(*tensors: torch.Tensor) -> list[torch.Tensor]:
        values = [t if mine else t.clone() for t, mine in zip(tensors[begin:], own, strict=False)]
        return program.release(run(program.fast, *tensors[:begin], *values, *tensors[begin + count :]))

    recorder.add(replay, refs, {}, out, pure=not any(own), kernel=False)
    frame.overwritten.update({_storage(t): set() for t, mine in zip(leaves, own, strict=True) if mine})
    return tree.packed(like, out)
