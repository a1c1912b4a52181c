"""Downloads against a real local server that behaves well and badly; nothing half-written ever stays."""

import contextlib
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from http_server import Server, serving, write_fake_mnist

from coursekit.data import DataError, RemoteFile, Source, fetch, load
from coursekit.data.catalogue import CATALOGUE
from coursekit.data.child import PROGRAM

CONTENTS = {
    f"{name}.gz": random.Random(name).randbytes(size) for name, size in [("a", 150_000), ("b", 5_000)]
}
BAD = {
    "forbidden": "403",
    "page": "sent a web page",
    "truncated": "sent only [0-9,]+ of [0-9,]+ bytes",
    "wrong": "wrong hash",
    "endless": "sent more than the [0-9,]+ bytes",
    "hang": "stalled: 0 bytes",
    "trickle": "stalled",
    "slow_header": "stalled: 0 bytes|header",  # aiohttp takes no header of that length
}
HANGS = ("hang", "trickle", "slow_header")
LOADERS = ("datasets", "torchvision")


def remote(contents: dict[str, bytes]) -> tuple[RemoteFile, ...]:
    return tuple(RemoteFile(n, len(c), hashlib.sha256(c).hexdigest()) for n, c in contents.items())


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files that torchvision's MNIST reads."""
    raw = write_fake_mnist(tmp_path_factory.mktemp("fake")) / "MNIST" / "raw"
    names = [
        f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
    ]
    return {name: (raw / name).read_bytes() for name in names}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, digits: dict[str, bytes]) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("COURSEKIT_MIRROR", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    flat = CONTENTS | digits
    folders = {f"toy/raw/{n}": c for n, c in CONTENTS.items()} | {
        f"MNIST/raw/{n}": c for n, c in digits.items()
    }
    with serving(flat | folders) as server:
        yield server


def source(server: Server, *modes: str) -> Source:
    """Two small files that the library `datasets` fetches."""
    return Source("toy/raw", remote(CONTENTS), mirrors=tuple(f"{server.url(mode)}/" for mode in modes))


@pytest.fixture
def mnist(digits: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Source:
    """Four small files that torchvision's MNIST fetches, without its mirrors on the web."""
    monkeypatch.setattr(Source, "_torchvision_mirrors", lambda _: [])
    return Source("MNIST/raw", remote(digits), torchvision="MNIST")


@pytest.fixture(params=LOADERS)
def toy(request: pytest.FixtureRequest, server: Server, mnist: Source) -> Source:
    return mnist if request.param == "torchvision" else source(server)


def at(toy: Source, server: Server, *modes: str) -> Source:
    return replace(toy, mirrors=tuple(f"{server.url(mode)}/" for mode in modes))


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder).as_posix()) for path in folder.rglob("*"))


def complete(folder: Path, toy: Source) -> bool:
    return all(hashlib.sha256((folder / f.name).read_bytes()).hexdigest() == f.sha256 for f in toy.files)


def asked(server: Server) -> list[str]:
    """The paths asked for, each once: both loaders ask twice, first for the header alone."""
    return list(dict.fromkeys(server.requests))


def test_good_server(
    toy: Source,
    server: Server,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    folder = fetch("toy", at(toy, server, "ok"), root=tmp_path)
    assert folder == tmp_path / toy.folder
    assert sorted(path.name for path in folder.iterdir()) == sorted(toy.names)
    assert everything(tmp_path)[:2] == [toy.folder.split("/")[0], toy.folder]  # no cache, nothing temporary
    assert complete(folder, toy)
    assert capfd.readouterr() == ("", "")  # no bar where nobody looks, and never a word on stderr


def test_the_loaders_are_those_of_the_libraries(server: Server, mnist: Source, tmp_path: Path) -> None:
    """The server sees torchvision's name and that of aiohttp, which `datasets` uses."""
    fetch("toy", source(server, "ok"), root=tmp_path)
    seen = set(server.agents)
    server.agents.clear()
    fetch("mnist", at(mnist, server, "ok"), root=tmp_path)
    assert all("aiohttp" in agent for agent in seen)
    assert set(server.agents) == {"pytorch/vision"}


def test_bar_for_someone_who_looks(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    fetch("toy", source(server, "truncated", "ok"), root=tmp_path)
    out, err = capfd.readouterr()
    last = out.replace("\r", "\n").splitlines()[-1]
    assert "toy: 100%" in last  # what the first address sent is taken back
    assert "155k/155k" in last
    assert err == ""


def test_what_is_there_is_not_fetched_again(toy: Source, server: Server, tmp_path: Path) -> None:
    good = at(toy, server, "ok")
    folder = fetch("toy", good, root=tmp_path)
    (folder / toy.names[1]).write_bytes(b"damaged")
    server.requests.clear()
    fetch("toy", good, root=tmp_path)
    assert asked(server) == [f"/ok/{toy.names[1]}"]
    assert complete(folder, toy)


@pytest.mark.parametrize("mode", BAD)
def test_bad_server(toy: Source, server: Server, tmp_path: Path, mode: str) -> None:
    with pytest.raises(DataError, match=BAD[mode]) as caught:
        fetch("toy", at(toy, server, mode), root=tmp_path, timeout=0.5 if mode in HANGS else 30)
    message = str(caught.value)
    assert f"{server.url(mode)}/{toy.names[0]}" in message  # every address tried
    assert f"{toy.names[0]} could not be downloaded" in message
    assert all(way in message for way in ("COURSEKIT_HOME", "root=FOLDER", "COURSEKIT_MIRROR", toy.folder))
    assert everything(tmp_path) == []


@pytest.mark.parametrize("mode", ["page", "truncated", "trickle"])
def test_the_next_mirror_helps(toy: Source, server: Server, tmp_path: Path, mode: str) -> None:
    folder = fetch("toy", at(toy, server, mode, "ok"), root=tmp_path, timeout=2)
    assert complete(folder, toy)


def test_every_address_and_its_answer_is_told(toy: Source, server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        fetch("toy", at(toy, server, "forbidden", "page", "wrong"), root=tmp_path)
    lines = str(caught.value).splitlines()
    told = {line.strip(): lines[i + 1] for i, line in enumerate(lines) if line.strip().startswith("http")}
    assert [url.split("/")[3] for url in told] == ["forbidden", "page", "wrong"]
    first = toy.names[0]
    assert "says: " in told[f"{server.url('forbidden')}/{first}"]
    assert "403" in told[f"{server.url('forbidden')}/{first}"]
    assert "web page" in told[f"{server.url('page')}/{first}"]


def test_a_later_file_that_fails_leaves_nothing(toy: Source, server: Server, tmp_path: Path) -> None:
    broken = replace(toy.files[-1], sha256="0" * 64)
    with pytest.raises(DataError, match=rf"{broken.name} could not be downloaded"):
        fetch("toy", replace(at(toy, server, "ok"), files=(*toy.files[:-1], broken)), root=tmp_path)
    assert everything(tmp_path) == []


def test_files_may_come_from_different_mirrors(toy: Source, server: Server, tmp_path: Path) -> None:
    """What came whole from one mirror is not asked of the next."""
    server.forbid.add(f"/ok/{toy.names[-1]}")
    folder = fetch("toy", at(toy, server, "ok", "well"), root=tmp_path)
    assert complete(folder, toy)
    assert [path for path in asked(server) if path.startswith("/well/")] == [f"/well/{toy.names[-1]}"]


def test_a_failure_leaves_older_files_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "toy/raw").mkdir(parents=True)
    (tmp_path / "toy/raw/a.gz").write_bytes(b"older")
    with pytest.raises(DataError):
        fetch("toy", source(server, "truncated"), root=tmp_path)
    assert everything(tmp_path) == ["toy", "toy/raw", "toy/raw/a.gz"]
    assert (tmp_path / "toy/raw/a.gz").read_bytes() == b"older"


def test_connection_refused(toy: Source, tmp_path: Path) -> None:
    with serving({}) as server:
        gone = at(toy, server, "ok")
    with pytest.raises(DataError, match=r"says: .*(refused|Connect call failed)"):
        fetch("toy", gone, root=tmp_path, timeout=2)
    assert everything(tmp_path) == []


def test_unknown_host_and_other_kinds_of_address(tmp_path: Path) -> None:
    bad = Source("toy/raw", remote(CONTENTS), mirrors=("http://no-such-host.invalid/", "file:///"))
    with pytest.raises(
        DataError,
        match=r"(?s)no-such-host.invalid/a.gz.*file:///a.gz\n +file:///a.gz is not an http or https",
    ):
        fetch("toy", bad, root=tmp_path, timeout=5)


def test_own_mirror_comes_first(
    toy: Source, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSEKIT_MIRROR", f"{server.url('forbidden')}, {server.url('ok')}/")
    fetch("toy", at(toy, server, "page"), root=tmp_path)
    first = f"/forbidden/{toy.folder}/{toy.names[0]}"
    assert asked(server) == [first, *(f"/ok/{toy.folder}/{name}" for name in toy.names)]


def test_a_path_of_its_own_at_the_mirrors(server: Server, tmp_path: Path) -> None:
    file = replace(remote(CONTENTS)[0], name="train.gz", path="a.gz")
    folder = fetch("toy", Source("toy", (file,), (f"{server.url('ok')}/",)), root=tmp_path)
    assert (folder / "train.gz").read_bytes() == CONTENTS["a.gz"]


def test_ctrl_c_leaves_nothing(toy: Source, server: Server, tmp_path: Path) -> None:
    # The worker processes of a parallel test run ignore Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fetch("toy", at(toy, server, "interrupt"), root=tmp_path, timeout=30)
    finally:
        signal.signal(signal.SIGINT, before)
    assert everything(tmp_path) == []
    assert not loaders_of(os.getpid())


def loaders_of(pid: int) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
            found += [child] if PROGRAM.name in " ".join(child.cmdline()) else []
    return found


def test_the_loader_ends_with_its_parent(server: Server, tmp_path: Path) -> None:
    """A kernel that is killed in the middle leaves no process behind."""
    code = (
        "import sys, json; from coursekit.data import fetch, Source, RemoteFile;"
        f"fetch('toy', Source('toy', (RemoteFile('a.gz', 150000, ''),), ('{server.url('hang')}/',)), root={str(tmp_path)!r})"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        deadline = time.monotonic() + 60
        while not (loaders := loaders_of(parent.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        parent.kill()
    _, alive = psutil.wait_procs(loaders, timeout=30)
    assert not alive


def test_a_file_named_like_the_library_is_not_taken_for_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "datasets.py").write_text("raise SystemExit('mine')")
    monkeypatch.chdir(work)
    folder = fetch("toy", source(server, "ok"), root=tmp_path / "root")
    assert complete(folder, source(server))


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
    server: Server, mnist: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`load(download=True)` fetches through the mirror, and what came has the catalogue's name."""
    monkeypatch.delenv("COURSEKIT_HOME", raising=False)
    monkeypatch.setitem(CATALOGUE, "mnist", replace(CATALOGUE["mnist"], files=mnist))
    monkeypatch.setenv("COURSEKIT_MIRROR", server.url("ok"))
    data = load("mnist", root=tmp_path, download=True)
    assert data.name == "mnist"
    assert len(asked(server)) == 4
    server.requests.clear()
    load("mnist", root=tmp_path, download=True)
    assert server.requests == []  # it is there now


def test_embedded_needs_no_download() -> None:
    with pytest.raises(DataError, match="mnist_5k needs no download"):
        fetch("mnist_5k")


def test_catalogue_agrees_with_torchvision() -> None:
    """The same file names; and the mirrors of torchvision are the first addresses."""
    from torchvision import datasets

    for name, kind in [("mnist", datasets.MNIST), ("fashion_mnist", datasets.FashionMNIST)]:
        files = CATALOGUE[name].files
        assert files is not None
        assert files.folder == f"{kind.__name__}/raw"
        assert files.names == [n for n, _ in kind.resources]
        first = [urls[files.names[0]] for urls in files.addresses()]
        assert first[: len(kind.mirrors)] == [mirror + files.names[0] for mirror in kind.mirrors]
        assert len(first) > len(kind.mirrors)
