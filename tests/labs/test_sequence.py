"""What the lab `sequence` quotes and teaches, worked out with torch: its figures, and its solutions against torch's own."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autograde.lab import load_lab
from coursekit.data import load, tokenize
from coursekit.data.same_bag import same_bag
from coursekit.data.synthetic import adding_problem
from coursekit.models import get_model
from coursekit.models.char_lm import draw

LAB = Path(__file__).parents[2] / "labs" / "sequence"
FRANCE = "France is where I grew up, but I now live in Boston. I speak fluent"


@pytest.fixture(scope="module")
def lab():
    return load_lab(LAB)


@pytest.fixture(scope="module")
def solved(lab):
    """The solutions of the lab, but for the one that trains."""
    names = {"torch": torch, "nn": nn, "F": F}
    for name, source in lab.solutions.items():
        if name != "train_sentiment":
            exec(source, names)
    return names


def quoted(text: str) -> bool:
    """Both languages of the lab quote `text`."""
    return (LAB / "lab.py").read_text(encoding="utf-8").count(text) >= 2


def test_lecture_sentences_have_the_same_bag(lab, solved):
    first, second = (case["tokens"] for case in lab.exercises["bag_of_words"].examples["known words"])
    assert quoted("The food was good, not bad at all.") and quoted("The food was bad, not good at all.")
    assert first == tokenize("The food was good, not bad at all.")
    assert second == tokenize("The food was bad, not good at all.")
    words = sorted(set(first))
    assert len(first) == 10 and first != second
    assert torch.equal(solved["bag_of_words"](first, words), solved["bag_of_words"](second, words))


def test_steps_from_france_to_the_gap():
    assert quoted(FRANCE.removeprefix("France"))
    assert len(tokenize(FRANCE)) - 1 == 16
    assert round(0.8**16, 3) == 0.028 and round(1.2**16) == 18
    assert quoted(r"$0.8^{16} \approx 0.028$") and quoted(r"1.2^{16} \approx 18$")


def test_a_matrix_above_one_whose_powers_die_out(lab, solved):
    case = lab.exercises["jacobian_norms"].examples[""][0]
    norms = solved["jacobian_norms"](torch.from_numpy(case["W_hh"]), 20)
    assert round(norms[0].item(), 2) == 1.21 and norms[-1] < 1e-3
    assert quoted("1.21")


def test_who_has_forgotten_the_sum_answers_one():
    y = adding_problem(20_000, length=50).y
    assert (y - 1).square().mean().item() == pytest.approx(1 / 6, abs=0.005)
    assert quoted("0.167")


def test_forget_gates_that_stand_open():
    assert round(1 / (1 + math.exp(-3)), 2) == 0.95
    assert quoted("0.95")


def test_training_data_are_as_described():
    assert len(same_bag("en").train) == 2 * 2_000 and quoted("2,000")
    assert len(load("reviews_en").train) > 800


def test_thresholds_in_the_text_are_those_of_the_check(lab):
    compare = lab.exercises["train_sentiment"].compare
    assert quoted(f"{compare.threshold:.0%}") and quoted(f"{compare.floor:.0%}")


def test_number_of_exercises_is_that_of_the_text(lab):
    assert len(lab.exercises) == 12
    assert sum(exercise.minutes for exercise in lab.exercises.values()) <= lab.settings["minutes"]


def test_rnn_is_torchs(solved):
    rnn = nn.RNN(3, 5, batch_first=True)
    X, h0 = torch.randn(2, 4, 3), torch.randn(2, 5)
    with torch.no_grad():
        expected, _ = rnn(X, h0[None])
        bias = rnn.bias_ih_l0 + rnn.bias_hh_l0
        states = solved["rnn_forward"](X, h0, rnn.weight_ih_l0, rnn.weight_hh_l0, bias)
    torch.testing.assert_close(states, expected)


def test_bptt_is_autograds(solved):
    X, h0, grad_h = torch.randn(3, 6, 2), torch.randn(3, 4), torch.randn(3, 4)
    weights = [torch.randn(*shape, requires_grad=True) for shape in ((4, 2), (4, 4), (4,))]
    last = solved["rnn_forward"](X, h0, *weights)[:, -1]
    expected = torch.autograd.grad((last * grad_h).sum(), weights)
    with torch.no_grad():
        by_hand = solved["bptt"](X, h0, *weights, grad_h)
    torch.testing.assert_close(by_hand, expected)


def test_clipping_is_torchs(solved):
    layer = nn.Linear(3, 4)
    for parameter in layer.parameters():
        parameter.grad = torch.randn_like(parameter)
    mine = solved["clip_by_norm"]([parameter.grad.clone() for parameter in layer.parameters()], 0.5)
    nn.utils.clip_grad_norm_(layer.parameters(), 0.5)
    torch.testing.assert_close(mine, [parameter.grad for parameter in layer.parameters()])


def test_identity_init_is_the_zoos(solved):
    settings = {"input_size": 2, "hidden_size": 5, "num_layers": 2, "nonlinearity": "relu"}
    torch.manual_seed(0)
    mine = get_model("rnn", **settings)
    mine.rnn.load_state_dict(solved["identity_init"](mine.rnn.state_dict()))
    torch.manual_seed(0)
    torch.testing.assert_close(mine.state_dict(), get_model("rnn", **settings, init="identity").state_dict())


def test_lstm_step_is_torchs(solved):
    cell = nn.LSTMCell(3, 5)
    x, h, c = torch.randn(2, 3), torch.randn(2, 5), torch.randn(2, 5)
    with torch.no_grad():
        mine = solved["lstm_step"](x, h, c, cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
        torch.testing.assert_close(mine, cell(x, (h, c)))


def test_token_loss_is_torchs(solved):
    logits, y = torch.randn(3, 5, 4), torch.randint(4, (3, 5))
    y[1, 3:] = y[2, 1:] = -100
    expected = F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=-100)
    torch.testing.assert_close(solved["token_loss"](logits, y), expected)


def test_next_char_is_what_the_zoo_draws_from(solved):
    logits = torch.tensor([0.3, 2.0, -1.0, 1.1])
    p = solved["next_char"](logits[None], 0.7, 2)[0]
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([draw(logits, 0.7, 2, generator) for _ in range(2_000)])
    torch.testing.assert_close(torch.bincount(drawn, minlength=4) / 2_000, p, atol=0.05, rtol=0)
