"""Gradient norms over time against a recurrence whose gradient is known."""

import pytest
import torch
from torch import nn

from coursekit.models import get_model
from coursekit.train import gradient_norms


def series(steps: int = 20) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(6, steps, 3, generator=generator), torch.randint(0, 2, (6,), generator=generator)


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_one_norm_a_step_and_nothing_else_changes(kind: str) -> None:
    torch.manual_seed(0)
    model = get_model(kind, input_size=3, hidden_size=8).train()
    before = {name: p.clone() for name, p in model.named_parameters()}
    norms = gradient_norms(model, *series())
    assert norms.shape == (20,) and (norms > 0).all()
    assert model.training and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
def test_it_is_the_power_of_the_recurrent_weight(scale: float) -> None:
    """With relu, positive states and W_hh = scale * I, dL/dh_t is scale to the number of steps that are left."""
    model = get_model("rnn", input_size=3, hidden_size=4, nonlinearity="relu", init="identity").double()
    with torch.no_grad():
        model.rnn.weight_hh_l0.mul_(scale)
        model.rnn.weight_ih_l0.abs_()
    X, y = series()
    norms = gradient_norms(model, X.double(), y)
    expected = norms[-1] * scale ** torch.arange(19, -1, -1, dtype=torch.float64)
    assert torch.allclose(norms, expected)


def test_steps_after_the_end_have_no_gradient() -> None:
    torch.manual_seed(0)
    model = get_model("lstm", vocab_size=10)
    norms = gradient_norms(model, torch.randint(2, 10, (2, 6)), torch.tensor([0, 1]), torch.tensor([4, 2]))
    assert (norms[:4] > 0).all() and (norms[4:] == 0).all()


def test_other_models_are_refused_in_words() -> None:
    with pytest.raises(TypeError, match="Linear does not tell its states"):
        gradient_norms(nn.Linear(3, 2), *series())
