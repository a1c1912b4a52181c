"""A real web server on this computer that serves files well, or badly in every way a download can meet."""

import _thread
import gzip
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


class Server(ThreadingHTTPServer):
    """Serves `files` (path below the mode -> content); `url(mode)` is the base address that behaves in that mode.

    Modes: ok, well (the same), forbidden (403), page (an HTML page with status 200), truncated, wrong (right size, wrong bytes), endless,
    hang (never answers), trickle (a byte now and then), slow_header (the header itself trickles), interrupt
    (half the file, then Ctrl-C in the main thread).
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.requests: list[str] = []
        self.agents: list[str] = []
        self.forbid: set[str] = set()
        self.stopping = threading.Event()

    def url(self, mode: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{mode}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        mode, _, path = self._note()
        # The client leaves early, as it should, when the server misbehaves.
        with suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, mode)(self.server.files.get(path, b""))

    def _note(self) -> tuple[str, str, str]:
        self.server.requests.append(self.path)
        self.server.agents.append(self.headers["User-Agent"])
        return (
            ("forbidden", "/", "")
            if self.path in self.server.forbid
            else self.path.lstrip("/").partition("/")
        )

    def do_HEAD(self) -> None:
        mode, _, path = self._note()
        if mode == "forbidden":
            self.send_error(403)
        elif mode == "hang":
            self.server.stopping.wait()
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.files[path])))
            self.end_headers()

    def ok(self, content: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    well = ok

    def forbidden(self, content: bytes) -> None:
        self.send_error(403)

    def page(self, content: bytes) -> None:
        self.ok(PAGE)

    def truncated(self, content: bytes) -> None:
        self.ok(content[: len(content) // 2], length=len(content))

    def wrong(self, content: bytes) -> None:
        self.ok(bytes(byte ^ 1 for byte in content))

    def endless(self, content: bytes) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.stopping.is_set():
            self.wfile.write(content)

    def hang(self, content: bytes) -> None:
        self.server.stopping.wait()

    def trickle(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self._drip(content)

    def slow_header(self, content: bytes) -> None:
        self._drip(b"HTTP/1.0 200 OK\r\nX-Padding: " + b"x" * 10_000)

    def interrupt(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        time.sleep(0.1)
        _thread.interrupt_main()
        self.server.stopping.wait()

    def _drip(self, content: bytes) -> None:
        for i in range(len(content)):
            if self.server.stopping.wait(0.02):
                return
            self.wfile.write(content[i : i + 1])
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on stderr."""


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    """Run a server in a thread for the length of a `with` block."""
    server = Server(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()


def write_fake_mnist(home: Path, folder: str = "MNIST/raw", train: int = 5_200, test: int = 200) -> Path:
    """Seeded images in MNIST's format, too few and too plain to take long; returns `home`."""
    raw = home / folder
    raw.mkdir(parents=True)
    random = np.random.RandomState(0)
    for part, n in (("train", train), ("t10k", test)):
        images = np.zeros((n, 28, 28), dtype=np.uint8)
        images[:, 10:14, 10:14] = random.randint(0, 256, (n, 4, 4))
        labels = random.randint(0, 10, n).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape)
            content = gzip.compress(header + array.tobytes(), compresslevel=1, mtime=0)
            (raw / f"{part}-{kind}-ubyte.gz").write_bytes(content)
    return home
