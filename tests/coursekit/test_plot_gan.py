"""Figures of samples and of the game: one scale, the right epochs, the right lines."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
import torch

from coursekit.plot import players, sample_grid, samples_over_time
from coursekit.train import GanHistory


def history(epochs: int = 3, n: int = 4) -> GanHistory:
    made = GanHistory()
    for i in range(epochs):
        made.append(
            epoch=i + 1,
            discriminator_loss=1.0 + i,
            generator_loss=2.0 - i,
            real_output=0.9,
            fake_output=0.1 * i,
        )
        made.add_samples(i + 1, torch.linspace(-1, 1, n * 4).reshape(n, 1, 2, 2).roll(i, 0))
    return made


def pictures(figure) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for image in figure.axes[0].images]


def test_a_grid_has_one_fixed_scale() -> None:
    X = torch.stack([torch.full((1, 2, 2), v) for v in (-1.0, -0.2, 0.5, 7.0)])
    figure = sample_grid(X, columns=2)
    assert {image.get_clim() for image in figure.axes[0].images} == {(-1.0, 1.0)}
    assert [p[0, 0] for p in pictures(figure)] == pytest.approx([-1, -0.2, 0.5, 1])
    limits = {image.get_clim() for image in sample_grid(X, low=0, high=2).axes[0].images}
    assert limits == {(0, 2)}
    assert len(pictures(sample_grid(torch.zeros(150, 1, 2, 2)))) == 100
    titled = sample_grid(X, titles=torch.tensor([3, 1, 4, 1]))
    assert [text.get_text() for text in titled.axes[0].texts] == ["3", "1", "4", "1"]
    with pytest.raises(ValueError, match="images have the shape"):
        sample_grid(torch.zeros(0, 1, 2, 2))


def test_colours_keep_their_scale() -> None:
    pale = torch.full((1, 3, 2, 2), 0.1)
    pale[0, 0] = 0.3
    (picture,) = pictures(sample_grid(pale))
    assert picture[0, 0].tolist() == pytest.approx([0.65, 0.55, 0.55], abs=1e-6)


def test_time_runs_down_from_the_first_epoch_to_the_last() -> None:
    made = history()
    figure = samples_over_time(made, n=2)
    assert [text.get_text() for text in figure.axes[0].texts if text.get_text()] == [
        "epoch 1",
        "epoch 2",
        "epoch 3",
    ]
    expected = torch.cat([grid[:2] for grid in made.samples])[:, 0].numpy()
    np.testing.assert_allclose(np.stack(pictures(figure)), expected, atol=1e-6)
    long = samples_over_time(history(epochs=30), n=1, rows=4)
    titles = [text.get_text() for text in long.axes[0].texts]
    assert titles[0] == "epoch 1" and titles[-1] == "epoch 30" and len(titles) == 4
    with pytest.raises(ValueError, match="no epoch was finished"):
        samples_over_time(GanHistory())


def test_both_players_are_drawn() -> None:
    losses, balance = history().plot().axes
    drawn = {line.get_label(): list(line.get_ydata()) for ax in (losses, balance) for line in ax.lines}
    assert drawn["discriminator"] == [1, 2, 3] and drawn["generator"] == [2, 1, 0]
    assert drawn["real images"] == [0.9] * 3 and drawn["fake images"] == pytest.approx([0, 0.1, 0.2])
    assert balance.get_ylim() == (0, 1) and losses.get_xlabel() == "epoch"
    with pytest.raises(ValueError, match="nothing to draw"):
        players(GanHistory())
