"""Fine-tuning: frozen, thawing and slower layers, accumulated gradients, adapters, spans, files of predictions."""

import copy
import sys
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from trainings import Classifier, data, net, numbers, same, sentences, train, tune

from coursekit.models import get_model
from coursekit.models.pretrained import load_encoder
from coursekit.train import (
    PerToken,
    TrainingError,
    add_lora,
    predict,
)
from coursekit.train.optim import SCHEDULES, default_lr, make_schedule


def changed(model: nn.Module, before: nn.Module) -> list[bool]:
    """For each depth of the encoder, and last for the head, whether anything in it is another than before."""
    groups = zip(
        [*model.encoder.depths(), list(model.out.parameters())],
        [*before.encoder.depths(), list(before.out.parameters())],
        strict=True,
    )
    return [any(not torch.equal(p, q) for p, q in zip(*pair, strict=True)) for pair in groups]


@pytest.mark.parametrize(
    ("freeze", "learn"),
    [
        (None, [True, True, True, True, True]),
        ("embeddings", [False, True, True, True, True]),
        (2, [False, False, False, True, True]),
        ("encoder", [False, False, False, False, True]),
    ],
)
def test_what_is_frozen_stays_and_the_rest_learns(freeze, learn):
    model, before = Classifier(), Classifier()
    model.encoder.layers[2].up.bias.requires_grad_(False)  # the user's own choice
    tune(model, freeze=freeze)
    assert changed(model, before) == learn
    assert torch.equal(model.encoder.layers[2].up.bias, before.encoder.layers[2].up.bias)
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == [
        "encoder.layers.2.up.bias"
    ]


def test_the_gradients_come_back_after_a_failure_too():
    model = Classifier()
    with pytest.raises(TrainingError):
        tune(model, freeze="encoder", lr=float("inf"))
    with pytest.raises(ValueError, match="thaw needs layers"):
        tune(model, freeze="encoder", thaw=1)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("thaw", [1, 2])
def test_layers_thaw_from_the_top_one_epoch_after_the_other(thaw):
    model = Classifier()
    stages, before = [], copy.deepcopy(model)

    def look(run):
        stages.append(changed(run.model, before))

    history = tune(model, freeze="embeddings", thaw=thaw, epochs=4, callbacks=[look])
    opened = [min(3, epoch * thaw) for epoch in range(4)]
    assert stages == [[False, *[False] * (3 - n), *[True] * n, True] for n in opened]
    assert len(history) == 4 and all(p.requires_grad for p in model.parameters())


def test_a_resumed_run_thaws_on(tmp_path):
    def crash(run):
        if run.epoch == 2:
            raise KeyboardInterrupt

    options = {"thaw": 1, "epochs": 4, "layer_decay": 0.5, "accumulate": 2}
    whole, resumed, file = Classifier(dropout=0.1), Classifier(seed=3), tmp_path / "run.pt"
    expected = tune(whole, **options)
    tune(Classifier(dropout=0.1), checkpoint=file, callbacks=[crash], **options)
    resumed.encoder = Classifier(dropout=0.1).encoder
    assert numbers(tune(resumed, checkpoint=file, resume=True, **options)) == numbers(expected)
    assert same(resumed, whole)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_layer_decay_is_a_power_of_the_layers_above(schedule):
    rates: list[dict] = []

    class Rates:
        def on_fit_start(self, run):
            rates.append({p: group["lr"] for group in run.optimizer.param_groups for p in group["params"]})

        on_step_end = on_fit_start

    model = Classifier()
    history = tune(model, layer_decay=0.5, lr=0.08, schedule=schedule, callbacks=[Rates()])
    for rate in rates:
        top = rate[model.out.weight]
        for below, depth in enumerate(reversed(model.encoder.depths())):
            assert [rate[p] for p in depth] == pytest.approx([top * 0.5**below] * len(depth))
    # one_cycle begins with momentum high and rate low, and its last step is the one after the last update
    assert history[-1]["lr"] == rates[-2][model.out.weight]
    peak = max(rate[model.out.weight] for rate in rates)
    assert peak == pytest.approx(0.08, rel=0.1)


def test_a_small_layer_decay_moves_lower_layers_less():
    model, before = Classifier(), Classifier()
    tune(model, layer_decay=0.1, optimizer="adam", lr=1e-3, epochs=1)
    moved = [
        max(float((p - q).detach().abs().max()) for p, q in zip(*pair, strict=True))
        for pair in zip(model.encoder.depths(), before.encoder.depths(), strict=True)
    ]
    assert all(low < 0.2 * high for low, high in pairwise(moved))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"freeze": "head"}, "number of layers from 1 to 3"),
        ({"freeze": 4}, "number of layers from 1 to 3"),
        ({"freeze": 0}, "from 1 to 3"),
        ({"freeze": True}, "not True"),
        ({"thaw": 0}, "thaw must be above 0"),
        ({"layer_decay": 0.0}, "above 0 and be at most 1"),
        ({"layer_decay": 1.5}, "at most 1"),
        ({"warmup": 1.0}, "0 to below 1"),
        ({"warmup": -0.1}, "0 to below 1"),
        ({"accumulate": 0}, "accumulate must be above 0"),
    ],
)
def test_a_wrong_argument_is_told_what_there_is(wrong, message):
    with pytest.raises(ValueError, match=message):
        tune(Classifier(), **wrong)


@pytest.mark.parametrize("option", [{"freeze": "embeddings"}, {"thaw": 1}, {"layer_decay": 0.9}])
def test_a_model_without_an_encoder_is_told_which_have_one(option):
    with pytest.raises(ValueError, match=rf"{next(iter(option))} is about the layers .* Sequential has none"):
        train(net(), **option)


def test_a_pretrained_encoder_gets_a_low_learning_rate():
    rates = []

    def note(run):
        rates.append(run.settings.lr)

    for options in ({}, {"freeze": "encoder"}, {"lr": 0.5}):
        tune(Classifier(), epochs=1, callbacks=[note], **options)
    assert rates[0] < 1e-3 and rates[1] == default_lr("adamw") and rates[2] == 0.5


# Warm-up


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SCHEDULES), st.integers(2, 300), st.floats(0, 0.9))
def test_the_rate_rises_over_that_share_of_the_updates_and_then_falls(name, steps, warmup):
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(optimizer, name, steps, warmup)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step(), schedule.step()
    top = rates.index(max(rates))
    assert abs(top - warmup * steps) <= 2 and 0 < max(rates) <= 1 + 1e-9
    assert all(a <= b + 1e-9 for a, b in pairwise(rates[: top + 1]))
    assert all(a >= b - 1e-9 for a, b in pairwise(rates[top:]))
    if name != "constant" and steps > 20 and warmup < 0.5:
        assert rates[-1] < 0.15


# Accumulated gradients


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(8, 40), st.sampled_from(["sgd", "adamw"]))
def test_accumulated_batches_are_one_large_batch(accumulate, batch_size, examples, optimizer):
    if examples % batch_size == 1 or examples % (batch_size * accumulate) == 1:
        examples += 1  # else an example alone is left out
    if examples % batch_size == 1 or examples % (batch_size * accumulate) == 1:
        return
    X, y = data(examples)
    small, large = net().double(), net().double()
    options = {"optimizer": optimizer, "lr": 0.01}
    a = train(small, (X.double(), y), batch_size=batch_size, accumulate=accumulate, **options)
    b = train(large, (X.double(), y), batch_size=batch_size * accumulate, **options)
    for p, q in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-6)
    for one, other in zip(numbers(a), numbers(b), strict=True):
        assert one == pytest.approx(other, rel=1e-6)


def test_steps_that_count_unequally_weigh_what_they_count():
    """Labels of -100 make the batches unequal: what counts are steps, not batches."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(24, 5, 4, generator=generator)
    y = torch.randint(0, 3, (24, 5), generator=generator)
    y[torch.rand(24, 5, generator=generator) < 0.6] = -100
    y[:, 0] = 1
    small, large = net(), net()
    train(small, (X, y), step=PerToken(), batch_size=4, accumulate=3, lr=0.02)
    train(large, (X, y), step=PerToken(), batch_size=12, lr=0.02)
    for p, q in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-5)


def test_updates_are_what_is_counted():
    seen = []

    class Watch:
        def on_step_end(self, run):
            seen.append((run.step, run.num_updates))

    X, y = data(50)
    for source in ((X, y), DataLoader(TensorDataset(X, y), batch_size=8)):
        seen.clear()
        train(net(), source, batch_size=8, accumulate=3, epochs=1, callbacks=[Watch()])  # batches: 7
        assert seen == [(1, 3), (2, 3), (3, 3)]


def test_bf16_trains_an_encoder_and_keeps_float32_weights():
    model = Classifier(dropout=0.1)
    history = tune(model, precision="bf16", epochs=8, lr=3e-3, accumulate=2, layer_decay=0.9)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert predict(model, sentences(), precision="bf16").dtype == torch.float32


# Low-rank adapters


def test_adapters_begin_as_nothing_and_learn_alone():
    pytest.importorskip("peft")
    model = Classifier().eval()
    X = sentences().batch(torch.arange(8))[0]
    before = model(X)
    assert add_lora(model, rank=4) is model
    assert torch.equal(model(X), before)
    base = {name: p.clone() for name, p in model.named_parameters() if not p.requires_grad}
    history = tune(model, epochs=6, lr=2e-2)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert all(torch.equal(p, base[name]) for name, p in model.named_parameters() if name in base)
    learned = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learned == {"out.weight", "out.bias"} | {name for name in learned if "lora_" in name}
    assert len(learned) == 2 + 3 * 2 * 2  # A and B, of two projections, of three layers
    with pytest.raises(ValueError, match="adapters already"):
        add_lora(model)


def test_adapters_need_an_encoder_a_rank_and_peft(monkeypatch):
    with pytest.raises(ValueError, match="Sequential has none"):
        add_lora(net())
    with pytest.raises(ValueError, match="1 or more, not 0"):
        add_lora(Classifier(), rank=0)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ImportError, match="pip install peft"):
        add_lora(Classifier())


@pytest.mark.parametrize("implementation", ["coursekit", "transformers"])
def test_either_implementation_can_be_tuned(implementation):
    pytest.importorskip("peft")
    encoder = load_encoder("bert-tiny", implementation=implementation)
    model = get_model("bert_sentence", encoder=encoder)
    tune(model, epochs=1, freeze=1, layer_decay=0.9)
    add_lora(model, rank=2)
    learned = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learned == {"head.weight", "head.bias"} | {name for name in learned if "lora_" in name}
    before = {name: p.clone() for name, p in model.named_parameters()}
    tune(model, epochs=1)
    assert {name for name, p in model.named_parameters() if not torch.equal(p, before[name])} == learned
