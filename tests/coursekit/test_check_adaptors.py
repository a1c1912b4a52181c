"""The adaptors for generative models: a step of a game of two players, reconstructions and drawings."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from coursekit.check.call import answer

CODE_SIZE = 3


def players() -> dict:
    torch.manual_seed(0)
    return {
        "generator": nn.Sequential(nn.Linear(2, 2)),
        "discriminator": nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)),
    }


def ask_step(step, **options):
    inputs = [{**players(), "batches": [[torch.ones(4, 2)]] * 2, "lr": 0.1, "momentum": 0.0}]
    questions = {"adaptor": "game_step", "options": options, "inputs": inputs}
    (result,) = answer(step, questions)
    assert result["status"] == "ok", result
    return result["value"]


def test_game_step_calls_once_a_batch_with_an_optimizer_for_each_player():
    def step(generator, discriminator, generator_optimizer, discriminator_optimizer, z):
        generator_optimizer.zero_grad()
        loss = F.softplus(-discriminator(generator(z))).mean()
        loss.backward()
        generator_optimizer.step()
        return loss.item()

    before, value = players(), ask_step(step)
    assert len(value["returned"]) == 2 and value["returned"][1] < value["returned"][0]
    for name, moved in (("generator", True), ("discriminator", False)):
        same = all(map(torch.equal, before[name].parameters(), value[name]))
        assert same is not moved
    assert value["can still learn"] == [True, True]
    assert not any(key.startswith("gradient left") for key in value)


def test_game_step_tells_of_a_gradient_left_in_the_spectator():
    def through(generator, discriminator, generator_optimizer, discriminator_optimizer, z):
        discriminator(generator(z)).sum().backward()

    def cut_off(generator, discriminator, generator_optimizer, discriminator_optimizer, z):
        discriminator(generator(z).detach()).sum().backward()

    assert ask_step(through, spectator="generator")["gradient left in the generator"] > 0.1
    assert ask_step(cut_off, spectator="generator")["gradient left in the generator"] == 0


def test_game_step_tells_of_a_player_who_was_frozen():
    def freezes(generator, discriminator, generator_optimizer, discriminator_optimizer, z):
        discriminator.requires_grad_(False)

    assert ask_step(freezes)["can still learn"] == [True, False]


class Coder(nn.Module):
    """Gives the mean of three parts of an image as its code, and paints them."""

    def encode(self, X):
        return torch.stack([part.mean((1, 2, 3)) for part in X.split([1, 2, 1], dim=3)], 1)

    def decode(self, z):
        return torch.repeat_interleave(z, torch.tensor([1, 2, 1]), 1)[:, None, None, :].expand(-1, 1, 4, 4)


class Stash(Coder):
    """Remembers what it has seen."""

    def encode(self, X):
        self.seen = X
        return super().encode(X)

    def decode(self, z):
        return self.seen


def ask_reconstruction(model):
    X = torch.arange(5 * 16, dtype=torch.uint8).view(5, 4, 4)
    options = {"mean": 0.5, "std": 0.5, "code_size": CODE_SIZE}
    (result,) = answer(model, {"adaptor": "reconstruction", "options": options, "inputs": [{"X": X}]})
    return X.float().unsqueeze(1) / 127.5 - 1, result


def test_reconstructions_come_back_in_the_order_of_the_images():
    model = Coder()
    X, result = ask_reconstruction(model)
    torch.testing.assert_close(result["value"], model.decode(model.encode(X)).contiguous())


def test_an_image_that_goes_past_the_bottleneck_comes_out_in_another_order():
    X, result = ask_reconstruction(Stash())
    assert not torch.allclose(result["value"], X)


class NoBottleneck(nn.Module):
    def encode(self, X):
        return X.flatten(1)

    def decode(self, z):
        return z.view(-1, 1, 4, 4)


@pytest.mark.parametrize("model", [NoBottleneck(), nn.Linear(2, 2), lambda X: X, None])
def test_what_has_no_bottleneck_of_that_size_is_of_the_wrong_form(model):
    _, result = ask_reconstruction(model)
    assert result["status"] == "form"
    assert "encode" in result["message"] and "encode" in result["message_zh"]


class Painter(nn.Module):
    """Paints each class in its own grey, with noise from the seed."""

    def sample(self, n, labels=None, seed=None):
        noise = torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
        return labels.view(-1, 1, 1, 1) / 10 + noise / 100


def test_drawings_are_of_the_labels_and_the_seed():
    labels = torch.tensor([3, 0, 7])
    model = Painter().train()
    questions = [{"labels": labels, "seed": 5}]
    (result,) = answer(model, {"adaptor": "drawing", "options": {}, "inputs": questions})
    torch.testing.assert_close(result["value"], model.sample(3, labels=labels, seed=5))
    assert model.training


def test_drawing_asks_for_a_model_that_samples():
    (result,) = answer(
        nn.Linear(2, 2),
        {"adaptor": "drawing", "options": {}, "inputs": [{"labels": torch.zeros(1), "seed": 0}]},
    )
    assert result["status"] == "form" and "`sample`" in result["message"]
