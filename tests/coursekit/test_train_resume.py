"""Checkpoints: a resumed run equals the uninterrupted one, bit for bit."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from trainings import data, net, noise, numbers, same, train

from coursekit.train import Average, TrainingError, rng


def crash_in(epoch):
    def crash(run):
        if run.epoch == epoch:
            raise KeyboardInterrupt

    return crash


def sources(kind):
    X, y = data()
    if kind == "tensors":
        return (X, y), data(48, 1)
    own = torch.Generator().manual_seed(3) if kind == "loader with generator" else None
    return DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True, generator=own), data(48, 1)


@pytest.mark.parametrize("kind", ["tensors", "loader", "loader with generator"])
@pytest.mark.parametrize(
    ("optimizer", "schedule"), [("adamw", "one_cycle"), ("sgd", "linear"), ("rmsprop", "cosine")]
)
def test_resumed_equals_uninterrupted(tmp_path, kind, optimizer, schedule):
    options = {"epochs": 4, "optimizer": optimizer, "schedule": schedule, "augment": noise, "patience": 4}
    whole, parts = net(dropout=0.3), net(dropout=0.3)
    expected = train(whole, sources(kind), **options)
    file = tmp_path / "run.pt"
    crashed = train(parts, sources(kind), checkpoint=file, callbacks=[crash_in(3)], **options)
    assert crashed.stopped == "interrupted" and len(crashed) == 3
    torch.rand(7)  # another session: other random states, other weights
    resumed_model = net(seed=9, dropout=0.3)
    resumed = train(resumed_model, sources(kind), checkpoint=file, resume=True, **options)
    assert numbers(resumed) == numbers(expected)
    assert same(resumed_model, whole)


def test_convolutions_in_channels_last_resume_exactly_too(tmp_path):
    def conv():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 3)
        )

    source = (torch.randn(64, 3, 8, 8), torch.arange(64) % 3)
    whole, resumed, file = conv(), conv(), tmp_path / "run.pt"
    train(whole, source, epochs=3)
    train(conv(), source, epochs=3, checkpoint=file, callbacks=[crash_in(2)])
    train(resumed, source, epochs=3, checkpoint=file, resume=True)
    assert same(whole, resumed)


def test_a_finished_run_is_not_trained_again(tmp_path):
    file, model = tmp_path / "run.pt", net()
    first = train(model, checkpoint=file)
    again = train(other := net(seed=4), checkpoint=file, resume=True)
    assert again == first and same(model, other)


def test_a_stop_in_mid_epoch_leaves_the_last_whole_epoch(tmp_path):
    class StopAt:
        def on_step_end(self, run):
            if run.epoch == 2 and run.step == 3:
                run.stop("budget")

    whole, parts, file = net(), net(), tmp_path / "run.pt"
    expected = train(whole, epochs=3)
    assert len(train(parts, epochs=3, checkpoint=file, callbacks=[StopAt()])) == 2
    resumed = train(parts, epochs=3, checkpoint=file, resume=True)
    assert numbers(resumed) == numbers(expected) and same(parts, whole)


def test_without_a_file_it_starts_at_the_beginning(tmp_path):
    assert len(train(net(), checkpoint=tmp_path / "new" / "run.pt", resume=True)) == 2
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["run.pt"]  # and no temporary file stays


@pytest.mark.parametrize(
    ("change", "message"), [({"lr": 0.5}, "lr was 0.006, is 0.5"), ({"epochs": 9}, "epochs was 2, is 9")]
)
def test_other_settings_are_refused(tmp_path, change, message):
    train(net(), checkpoint=tmp_path / "run.pt")
    with pytest.raises(TrainingError, match=message):
        train(net(), checkpoint=tmp_path / "run.pt", resume=True, **change)


def test_another_model_and_a_damaged_file_are_refused(tmp_path):
    file = tmp_path / "run.pt"
    train(net(), checkpoint=file)
    with pytest.raises(TrainingError, match="another model"):
        train(nn.Linear(4, 3), checkpoint=file, resume=True)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(TrainingError, match="cannot read the checkpoint"):
        train(net(), checkpoint=file, resume=True)


def test_random_states_come_back():
    with rng.seeded(3):
        state = rng.get_state()
        drawn = noise(torch.zeros(2))
        rng.set_state(state)
        assert torch.equal(noise(torch.zeros(2)), drawn)


def test_the_average_of_the_weights_is_the_ends_and_resumes_exactly(tmp_path):
    seen = []

    class Watch:
        def on_step_end(self, run):
            seen.append([p.detach().clone() for p in run.model.parameters()])

    whole, parts, file = net(), net(), tmp_path / "run.pt"
    train(whole, data(), epochs=3, callbacks=[Watch(), Average(0.8)])
    expected = seen[0]
    for weights in seen[1:]:
        expected = [0.8 * mean + 0.2 * new for mean, new in zip(expected, weights, strict=True)]
    for mean, own in zip(expected, whole.parameters(), strict=True):
        torch.testing.assert_close(own.detach(), mean)

    train(parts, data(), epochs=3, checkpoint=file, callbacks=[Average(0.8), crash_in(2)])
    resumed = net(seed=9)
    train(resumed, data(), epochs=3, checkpoint=file, resume=True, callbacks=[Average(0.8)])
    assert same(resumed, whole)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Average(1.0)
