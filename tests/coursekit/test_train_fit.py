"""fit, evaluate, predict: what they compute, and that the same seed gives the same numbers."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from trainings import data, net, noise, numbers, same, train

from coursekit.data import Split
from coursekit.train import Outcome, count_parameters, evaluate, predict
from coursekit.train.augment import AUGMENTS
from coursekit.train.optim import OPTIMIZERS, SCHEDULES


def test_it_learns_and_says_so():
    model = net()
    before = evaluate(model, data(48, 1))
    history = train(model, epochs=6, lr=0.05)
    after = evaluate(model, data(48, 1))
    assert after.accuracy > 0.9 > before.accuracy
    assert history[-1]["val_loss"] == pytest.approx(after.loss, rel=1e-5)
    assert history["epoch"] == [1, 2, 3, 4, 5, 6]
    assert "accuracy" in repr(after) and after["loss"] == after.loss


def test_scores_are_means_over_examples_not_batches():
    model, (X, y) = net(), data(50)
    scores = evaluate(model, (X, y), batch_size=16)  # batches of 16, 16, 16 and 2
    logits = model(X)
    assert scores.loss == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-5)
    assert scores.accuracy == (logits.argmax(1) == y).double().mean().item()
    torch.testing.assert_close(predict(model, X, batch_size=16), logits.detach())


def test_fit_takes_the_steps_that_one_would_take_by_hand():
    X, y = data()
    ours, hand = net(), net()
    train(ours, (X, y), lr=0.01, weight_decay=0.1)
    groups = [
        {"params": [hand[0].weight, hand[3].weight], "weight_decay": 0.1},
        {"params": [hand[0].bias, hand[3].bias], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=12)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        for chosen in torch.randperm(len(y), generator=generator).split(16):
            optimizer.zero_grad()
            F.cross_entropy(hand(X[chosen]), y[chosen]).backward()
            nn.utils.clip_grad_norm_(hand.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    for p, q in zip(ours.parameters(), hand.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_same_seed_same_numbers_another_seed_others():
    a, b, c = net(dropout=0.5), net(dropout=0.5), net(dropout=0.5)
    first, again, other = train(a, augment=noise), train(b, augment=noise), train(c, augment=noise, seed=1)
    assert same(a, b) and numbers(first) == numbers(again)
    assert not same(a, c) and numbers(first) != numbers(other)


def test_the_random_numbers_of_the_user_are_untouched():
    def draw():
        return torch.rand(1).item(), random.random(), np.random.rand()

    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    expected = draw()
    torch.manual_seed(5), random.seed(5), np.random.seed(5)
    model = nn.Linear(4, 3)
    torch.manual_seed(5)
    train(model, augment=noise)
    assert draw() == expected


def test_every_form_of_data_gives_the_same_training():
    X, y = data()
    forms = {
        "pair": (X, y),
        "split": Split(X, y),
        "tensor data set": TensorDataset(X, y),
        "data set": Pairs(X, y),
        "loader": DataLoader(TensorDataset(X, y), batch_size=16),
        "batched": DataLoader(Pairs(X, y), batch_size=16),
    }
    results = {}
    for name, source in forms.items():
        model = net()
        # A loader keeps its own order, so the others must not shuffle either: one epoch of one batch each.
        history = train(
            model, source, epochs=1, batch_size=96 if "loader" not in name and name != "batched" else 16
        )
        results[name] = (model, history)
    for name in ("split", "tensor data set", "data set"):
        assert all(
            torch.allclose(p, q, atol=1e-6)
            for p, q in zip(results[name][0].parameters(), results["pair"][0].parameters(), strict=True)
        ), name
    assert same(results["loader"][0], results["batched"][0])


def test_a_loader_equals_tensors_in_the_same_order():
    X, y = data()
    order = torch.cat([torch.randperm(96, generator=torch.Generator().manual_seed(0))])
    from_tensors, from_loader = net(), net()
    train(from_tensors, (X, y), epochs=1)
    train(from_loader, DataLoader(TensorDataset(X[order], y[order]), batch_size=16), epochs=1)
    assert same(from_tensors, from_loader)


def test_a_stream_without_length_needs_a_constant_schedule():
    loader = DataLoader(Stream(*data()), batch_size=16)
    with pytest.raises(ValueError, match='schedule="constant"'):
        train(net(), loader)
    history = train(net(), loader, schedule="constant")
    assert history[-1]["train_loss"] < history[0]["train_loss"]


class Pairs(Dataset):
    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, i):
        return self.X[i], self.y[i]


class Stream(IterableDataset):
    def __init__(self, X, y):
        self.pairs = list(zip(X, y, strict=True))

    def __iter__(self):
        return iter(self.pairs)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_optimizer_with_every_schedule(optimizer, schedule):
    rates = []
    history = train(
        net(),
        optimizer=optimizer,
        schedule=schedule,
        epochs=3,
        callbacks=[
            type(
                "Rates", (), {"on_step_end": lambda _, run: rates.append(run.optimizer.param_groups[0]["lr"])}
            )()
        ],
    )
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert len(rates) == 18 and max(rates) <= OPTIMIZERS[optimizer][1] * (1 + 1e-9)
    if schedule != "constant":
        assert rates[-1] < 0.1 * max(rates)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"optimizer": "adamax"}, "adamw, adam, sgd, rmsprop"),
        ({"schedule": "step"}, "one_cycle, cosine, linear, constant"),
        ({"augment": "blur"}, "shift, affine, flip"),
        ({"precision": "fp8"}, "auto, bf16, fp32"),
        ({"epochs": 0}, "epochs must be above 0"),
        ({"batch_size": -1}, "batch_size must be above 0"),
        ({"lr": 0.0}, "lr must be above 0"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"budget": -1}, "more than 0 seconds"),
    ],
)
def test_a_wrong_argument_is_told_what_there_is(wrong, message):
    with pytest.raises(ValueError, match=message):
        train(net(), **wrong)


def test_the_mode_and_the_layout_of_the_model_are_as_before():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 3))
    model[1].eval()  # a frozen batch norm, say
    X, y = torch.randn(32, 3, 8, 8), torch.randint(0, 3, (32,))
    train(model, (X, y))
    assert [m.training for m in model] == [True, False, True, True]
    evaluate(model, (X, y)), predict(model, X)
    assert [m.training for m in model] == [True, False, True, True]
    model[0].weight.view(4, -1)  # needs the usual layout


def test_a_model_that_uses_view_can_be_trained():
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 3)

        def forward(self, X):
            return self.out(self.conv(X).view(len(X), -1))

    history = train(Views(), (torch.randn(32, 3, 8, 8), torch.randint(0, 3, (32,))))
    assert len(history) == 2


def test_a_last_batch_of_one_does_not_break_batch_norm():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    assert len(train(model, data(33))) == 2


def test_a_step_of_ones_own_reads_other_batches():
    X, y = data()

    class Dicts(Dataset):
        def __len__(self):
            return len(y)

        def __getitem__(self, i):
            return {"inputs": X[i], "labels": y[i]}

    def step(model, batch):
        logits = model(batch["inputs"])
        return Outcome(F.cross_entropy(logits, batch["labels"]), None, len(logits))

    history = train(net(), DataLoader(Dicts(), batch_size=16), step=step, epochs=3)
    assert history[-1]["train_loss"] < history[0]["train_loss"] and "train_accuracy" not in history[-1]


def test_regression_has_a_loss_and_no_accuracy():
    X = torch.randn(64, 4)
    model = nn.Linear(4, 1)
    history = train(model, (X, X.sum(1, keepdim=True)), loss=F.mse_loss, epochs=3)
    assert "train_accuracy" not in history.columns and history[-1]["train_loss"] < history[0]["train_loss"]
    assert set(evaluate(model, (X, X.sum(1, keepdim=True)), loss=F.mse_loss)) == {"loss"}


def test_early_stopping_ends_with_the_best_weights():
    X, y = data(48, 1)
    wrong = (y + 1) % 3  # validation gets worse as training gets better
    model = net()
    history = train(model, (data(), (X, wrong)), epochs=20, patience=2, lr=0.05, schedule="constant")
    assert history.stopped == "patience" and len(history) == history.best["epoch"] + 2
    assert evaluate(model, (X, wrong)).loss == pytest.approx(history.best["val_loss"], rel=1e-5)


def test_early_stopping_needs_validation():
    with pytest.raises(ValueError, match="validation"):
        train(net(), data(), patience=1)


def test_the_budget_ends_training():
    history = train(net(), epochs=100_000, budget=0.2)
    assert history.stopped == "budget" and 0 < len(history) < 100_000


def test_callbacks_are_functions_or_objects():
    seen = []

    class Both:
        def on_fit_start(self, run):
            seen.append("start")

        def on_fit_end(self, run):
            seen.append("end")

    def stop(run):
        seen.append(run.epoch)
        if run.epoch == 2:
            run.stop("enough")

    assert train(net(), epochs=9, callbacks=[Both(), stop]).stopped == "enough"
    assert seen == ["start", 1, 2, "end"]
    with pytest.raises(TypeError, match="on_epoch_end"):
        train(net(), callbacks=[Both])


def test_bf16_trains_and_keeps_float32_weights():
    model = net()
    history = train(model, precision="bf16", epochs=3)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_parameters_are_counted_once_and_only_where_trained():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3))
    model[1].weight = model[0].weight
    model[1].bias.requires_grad_(False)
    assert count_parameters(model) == 4 * 3 + 3


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(AUGMENTS)), st.integers(1, 5), st.sampled_from([1, 3]), st.integers(0, 1000))
def test_augmentation_keeps_shape_range_and_constant_images(name, n, channels, seed):
    torch.manual_seed(seed)
    X = torch.rand(n, channels, 12, 10)
    changed = AUGMENTS[name](X)
    assert changed.shape == X.shape and changed.dtype == X.dtype
    assert changed.min() >= X.min() - 1e-5 and changed.max() <= X.max() + 1e-5
    constant = torch.full((n, channels, 12, 10), 0.7)
    torch.testing.assert_close(AUGMENTS[name](constant), constant)


def test_shift_moves_each_image_by_itself():
    torch.manual_seed(0)
    X = torch.zeros(64, 1, 9, 9)
    X[:, 0, 4, 4] = 1
    places = {tuple(map(int, torch.nonzero(image[0])[0])) for image in AUGMENTS["shift"](X)}
    assert places <= {(i, j) for i in range(2, 7) for j in range(2, 7)} and len(places) > 10
