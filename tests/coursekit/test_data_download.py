"""Downloads against a real local server that behaves well and badly; nothing half-written ever stays."""

import hashlib
import os
import random
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from http_server import Server, serving, write_fake_mnist

from coursekit.data import DataError, RemoteFile, Source, download, fetch, load
from coursekit.data.catalogue import CATALOGUE

CONTENTS = {
    f"{name}.gz": random.Random(name).randbytes(size) for name, size in [("a", 150_000), ("b", 5_000)]
}
BAD = {
    "forbidden": "answered 403",
    "page": "sent a web page",
    "truncated": "sent only 75,000 of 150,000 bytes",
    "wrong": "wrong hash",
    "endless": "sent more than the 150,000 bytes",
    "hang": "did not answer within|stalled: 0 bytes",
    "trickle": "stalled",
    "slow_header": "stalled: 0 bytes",
}


def files() -> tuple[RemoteFile, ...]:
    return tuple(RemoteFile(n, len(c), hashlib.sha256(c).hexdigest()) for n, c in CONTENTS.items())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("COURSEKIT_MIRROR", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    paths = {f"{n}": c for n, c in CONTENTS.items()} | {f"toy/raw/{n}": c for n, c in CONTENTS.items()}
    with serving(paths) as server:
        yield server


def source(server: Server, *modes: str) -> Source:
    return Source("toy/raw", files(), mirrors=tuple(f"{server.url(mode)}/" for mode in modes))


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder).as_posix()) for path in folder.rglob("*"))


def test_good_server(server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = fetch("toy", source(server, "ok"), root=tmp_path)
    assert folder == tmp_path / "toy" / "raw"
    assert everything(tmp_path) == ["toy", "toy/raw", "toy/raw/a.gz", "toy/raw/b.gz"]
    assert all((folder / name).read_bytes() == content for name, content in CONTENTS.items())
    assert capfd.readouterr() == ("", "")  # no bar where nobody looks, and never a word on stderr


def test_bar_for_someone_who_looks(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    fetch("toy", source(server, "truncated", "ok"), root=tmp_path)
    out, err = capfd.readouterr()
    assert (
        "toy: 100%" in out.replace("\r", "\n").splitlines()[-1]
    )  # what the first address sent is taken back
    assert "155k/155k" in out
    assert err == ""


def test_what_is_there_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    fetch("toy", source(server, "ok"), root=tmp_path)
    (tmp_path / "toy/raw/b.gz").write_bytes(b"damaged")
    server.requests.clear()
    fetch("toy", source(server, "ok"), root=tmp_path)
    assert server.requests == ["/ok/b.gz"]
    assert (tmp_path / "toy/raw/b.gz").read_bytes() == CONTENTS["b.gz"]


@pytest.mark.parametrize("mode", BAD)
def test_bad_server(server: Server, tmp_path: Path, mode: str) -> None:
    with pytest.raises(DataError, match=BAD[mode]) as caught:
        fetch("toy", source(server, mode), root=tmp_path, timeout=0.5)
    message = str(caught.value)
    assert f"{server.url(mode)}/a.gz" in message  # every address tried
    assert "a.gz could not be downloaded" in message
    assert all(way in message for way in ("COURSEKIT_HOME", "root=FOLDER", "COURSEKIT_MIRROR", "toy/raw"))
    assert everything(tmp_path) == []


@pytest.mark.parametrize("mode", BAD)
def test_the_next_mirror_helps(server: Server, tmp_path: Path, mode: str) -> None:
    folder = fetch("toy", source(server, mode, "ok"), root=tmp_path, timeout=0.5)
    assert all((folder / name).read_bytes() == content for name, content in CONTENTS.items())


def test_every_address_and_its_answer_is_told(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch("toy", source(server, "forbidden", "page", "wrong"), root=tmp_path)
    lines = str(caught.value).splitlines()
    told = {line.strip(): lines[i + 1] for i, line in enumerate(lines) if line.strip().startswith("http")}
    assert [url.split("/")[3] for url in told] == ["forbidden", "page", "wrong"]
    assert all(
        answer in told[f"{server.url(m)}/a.gz"] for m, answer in [("forbidden", "403"), ("page", "web page")]
    )


def test_a_later_file_that_fails_leaves_nothing(server: Server, tmp_path: Path) -> None:
    broken = RemoteFile("b.gz", 5_000, "0" * 64)
    with pytest.raises(DataError, match=r"b\.gz could not be downloaded"):
        fetch("toy", Source("toy/raw", (files()[0], broken), (f"{server.url('ok')}/",)), root=tmp_path)
    assert everything(tmp_path) == []


def test_a_failure_leaves_older_files_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "toy/raw").mkdir(parents=True)
    (tmp_path / "toy/raw/a.gz").write_bytes(b"older")
    with pytest.raises(DataError):
        fetch("toy", source(server, "truncated"), root=tmp_path)
    assert everything(tmp_path) == ["toy", "toy/raw", "toy/raw/a.gz"]
    assert (tmp_path / "toy/raw/a.gz").read_bytes() == b"older"


def test_connection_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving({}) as server:
        gone = source(server, "ok")
    with pytest.raises(DataError, match="cannot be reached"):
        fetch("toy", gone, root=tmp_path, timeout=2)
    assert everything(tmp_path) == []


def test_unknown_host_and_other_kinds_of_address(tmp_path: Path) -> None:
    bad = Source("toy/raw", files(), mirrors=("http://no-such-host.invalid/", "file:///"))
    with pytest.raises(
        DataError, match=r"(?s)no-such-host.invalid/a.gz.*file:///a.gz\n +is not an http or https"
    ):
        fetch("toy", bad, root=tmp_path, timeout=5)


def test_own_mirror_comes_first(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSEKIT_MIRROR", f"{server.url('forbidden')}, {server.url('ok')}/")
    fetch("toy", source(server, "page"), root=tmp_path)
    assert server.requests == [f"/{mode}/toy/raw/{n}" for n in CONTENTS for mode in ("forbidden", "ok")]


def test_ctrl_c_leaves_nothing(server: Server, tmp_path: Path) -> None:
    # The worker processes of a parallel test run ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fetch("toy", source(server, "interrupt"), root=tmp_path, timeout=30)
    finally:
        signal.signal(signal.SIGINT, before)
    assert everything(tmp_path) == []


def test_the_reading_thread_ends(server: Server, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with pytest.raises(DataError):
        fetch("toy", source(server, "endless"), root=tmp_path)
    mine = [t for t in set(threading.enumerate()) - before if t._target is download._read_into]  # type: ignore[attr-defined]
    for thread in mine:
        thread.join(timeout=5)
    assert not any(thread.is_alive() for thread in mine)


def test_leftovers_of_a_killed_download_are_swept(server: Server, tmp_path: Path) -> None:
    old, young = tmp_path / ".download-old", tmp_path / ".download-young"
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (0, 0))
    fetch("toy", source(server, "ok"), root=tmp_path)
    assert not old.exists()
    assert young.exists()  # another process may be at work in it


def test_a_place_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"cannot be written to .*Name another folder"):
        fetch("toy", source(server, "ok"), root=tmp_path / "file")


def test_grading_never_downloads(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(DataError, match="nothing is downloaded while a notebook is graded"):
        fetch("toy", source(server, "ok"), root=tmp_path)
    assert server.requests == []
    assert everything(tmp_path) == []


def test_load_downloads_on_request(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """`load(download=True)` fetches through the mirror, and what came has the catalogue's name."""
    monkeypatch.delenv("COURSEKIT_HOME", raising=False)
    raw = write_fake_mnist(tmp_path_factory.mktemp("fake")) / "MNIST" / "raw"
    real = CATALOGUE["mnist"]
    toys = tuple(
        RemoteFile(n, (raw / n).stat().st_size, hashlib.sha256((raw / n).read_bytes()).hexdigest())
        for n in real.files.names  # type: ignore[union-attr]
    )
    server.files.update({f"MNIST/raw/{f.name}": (raw / f.name).read_bytes() for f in toys})
    monkeypatch.setitem(CATALOGUE, "mnist", replace(real, files=Source("MNIST/raw", toys)))
    monkeypatch.setenv("COURSEKIT_MIRROR", server.url("ok"))
    data = load("mnist", root=tmp_path, download=True)
    assert data.name == "mnist"
    assert len(server.requests) == 4
    load("mnist", root=tmp_path, download=True)
    assert len(server.requests) == 4  # it is there now


def test_embedded_needs_no_download() -> None:
    with pytest.raises(DataError, match="mnist_5k needs no download"):
        fetch("mnist_5k")


def test_catalogue_agrees_with_torchvision() -> None:
    """The same file names; and the mirrors of torchvision are among the addresses."""
    from torchvision import datasets

    for name, kind in [("mnist", datasets.MNIST), ("fashion_mnist", datasets.FashionMNIST)]:
        files = CATALOGUE[name].files
        assert files is not None
        assert files.names == [n for n, _ in kind.resources]
        addresses = files.addresses(files.files[0])
        assert all(mirror + files.files[0].name in addresses for mirror in kind.mirrors)
        assert len(addresses) > len(kind.mirrors)
