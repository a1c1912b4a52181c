"""What the lab `generative` quotes and teaches, worked out with torch and scikit-learn; and what earns nothing in it."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch import nn

from autograde.cases import Workshop
from autograde.lab import load_lab
from coursekit.check.call import answer
from coursekit.check.verdict import judge
from coursekit.train import gan_losses

LAB = Path(__file__).parents[2] / "labs" / "generative"
TRAINED = ("autoencoder", "own_digits")


@pytest.fixture(scope="module")
def lab():
    return load_lab(LAB)


@pytest.fixture(scope="module")
def solved(lab):
    """The solutions of the lab, but for those that train."""
    names = {"torch": torch, "nn": nn, "F": F, "math": math, "np": np}
    for name, source in lab.solutions.items():
        if name not in TRAINED:
            exec(source, names)
    return names


def quoted(text: str) -> bool:
    """Both languages of the lab quote `text`."""
    return (LAB / "lab.py").read_text(encoding="utf-8").count(text) >= 2


def logits(low: float = -8, high: float = 8) -> st.SearchStrategy[torch.Tensor]:
    return st.lists(st.floats(low, high, width=32), min_size=1, max_size=8).map(torch.tensor)


def test_number_of_exercises_and_points_are_those_of_the_text(lab):
    assert len(lab.exercises) == 11
    assert sum(exercise.minutes for exercise in lab.exercises.values()) <= lab.settings["minutes"]
    text = (LAB / "lab.py").read_text(encoding="utf-8")
    assert "30, in eleven programming exercises and one written answer" in text
    assert "30 分，十一道编程练习，一道书面题" in text


@pytest.mark.parametrize("name", TRAINED)
def test_thresholds_in_the_text_are_those_of_the_check(lab, name):
    compare = lab.exercises[name].compare
    about = [c.source for c in lab.cells if c.kind == "text" and c.marker.get("about") == name]
    assert len(about) == 2
    for text in about:
        assert f"{compare.threshold:.0%}" in text and f"{compare.floor:.0%}" in text


def test_the_lectures_game_is_quoted():
    assert quoted(r"\min_G \max_D \; \mathbb{E}_x \log D(x) + \mathbb{E}_z \log\bigl(1 - D(G(z))\bigr)")


def test_pca_is_scikit_learns(solved):
    rng = np.random.default_rng(0)
    train, X = (rng.standard_normal((n, 6)) @ rng.standard_normal((6, 6)) + 3 for n in (30, 8))
    for k in (1, 3, 6):
        reference = PCA(k).fit(train)
        expected = torch.from_numpy(reference.inverse_transform(reference.transform(X)))
        mine = solved["pca"](torch.from_numpy(train), torch.from_numpy(X), k)
        torch.testing.assert_close(mine, expected)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31), k=st.integers(1, 4))
def test_no_other_directions_lose_less(solved, seed, k):
    generator = torch.Generator().manual_seed(seed)
    train = torch.randn(20, 5, generator=generator, dtype=torch.float64) * torch.arange(1.0, 6.0)
    V, _ = torch.linalg.qr(torch.randn(5, k, generator=generator, dtype=torch.float64))
    mean = train.mean(0)
    other = mean + (train - mean) @ V @ V.T
    best = solved["pca"](train, train, k)
    assert (best - train).square().sum() <= (other - train).square().sum() + 1e-9


def test_who_knows_nothing_loses_2_log_2(solved):
    loss = solved["discriminator_loss"](torch.zeros(3), torch.zeros(5)).item()
    assert loss == pytest.approx(2 * math.log(2)) and round(loss, 3) == 1.386
    assert quoted(r"$2 \log 2 \approx 1.386$") and quoted("1.386")
    source = (LAB / "lab.py").read_text(encoding="utf-8")
    assert round(2 * math.log(2), 2) == 1.39 and round(math.log(2), 2) == 0.69
    assert "if nobody can tell: 1.39 and 0.69" in source


@settings(deadline=None)
@given(real=logits(), fake=logits())
def test_losses_are_the_librarys(solved, real, fake):
    for name, saturating in (("minimax", True), ("non_saturating", False)):
        of_discriminator, of_generator = gan_losses(name)
        mine = solved["discriminator_loss"](real, fake)
        torch.testing.assert_close(mine, of_discriminator(real, fake))
        torch.testing.assert_close(solved["generator_loss"](fake, saturating)[0], of_generator(fake))


@settings(deadline=None)
@given(fake=logits(), saturating=st.booleans())
def test_slopes_are_autograds(solved, fake, saturating):
    fake.requires_grad_()
    loss, slope = solved["generator_loss"](fake, saturating)
    (expected,) = torch.autograd.grad(loss * len(fake), fake)
    torch.testing.assert_close(slope.detach(), expected)


def test_slopes_of_a_fake_that_is_seen_through(solved):
    starving, well_fed = (solved["generator_loss"](torch.tensor([-5.0]), s)[1].item() for s in (True, False))
    assert f"{starving:.4f}" == "-0.0067" and f"{well_fed:.4f}" == "-0.9933"
    assert quoted("-0.0067") and quoted("-0.9933")
    assert round(well_fed / starving) == 148 and quoted("150")


def test_whoever_draws_every_pixel_by_itself_draws_no_digits():
    """The first model of the text: the right distribution of each pixel, and no digit among its pictures."""
    from coursekit.check.digits import votes
    from coursekit.data import load

    X = load("mnist_5k").train.images.flatten(1).float() / 127.5 - 1
    generator = torch.Generator().manual_seed(0)
    drawn = X[torch.randint(len(X), (200, 784), generator=generator), torch.arange(784)]
    torch.testing.assert_close(drawn.mean(0), X.mean(0), atol=0.35, rtol=0)
    assert (votes(drawn.view(-1, 1, 28, 28)).argmax(1) < 10).float().mean() < 0.05


class Identity(nn.Module):
    """No bottleneck: the code is the picture."""

    def encode(self, X):
        return X.flatten(1)

    def decode(self, z):
        return z.view(-1, 1, 28, 28)


class Stash(Identity):
    """A code of the right size, and the picture handed over behind its back."""

    def encode(self, X):
        self.seen = X
        return X.flatten(1)[:, 300:316]

    def decode(self, z):
        return self.seen


@pytest.mark.parametrize("model", [Identity(), Stash()])
def test_what_goes_past_the_bottleneck_earns_nothing(lab, model):
    with Workshop(lab) as workshop:
        case_set = workshop.draw(lab.exercises["autoencoder"], 1, hidden=True)
    outcome = judge(case_set, answer(model, case_set.questions()))
    assert outcome.points == 0 and outcome.status == "incorrect"


def test_the_rival_of_the_auto_encoder_is_the_students_pca(lab, solved):
    """The check compares with what `pca` of exercise 1 gives."""
    from coursekit.data import load

    with Workshop(lab) as workshop:
        (case,) = workshop.draw(lab.exercises["autoencoder"], 0, hidden=True).cases
    train, X = (
        images.double().flatten(1) / 127.5 - 1 for images in (load("mnist_5k").train.images, case.inputs["X"])
    )
    errors = (solved["pca"](train, X, 16).clamp(-1, 1) - X).square().mean(1)
    torch.testing.assert_close(case.expected, errors.float())


@pytest.mark.slow  # about ten seconds
def test_the_two_steps_find_the_moons(lab, solved):
    """What the text says of its game: two moons from a heap in the middle, and D that can hardly tell."""
    cell = next(c.source for c in lab.cells if c.kind == "code" and "def player(" in c.source)
    names = dict(solved)
    exec("from coursekit.train.device import under_grading\n" + cell, names)
    moons, film = names["moons"], names["film"]

    def missed(points: torch.Tensor) -> float:
        """How far a point of the moons is from the nearest made one, on the average."""
        return torch.cdist(moons, points).amin(1).mean().item()

    assert missed(film[0]) > 0.7 and missed(film[2000]) < 0.15
    of_d, of_g = torch.tensor(names["losses"][-200:]).mean(0).tolist()
    assert of_d == pytest.approx(1.39, abs=0.15) and of_g == pytest.approx(0.69, abs=0.2)
