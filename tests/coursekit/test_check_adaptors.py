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
    assert value["loss of step 2"] < value["loss of step 1"]
    for name, moved in (("generator", True), ("discriminator", False)):
        same = all(map(torch.equal, before[name].parameters(), value[f"weights of the {name}"]))
        assert same is not moved
        assert value[f"the {name} can still learn"] is value[f"the {name} is in training mode"] is True
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

    value = ask_step(freezes)
    assert (
        value["the generator can still learn"] is True and value["the discriminator can still learn"] is False
    )


def test_game_step_tells_of_a_player_who_was_left_in_evaluation_mode():
    def evaluates(generator, discriminator, generator_optimizer, discriminator_optimizer, z):
        generator.eval()

    value = ask_step(evaluates)
    assert value["the generator is in training mode"] is False
    assert value["the discriminator is in training mode"] is True


def test_game_step_sees_a_spectator_who_steps_without_a_gradient():
    def along(generator, discriminator, generator_optimizer, discriminator_optimizer, z):
        generator_optimizer.step()

    moved = ask_step(along, spectator="generator")["weights of the generator"]
    assert not all(map(torch.equal, players()["generator"].parameters(), moved))
    assert ask_step(along, spectator="generator")["gradient left in the generator"] == 0


def test_game_step_leaves_a_gradient_in_the_player_as_the_spectators_step_does():
    found = []

    def step(generator, discriminator, generator_optimizer, discriminator_optimizer, z):
        found.append([parameter.grad for parameter in discriminator.parameters()])

    ask_step(step, spectator="generator")
    first, second = found
    assert all(gradient is None for gradient in first)
    assert all(gradient.abs().sum() > 0 for gradient in second)


def ask_gradient(target, **options):
    inputs = [{"x": torch.ones(2), "y": torch.full((2,), 3.0), "n": torch.arange(2)}]
    questions = {"adaptor": "function", "options": {"gradient_to": ["x", "y"], **options}, "inputs": inputs}
    (result,) = answer(target, questions)
    return result


def test_where_a_gradient_flows_is_told_of_each_result():
    result = ask_gradient(lambda x, y, n: (x * y.detach(), y + n))
    found = {name: flows for name, flows in result["value"].items() if name.startswith("gradient")}
    assert found == {
        "gradient from result 1 back to x": True,
        "gradient from result 1 back to y": False,
        "gradient from result 2 back to x": False,
        "gradient from result 2 back to y": True,
    }
    torch.testing.assert_close(
        list(result["value"]["returned"]), [torch.full((2,), 3.0), torch.tensor([3.0, 4.0])]
    )
    alone = ask_gradient(lambda x, y, n: (x * y).sum())["value"]
    assert alone["gradient back to x"] is alone["gradient back to y"] is True


@pytest.mark.parametrize(
    "cut",
    [
        lambda x, y, n: (x * y).sum().item(),
        lambda x, y, n: (x * y).detach(),
        lambda x, y, n: (x * y).detach().numpy(),
        lambda x, y, n: n.sum(),
        torch.no_grad()(lambda x, y, n: x * y),
    ],
)
def test_a_result_that_is_cut_off_from_its_gradient_is_told(cut):
    result = ask_gradient(cut)
    assert result["status"] == "form" and "flows back to `x`, `y`" in result["message"]
    assert ("without gradient" in result["message"]) is isinstance(cut(*torch.ones(3, 2)), torch.Tensor)
    assert "切断梯度" in result["message_zh"]


def test_only_the_first_results_need_a_gradient_where_that_is_asked():
    result = ask_gradient(lambda x, y, n: (x * y, 2.0), gradient_from=1)
    assert result["value"]["gradient from result 1 back to x"] is True
    assert "gradient from result 2 back to x" not in result["value"]
    assert ask_gradient(lambda x, y, n: (x * y, 2.0))["status"] == "form"


def test_what_is_changed_in_place_is_told_where_a_gradient_is_asked_for_too():
    result = ask_gradient(lambda x, y, n: x.mul_(2) * y)
    assert result["status"] == "ok" and result["changed"] == ["x"]


def test_what_is_no_number_is_told_by_its_value():
    assert ask_gradient(lambda x, y, n: None)["value"]["returned"] is None


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


class Fixed(nn.Module):
    def sample(self, n, seed=None):
        return torch.zeros(n, 1, 28, 28)


def test_drawing_asks_for_a_model_that_is_told_the_class():
    questions = [{"labels": torch.zeros(1), "seed": 0}]
    (result,) = answer(Fixed(), {"adaptor": "drawing", "options": {}, "inputs": questions})
    assert result["status"] == "form"
    assert "`conditional_gan`" in result["message"] and "`conditional_gan`" in result["message_zh"]
