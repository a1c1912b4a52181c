"""Outliers: the area under the curve against scikit-learn's, and the score of each kind of model against its definition."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from coursekit.measure import outlier_auc, outlier_scores
from coursekit.models import get_model

few = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)  # with many ties
any_scores = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@given(inliers=few | any_scores, outliers=few | any_scores)
@settings(deadline=None)
def test_auc_is_that_of_scikit_learn(inliers: list[float], outliers: list[float]) -> None:
    truth = [0] * len(inliers) + [1] * len(outliers)
    assert outlier_auc(inliers, outliers) == pytest.approx(roc_auc_score(truth, inliers + outliers))


@given(inliers=any_scores, outliers=any_scores)
@settings(deadline=None)
def test_auc_of_sides_changed_is_the_rest(inliers: list[float], outliers: list[float]) -> None:
    assert outlier_auc(inliers, outliers) + outlier_auc(outliers, inliers) == pytest.approx(1)


def test_auc_by_hand() -> None:
    assert outlier_auc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0])) == 3.5 / 4
    assert outlier_auc([0.0, torch.inf], [torch.inf]) == 0.75


@pytest.mark.parametrize(
    ("inliers", "outliers", "message"),
    [
        ([], [1.0], r"inlier_scores must be one row of numbers \(N,\), not \(0,\)"),
        ([1.0], torch.zeros(2, 3), r"outlier_scores must be one row .* not \(2, 3\)"),
        ([1.0], [torch.nan], "outlier_scores hold nan"),
    ],
)
def test_auc_says_what_it_needs(inliers, outliers, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        outlier_auc(inliers, outliers)


def model(name: str, **config) -> nn.Module:
    torch.manual_seed(0)
    return get_model(name, **config)


X = (torch.arange(30 * 784).view(30, 1, 28, 28) * 0.7).sin()


def test_score_of_an_autoencoder_is_its_error_an_image() -> None:
    known = model("autoencoder")
    scores = outlier_scores(known, X, batch_size=7)
    assert torch.allclose(scores, torch.stack([(known(x[None]) - x).square().mean() for x in X]), atol=1e-6)
    assert not scores.requires_grad


def test_score_of_a_vae_is_minus_its_bound() -> None:
    known = model("vae")
    scores = outlier_scores(known, X, batch_size=30, seed=4)
    bound = known.elbo(X, generator=torch.Generator().manual_seed(4))
    assert torch.allclose(scores, -bound, rtol=1e-5)
    assert torch.equal(scores, outlier_scores(known, X, batch_size=30, seed=4))
    before = torch.get_rng_state()
    assert not torch.equal(scores, outlier_scores(known, X, batch_size=30, seed=5))
    assert torch.equal(torch.get_rng_state(), before)


def test_score_of_a_flow_is_minus_its_log_likelihood() -> None:
    known, points = model("flow", dim=5), torch.randn(30, 5)
    assert torch.allclose(outlier_scores(known, points, batch_size=4), -known.log_prob(points), atol=1e-5)


class Judged(nn.Module):
    """A GAN as far as scores go: the discriminator's logit is the mean of the image, plus its class where it has some."""

    def __init__(self, num_classes: int | None) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.discriminator = self.judge
        self.judge.__func__.num_classes = num_classes

    def judge(self, X: Tensor, y: Tensor | None = None) -> Tensor:
        mean = self.scale * X.mean((1, 2, 3))
        return mean if y is None else mean + torch.tensor([0.0, 3.0, 1.0])[y]


@pytest.mark.parametrize(("num_classes", "best"), [(None, 0.0), (3, 3.0)])
def test_score_of_a_gan_is_minus_its_logit_of_the_likeliest_class(num_classes, best: float) -> None:
    scores = outlier_scores(Judged(num_classes), X, batch_size=8)
    assert torch.allclose(scores, -X.mean((1, 2, 3)) - best, atol=1e-6)


def test_model_keeps_its_mode_and_dropout_is_off() -> None:
    known = model("autoencoder")
    known.encoder.append(nn.Dropout(0.5))
    scores = outlier_scores(known, X)
    assert torch.equal(scores, outlier_scores(known, X))
    assert all(module.training for module in known.modules())


def test_what_has_no_score_is_said() -> None:
    with pytest.raises(ValueError, match="LeNet gives no score: expected log_prob"):
        outlier_scores(model("lenet"), X)
    with pytest.raises(ValueError, match="no examples"):
        outlier_scores(model("vae"), X[:0])


def test_unusual_images_are_found_after_training() -> None:
    from coursekit.train import NegativeELBO, fit

    generator = torch.Generator().manual_seed(0)
    stripes = torch.where(
        (torch.arange(8) + torch.randint(0, 4, (200, 1), generator=generator)) % 4 < 2, 1.0, -1.0
    )
    usual = stripes.view(200, 1, 1, 8).expand(-1, -1, 8, -1).contiguous()
    known = model("vae", image_size=8, hidden_sizes=(32,), latent_size=2)
    fit(known, usual[:150], epochs=15, batch_size=16, step=NegativeELBO(), device="cpu", progress=False)
    turned = usual[150:].transpose(2, 3)
    assert outlier_auc(outlier_scores(known, usual[150:]), outlier_scores(known, turned)) > 0.95


def test_import_is_cheap() -> None:
    code = "import sys, coursekit.measure; print([m for m in ('sklearn', 'matplotlib', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
