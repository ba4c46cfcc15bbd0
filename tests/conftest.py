"""What all tests share: a home of their own, and a web server that misbehaves on demand."""

from __future__ import annotations

import http.server
import os
import re
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress

with suppress(ImportError):  # before Keras imports TensorFlow; see `cornu/backend/tensorflow`
    __import__("triton")

import pytest

from tests.backends import BACKENDS

# Before anything imports cornu or keras: nobody's settings, nobody's cache, and Keras as an oracle on JAX.
_home = tempfile.TemporaryDirectory(prefix="cornu-tests-")
os.environ["CORNU_HOME"] = os.path.join(_home.name, "cornu")
os.environ["KERAS_HOME"] = os.path.join(_home.name, "keras")
os.environ.setdefault("KERAS_BACKEND", "jax")
# Thousands of small programs run once: without LLVM's optimisation the tests take four fifths of the time. Steps ask
# for a level themselves, and the conformance suite, which is run apart, has that of users.
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_backend_optimization_level=0"


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each backend in turn, in force while the test runs."""
    from cornu.base.config import backend_scope

    with backend_scope(request.param):
        yield request.param


Behaviour = Callable[["Handler", bytes], None]


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files` with ETags and ranges, unless a behaviour waits in `server.script` for the path."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.close_connection = True
        with self.server.guard:
            self.server.requests.append((self.path, dict(self.headers)))
            waiting = self.server.script[self.path]
            behaviour = waiting.pop(0) if waiting else serve
        body = self.server.files.get(self.path.partition("?")[0])
        if body is None and behaviour is serve:
            self.send_error(404)
        else:
            behaviour(self, body or b"")

    def answer(self, status: int, body: bytes, **headers: object) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def serve(handler: Handler, body: bytes) -> None:
    etag = f'"{hash(body)}"'
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if not asked or handler.headers.get("If-Range", etag) != etag:
        handler.answer(200, body, ETag=etag)
    elif (start := int(asked[1])) >= len(body):
        handler.answer(416, b"", Content_Range=f"bytes */{len(body)}")
    else:
        handler.answer(206, body[start:], ETag=etag, Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.script: defaultdict[str, list[Behaviour]] = defaultdict(list)
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.guard = threading.Lock()
        self.closing = threading.Event()  # stalling behaviours wait for it

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def ranges(self) -> list[str | None]:
        """What each request so far asked for."""
        return [headers.get("Range") for _, headers in self.requests]

    def handle_error(self, *args: object) -> None:
        """A client that went away is part of the tests."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()


class Misbehave:
    """Ways to answer one request."""

    @staticmethod
    def fail(status: int) -> Behaviour:
        return lambda handler, body: handler.answer(status, b"sorry")

    @staticmethod
    def truncate(size: int) -> Behaviour:
        """Promise all, send `size` bytes, hang up."""
        return lambda handler, body: handler.answer(200, body[:size], Content_Length=len(body), ETag=f'"{hash(body)}"')

    @staticmethod
    def stall(size: int) -> Behaviour:
        """Send `size` bytes, then nothing, and keep the line."""

        def behaviour(handler: Handler, body: bytes) -> None:
            handler.answer(200, body[:size], Content_Length=len(body), ETag=f'"{hash(body)}"')
            handler.wfile.flush()
            handler.server.closing.wait(60)

        return behaviour

    @staticmethod
    def drip(handler: Handler, body: bytes) -> None:
        """One byte at a time, quickly enough that no single read times out."""
        handler.answer(200, b"", Content_Length=len(body))
        for i in range(len(body)):
            handler.wfile.write(body[i : i + 1])
            handler.wfile.flush()
            if handler.server.closing.wait(0.02):
                return

    @staticmethod
    def slow(seconds: float) -> Behaviour:
        def behaviour(handler: Handler, body: bytes) -> None:
            time.sleep(seconds)
            serve(handler, body)

        return behaviour

    @staticmethod
    def ignore_range(handler: Handler, body: bytes) -> None:
        handler.answer(200, body)

    @staticmethod
    def wrong_range(handler: Handler, body: bytes) -> None:
        """Claim to resume, but from the start."""
        handler.answer(206, body, Content_Range=f"bytes 0-{len(body) - 1}/{len(body)}")

    @staticmethod
    def send(body: bytes) -> Behaviour:
        """Other bytes than asked for, said to be right."""
        return lambda handler, _: handler.answer(200, body)

    @staticmethod
    def unsized(handler: Handler, body: bytes) -> None:
        """No Content-Length: the end of the connection is the end of the file."""
        handler.answer(200, body, Content_Length=None, Connection="close")

    @staticmethod
    def broken_chunks(handler: Handler, body: bytes) -> None:
        handler.answer(200, b"ffff\r\n" + body[:10], Content_Length=None, Transfer_Encoding="chunked")

    @staticmethod
    def redirect(url: str) -> Behaviour:
        return lambda handler, body: handler.answer(302, b"", Location=url)


@pytest.fixture
def misbehave() -> type[Misbehave]:
    return Misbehave
