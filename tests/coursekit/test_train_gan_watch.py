"""Collapse and divergence: found where they are planted, and not elsewhere."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_gan import gan, pictures, train
from torch import nn

from coursekit.train import GanHistory
from coursekit.train.gan_watch import first_streak, nearest_other, warnings_of


class Collapsed(nn.Module):
    """Makes one image, whatever the noise."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.randn(1, 1, 8, 8))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.image.tanh().expand(len(z), -1, -1, -1)


class Varied(nn.Module):
    """Makes noise images, which vary more than the real ones; it has a parameter so that it can be trained."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("pattern", torch.randn(6, 64))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return (self.scale * z @ self.pattern).tanh().reshape(-1, 1, 8, 8)


def test_a_generator_that_makes_one_image_has_collapsed() -> None:
    model = gan()
    model.generator = Collapsed()
    history = train(model, epochs=3)
    assert history["variety"] == pytest.approx([0, 0, 0], abs=1e-6)
    assert [w for w in history.warnings if w.startswith("collapse: by epoch 2 ")] and "collapse" in repr(
        history
    )


def test_one_that_makes_three_images_has_collapsed_too() -> None:
    """The mean distance between samples would not show it; the nearest other one does."""

    class Three(Collapsed):
        def __init__(self) -> None:
            super().__init__()
            self.image = nn.Parameter(torch.randn(3, 1, 8, 8))

        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return self.image.tanh()[z[:, :3].argmax(1)]

    model = gan()
    model.generator = Three()
    assert any("collapse" in w for w in train(model, pictures(64), batch_size=32).warnings)


def test_variety_is_no_collapse() -> None:
    model = gan()
    model.generator = Varied()
    assert not any("collapse" in w for w in train(model, epochs=3).warnings)


def test_a_sure_discriminator_is_said() -> None:
    history = train(gan(), epochs=12, lr=1e-9, lr_discriminator=2e-2)
    assert history[-1]["discriminator_accuracy"] > 0.98
    assert [w for w in history.warnings if w.startswith("divergence: by epoch") and "lr_discriminator" in w]
    even = train(gan(), epochs=2, lr=1e-9, lr_discriminator=1e-9)
    assert not any("divergence" in w for w in even.warnings)


def rows(**columns: list[float]) -> GanHistory:
    history = GanHistory()
    for i, values in enumerate(zip(*columns.values(), strict=True)):
        history.append(epoch=i + 1, **dict(zip(columns, values, strict=True)))
    return history


def test_one_bad_epoch_is_no_warning_and_the_first_of_many_is_told() -> None:
    good = {"discriminator_accuracy": [0.7] * 4}
    assert warnings_of(rows(variety=[0.1, 0.8, 0.2, 0.9], **good)) == []
    (warning,) = warnings_of(rows(variety=[0.9, 0.3, 0.2, 0.1], **good))
    assert warning.startswith("collapse: by epoch 3 ") and "20%" in warning
    (warning,) = warnings_of(rows(variety=[1.0] * 3, discriminator_accuracy=[0.99, 0.97, 1.0])) or ("none",)
    assert warning == "none"
    assert warnings_of(GanHistory()) == [] and warnings_of(rows(discriminator_accuracy=[0.5, 0.5])) == []


@given(st.lists(st.booleans(), max_size=8))
@settings(deadline=None)
def test_a_streak_is_two_in_a_row(seen: list[bool]) -> None:
    pairs = [i for i in range(1, len(seen)) if seen[i] and seen[i - 1]]
    assert first_streak(seen) == (pairs[0] if pairs else None)


def test_distance_to_the_nearest_other() -> None:
    assert nearest_other(torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])) == pytest.approx((5 + 1 + 1) / 3)
