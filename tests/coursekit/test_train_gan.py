"""fit_gan: what each step changes, what the history says, and how a run ends."""

import json
import math

import pytest
import torch
from small_gan import gan, pictures, train
from torch import nn
from torch.nn import functional as F
from trainings import numbers, same

from coursekit.data import load
from coursekit.models import get_model
from coursekit.train import GanHistory, TrainingError, fit
from coursekit.train.errors import DataError
from coursekit.train.gan_fitting import GRID, prepare
from coursekit.train.gan_loop import discriminator_step, fake_images, generator_step
from coursekit.train.gan_run import GanSettings
from coursekit.train.run import snapshot

# What a step changes


def run_of(model: nn.Module, **changes):
    options = {"epochs": 1, "lr": 1e-2, "batch_size": 16, "lr_discriminator": 1e-2, "loss": "non_saturating"}
    chosen = GanSettings(**(options | {"gradient_penalty": ["r1", 0.0], "seed": 0} | changes))
    return prepare(model, pictures(), chosen, [], torch.device("cpu"), "fp32")


def moved(before: dict[str, torch.Tensor], module: nn.Module) -> list[str]:
    return [name for name, p in module.named_parameters() if not torch.equal(p, before[name])]


@pytest.mark.parametrize("name", ["gan", "conditional_gan"])
@pytest.mark.parametrize("penalty", [["r1", 0.0], ["r1", 1.0], ["interpolated", 10.0]])
def test_the_discriminators_step_leaves_the_generator_alone(name: str, penalty: list) -> None:
    model = gan(name)
    run = run_of(model, gradient_penalty=penalty)
    real, y = pictures(16)
    classes = None if name == "gan" else y
    fake = fake_images(run, 16, classes)
    before, mine = snapshot(model.generator), snapshot(model.discriminator)
    discriminator_step(run, real, fake.detach(), classes)
    assert same_state(before, model.generator)
    assert all(p.grad is None for p in model.generator.parameters())
    assert set(moved(mine, model.discriminator)) == {n for n, _ in model.discriminator.named_parameters()}


def same_state(before: dict[str, torch.Tensor], module: nn.Module) -> bool:
    return all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize("name", ["gan", "conditional_gan"])
def test_the_generators_step_leaves_the_discriminator_alone(name: str) -> None:
    model = gan(name)
    run = run_of(model)
    classes = None if name == "gan" else pictures(16)[1]
    fake = fake_images(run, 16, classes)
    before, mine = snapshot(model.discriminator), snapshot(model.generator)
    generator_step(run, fake, classes)
    assert moved(before, model.discriminator) == []
    assert all(p.grad is None and p.requires_grad for p in model.discriminator.parameters())
    assert moved(mine, model.generator)


def test_a_step_goes_down_the_loss_that_is_named() -> None:
    for loss in ("minimax", "non_saturating", "hinge"):
        model = gan()
        run = run_of(model, loss=loss)
        fake = fake_images(run, 16, None)
        before = model.discriminator(fake).mean().item()
        generator_step(run, fake, None)
        torch.manual_seed(1)
        z = torch.randn(200, 6)
        with torch.no_grad():
            after = model.discriminator(model.generator(z)).mean().item()
        assert after > before  # whatever the loss, the generator climbs what the discriminator calls real
        first, real_logits, fake_logits = discriminator_step(run, pictures(16)[0], fake.detach(), None)
        expected = (
            F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
            if loss == "hinge"
            else F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
        )
        assert first.item() == pytest.approx(expected.item(), rel=1e-5)


# What a run leaves


@pytest.mark.parametrize("name", ["gan", "conditional_gan"])
def test_the_same_seed_gives_the_same_numbers_and_leaves_the_generators_alone(name: str) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two, three = gan(name), gan(name), gan(name)
    torch.random.set_rng_state(before)
    first = train(one.eval())
    assert torch.equal(torch.random.get_rng_state(), before) and not one.training
    second = train(two)
    assert numbers(first) == numbers(second) and same(one, two)
    assert all(torch.equal(a, b) for a, b in zip(first.samples, second.samples, strict=True))
    assert numbers(train(three, seed=1)) != numbers(first)


def test_rows_and_samples() -> None:
    model = gan("conditional_gan")
    kept = []
    history = train(
        model, epochs=3, callbacks=[lambda run: kept.append(run.samples(run.noise, run.classes).clone())]
    )
    assert history["epoch"] == [1, 2, 3] and history.columns == list(GanHistory.COLUMNS)
    for row in history:
        assert 0 < row["real_output"] < 1 and 0 < row["fake_output"] < 1
        assert 0 <= row["discriminator_accuracy"] <= 1 and row["variety"] > 0
    assert len(history.samples) == 3 and history.sample_epochs == [1, 2, 3]
    for grid, samples in zip(history.samples, kept, strict=True):
        assert grid.shape == (GRID, 1, 8, 8)
        assert (grid - samples).abs().max() <= 1.01 / 255  # half a level of at most 2 / 255
    assert not torch.equal(history.samples[0], history.samples[-1])
    # The rate stays for half of the 9 steps and falls to 0.
    assert history["lr"][0] == 1e-3 and history["lr"][-1] == 0


def test_the_model_ends_with_the_average_of_its_generator() -> None:
    model, live = gan(), []
    train(model, callbacks=[lambda run: live.append((snapshot(run.model.generator), snapshot(run.average)))])
    learning, average = live[-1]
    assert same_state(average, model.generator)
    assert not torch.equal(learning["project.weight"], average["project.weight"])


def test_balance_is_what_the_discriminator_says() -> None:
    """Of a discriminator that stands still, the columns can be computed by hand."""
    model = gan().eval()
    for p in model.discriminator.parameters():
        p.requires_grad_(False)
    model.discriminator.head.requires_grad_(True)
    history = train(model, epochs=1, lr=1e-12, lr_discriminator=1e-12, batch_size=48)
    X, _ = pictures()
    with torch.no_grad():
        logits = model.discriminator(X)
    assert history[0]["real_output"] == pytest.approx(logits.sigmoid().mean().item(), rel=1e-2)
    loss = F.softplus(-logits).mean().item()
    # An untrained one says 0 of fakes, or so.
    assert history[0]["discriminator_loss"] == pytest.approx(loss + math.log(2), abs=0.3)


def test_a_history_comes_back_from_plain_data_and_a_spoilt_one_is_told() -> None:
    history = train(gan(), epochs=25, source=pictures(16))
    history.warnings.append("collapse: planted")
    state = json.loads(json.dumps(history.to_dict()))
    back = GanHistory.from_dict(state)
    assert back == history and back.warnings == history.warnings
    assert len(history.samples) == 25 and len(back.samples) == 20
    assert back.sample_epochs[0] == 1 and back.sample_epochs[-1] == 25
    for epoch, grid in zip(back.sample_epochs, back.samples, strict=True):
        assert torch.equal(grid, history.samples[epoch - 1])
    for spoil in (
        {"shape": [40, 1, 8, 9]},
        {"shape": [10**6, 10**6]},
        {"shape": [0, 1]},
        {"levels": "!"},
        {"levels": "AAAA"},
        {"low": None},
    ):
        grids = [state["samples"][0] | spoil]
        with pytest.raises(ValueError):
            GanHistory.from_dict(state | {"samples": grids})
    with pytest.raises(ValueError, match="no history"):
        GanHistory.from_dict({k: v for k, v in state.items() if k != "warnings"})


def test_it_learns_the_bars() -> None:
    model = gan("conditional_gan")
    train(model, pictures(480), epochs=12, lr=1e-2, batch_size=32)
    X = model.sample(30, seed=0)
    rows = X.mean(dim=(1, 3))  # brightness of each row
    found = (rows[:, [1, 3, 5]].argmax(1) == torch.arange(30) % 3).float().mean()
    assert found > 0.8


# How a run ends


def test_ctrl_c_keeps_the_model_and_its_whole_epochs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, seen = gan(), []

    class Interrupt:
        def on_step_end(self, run) -> None:
            if run.epoch == 2 and run.step == 2:
                seen.append((snapshot(run.average), snapshot(run.model.discriminator)))
                raise KeyboardInterrupt

    history = train(model, epochs=5, callbacks=[Interrupt()], save="gan")
    assert history.stopped == "interrupted" and len(history) == len(history.samples) == 1
    assert same_state(seen[0][0], model.generator) and same_state(seen[0][1], model.discriminator)
    assert list(tmp_path.iterdir()) == []


def test_a_budget_ends_training_with_the_step_that_crosses_it() -> None:
    history = train(gan(), epochs=100_000, budget=0.2)
    assert history.stopped == "budget" and 0 < len(history) < 100_000


def test_what_is_no_longer_finite_is_said_and_the_model_falls_back() -> None:
    model, kept = gan(), []

    def spoil(run) -> None:
        kept.append(run.good)
        if run.epoch == 2:
            with torch.no_grad():
                run.model.discriminator.head.weight.fill_(float("nan"))

    with pytest.raises(TrainingError, match=r"epoch 3, step 1; .*fit_gan\(\.\.\., lr=0.0001\)") as caught:
        train(model, epochs=5, callbacks=[spoil])
    assert len(caught.value.history) == 2
    assert same_state(kept[1], model)
    X, y = pictures()
    with pytest.raises(TrainingError, match="inputs of this batch hold nan"):
        train(gan(), (torch.cat([X[:2], X[2:] * float("nan")]), y))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setenv("COURSEKIT_FLAGS", str(tmp_path / "flags.jsonl"))
    return tmp_path


def flags(folder) -> list[str]:
    file = folder / "flags.jsonl"
    return [json.loads(line)["flag"] for line in file.read_text().splitlines()] if file.exists() else []


def test_under_grading_saved_weights_stand_for_the_training(folder, monkeypatch) -> None:
    trained = gan()
    first = train(trained, save="gan")
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    graded = gan(seed=7)

    def fail(run) -> None:
        raise AssertionError("trained again")

    loaded = train(graded, save="gan", callbacks=[fail])
    assert same(graded, trained) and loaded.loaded_from == "gan.safetensors" and loaded.rows == first.rows
    assert all(torch.equal(a, b) for a, b in zip(loaded.samples, first.samples, strict=True))
    assert isinstance(loaded, GanHistory) and flags(folder) == []


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"loss": "hinge"}, "loss was 'non_saturating', is 'hinge'"),
        ({"gradient_penalty": 1.0}, "gradient_penalty was"),
        ({"source": pictures(seed=3)}, "other training data"),
    ],
)
def test_weights_of_something_else_are_flagged(folder, monkeypatch, change, detail) -> None:
    train(gan(), save="gan")
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    history = train(gan(), save="gan", **change)
    assert history.loaded_from == "" and len(history) == 2
    assert flags(folder) == ["weights-mismatch"] and detail in history.flags[0]["detail"]


def test_missing_weights_are_flagged_and_trained_in_a_budget(folder, monkeypatch) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    history = train(gan(), save="gan", epochs=100_000, budget=0.2)
    assert history.stopped == "budget" and flags(folder) == ["weights-missing"]
    assert not (folder / "gan.safetensors").exists()


# What is said before training


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"source": load("mnist_5k")}, DataError, r"pixels go from .*data.scaled\(-1, 1\)"),
        ({"source": (torch.zeros(8, 3, 8, 8), torch.zeros(8).long())}, DataError, "in_channels=3"),
        ({"source": (torch.zeros(0, 1, 8, 8), torch.zeros(0).long())}, DataError, "no data"),
        ({"loss": "wasserstein"}, ValueError, "unknown loss 'wasserstein'; there are minimax, non_saturating, hinge"),
        ({"gradient_penalty": ("r2", 1.0)}, ValueError, "unknown gradient penalty 'r2'; there are r1, interpolated"),
        ({"gradient_penalty": -1.0}, ValueError, "0 or more, not -1.0"),
        ({"lr": 0}, ValueError, "lr must be above 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be above 0"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_first(change, error, message) -> None:
    with pytest.raises(error, match=message):
        train(gan(), **change)


def test_a_model_that_is_no_gan_is_told_what_one_is() -> None:
    with pytest.raises(TypeError, match="MLP has no generator, discriminator, latent_size"):
        train(get_model("mlp"))
    model = gan()
    model.discriminator = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    with pytest.raises(DataError, match=r"gave \(2, 1\), expected one logit each, \(2,\): squeeze\(1\)"):
        train(model)


@pytest.mark.parametrize("name", ["gan", "conditional_gan"])
def test_fit_sends_a_gan_to_fit_gan(name) -> None:
    for source in (pictures(), pictures()[0]):
        with pytest.raises(DataError, match=r"no logits .*train both with fit_gan"):
            fit(gan(name), source, progress=False)


def test_a_conditional_gan_needs_classes_that_fit() -> None:
    X, _ = pictures()
    with pytest.raises(DataError, match=r"labels go from 0 to 3.*3 outputs"):
        train(gan("conditional_gan"), (X, torch.cat([torch.zeros(47).long(), torch.tensor([3])])))
    with pytest.raises(DataError, match=r"needs the class of each image: give pairs"):
        train(gan("conditional_gan"), torch.utils.data.DataLoader(X, 16))
    assert len(train(gan(), torch.utils.data.DataLoader(X, 16))) == 2  # images alone do for one without


def test_it_trains_players_of_ones_own_on_points() -> None:
    """Any two modules do: here a line of points in two dimensions."""

    class Points(nn.Module):
        latent_size = 2

        def __init__(self) -> None:
            super().__init__()
            self.generator = nn.Linear(2, 2)
            self.discriminator = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))

    torch.manual_seed(0)
    X = torch.randn(64, 2) * torch.tensor([5.0, 0.1]) + 20
    history = train(Points(), (X, torch.zeros(64).long()))
    assert history.samples[-1].shape == (GRID, 2)


def test_several_processes_are_refused(monkeypatch):
    for name, value in {
        "WORLD_SIZE": "2",
        "RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="one process"):
        train(gan())
