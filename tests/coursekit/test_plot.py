"""Figures: what is in them, not only that they exist."""

import os
import subprocess
import sys

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn

from coursekit.data import Split
from coursekit.plot import cjk_font, confusion, curves, feature_maps, filters, images, mistakes
from coursekit.plot.style import COLORS
from coursekit.train import History


def shown(figure) -> list[np.ndarray]:
    """The pictures in a figure, in order."""
    return [np.asarray(image.get_array()) for ax in figure.axes for image in ax.images]


def titles(figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def history(scale: float = 1.0, validated: bool = True) -> History:
    made = History()
    for i in range(3):
        row = {"train_loss": scale * (3 - i), "train_accuracy": 0.3 * i}
        made.append(
            epoch=i + 1,
            **row,
            **({"val_loss": scale * (4 - i), "val_accuracy": 0.2 * i} if validated else {}),
        )
    return made


def lines(ax) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in ax.lines}


def test_curves_of_one_history():
    figure = history().plot()
    loss, accuracy = figure.axes
    assert lines(loss) == {"train": [3, 2, 1], "val": [4, 3, 2]}
    assert lines(accuracy)["val"] == pytest.approx([0, 0.2, 0.4])
    assert list(loss.lines[0].get_xdata()) == [1, 2, 3]
    assert (loss.get_ylabel(), accuracy.get_ylabel(), loss.get_xlabel()) == ("loss", "accuracy", "epoch")


def test_curves_of_several_histories_one_colour_each():
    figure = curves({"small": history(), "large": history(2.0, validated=False)})
    assert lines(figure.axes[0]) == {
        "small train": [3, 2, 1],
        "small val": [4, 3, 2],
        "large train": [6, 4, 2],
    }
    assert [line.get_color() for line in figure.axes[0].lines] == [COLORS[0], COLORS[0], COLORS[1]]
    assert set(lines(curves([history(), history()]).axes[0])) == {
        "run 1 train",
        "run 1 val",
        "run 2 train",
        "run 2 val",
    }


def test_curves_say_what_they_need():
    with pytest.raises(ValueError, match="no epoch was finished"):
        curves(History())
    with pytest.raises(ValueError, match="2 histories and 1 labels"):
        curves([history(), history()], ["one"])


@pytest.mark.parametrize(
    ("shape", "count"),
    [((5, 6), 1), ((1, 5, 6), 1), ((3, 5, 6), 1), ((4, 5, 6), 4), ((4, 1, 5, 6), 4), ((2, 3, 5, 6), 2)],
)
def test_images_of_every_shape(shape, count):
    X = torch.rand(shape)
    pictures = shown(images(X))
    assert len(pictures) == count
    assert pictures[0].shape[:2] == (5, 6)
    if shape == (4, 1, 5, 6):
        np.testing.assert_allclose(pictures[2], X[2, 0].numpy())


def test_images_have_titles_and_a_limit():
    split = Split(torch.rand(30, 1, 4, 4), torch.arange(30) % 10)
    figure = images(split, n=12)
    assert titles(figure) == [str(i % 10) for i in range(12)] and len(shown(figure)) == 12
    assert titles(images(split.X, titles=["a", "b"], n=3)) == ["a", "b"]
    with pytest.raises(ValueError, match="images have the shape"):
        images(torch.rand(2, 7, 4, 4))


def test_filters_on_one_symmetric_scale():
    conv = nn.Conv2d(2, 3, 4)
    figure = filters(nn.Sequential(nn.ReLU(), conv))
    assert titles(figure) == ["0,0", "0,1", "1,0", "1,1", "2,0", "2,1"]
    np.testing.assert_allclose(shown(figure)[3], conv.weight[1, 1].detach().numpy())
    limits = {image.get_clim() for image in figure.axes[0].images}
    top = conv.weight.abs().max().item()
    assert limits == {(-top, top)}
    for wrong in (nn.Linear(2, 2), torch.rand(3, 3)):
        with pytest.raises(ValueError):
            filters(wrong)


def test_feature_maps_are_the_output_of_the_layer():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 2, 3))
    x = torch.randn(1, 8, 8)
    expected = model[0](x[None])[0].detach().numpy()
    for figure in (
        feature_maps(model, x),
        feature_maps(model, x[None], layer="0"),
        feature_maps(model[0](x[None])),
    ):
        np.testing.assert_allclose(np.stack(shown(figure)), expected, rtol=1e-6)
    assert len(shown(feature_maps(model, x, layer=model[2]))) == 2
    assert model.training and not model[0]._forward_hooks
    with pytest.raises(ValueError, match="it has 0, 1, 2"):
        feature_maps(model, x, layer="conv1")
    with pytest.raises(ValueError, match="give feature_maps an image"):
        feature_maps(model)


def test_confusion_counts():
    y_true, y_pred = torch.tensor([0, 0, 0, 1, 2, 2]), torch.tensor([0, 0, 1, 1, 2, 0])
    figure = confusion(y_true, y_pred, ["cat", "dog", "emu"])
    np.testing.assert_allclose(shown(figure)[0], [[2 / 3, 1 / 3, 0], [0, 1, 0], [0.5, 0, 0.5]], rtol=1e-6)
    numbers = {text.get_position(): text.get_text() for text in figure.axes[0].texts}
    assert numbers == {(0, 0): "2", (1, 0): "1", (1, 1): "1", (0, 2): "1", (2, 2): "1"}  # (column, row)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["cat", "dog", "emu"]
    logits = nn.functional.one_hot(y_pred).float()
    np.testing.assert_array_equal(shown(confusion(y_true, logits))[0], shown(figure)[0])
    with pytest.raises(ValueError, match="6 true labels and 2"):
        confusion(y_true, y_pred[:2])


def test_mistakes_the_most_confident_first():
    X, y = torch.rand(4, 1, 3, 3), torch.tensor([0, 1, 2, 1])
    logits = torch.tensor([[1.0, 0, 0], [2, 0, 0], [0, 0, 1], [0, 0, 9]])
    figure = mistakes(Split(X, y), logits)
    assert titles(figure) == ["2 (1)", "0 (1)"]
    np.testing.assert_allclose(shown(figure)[0], X[3, 0].numpy())
    assert titles(mistakes((X, y), logits, n=1, classes=["a", "b", "c"])) == ["c (b)"]
    with pytest.raises(ValueError, match="no mistake"):
        mistakes((X, y), nn.functional.one_hot(y).float())


def test_figures_do_not_stay_open():
    before = plt.get_fignums()
    images(torch.rand(2, 1, 4, 4)), history().plot(), confusion([0, 1], [0, 1])
    assert plt.get_fignums() == before


def test_the_chinese_font_is_an_installed_one_or_none():
    from matplotlib import font_manager

    assert cjk_font() is None or font_manager.findfont(cjk_font(), fallback_to_default=False)


def test_matplotlib_loads_on_first_use_and_works_without_a_display(tmp_path):
    script = (
        "import sys, torch, coursekit.plot as plot\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plot.images(torch.rand(2, 1, 4, 4)).savefig(sys.argv[1])"
    )
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "MPLBACKEND", "WAYLAND_DISPLAY")}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "figure.png")], env=env, capture_output=True
    )
    assert done.returncode == 0 and (tmp_path / "figure.png").stat().st_size > 500, done.stderr


@pytest.mark.parametrize(("true", "predicted"), [([], []), ([0, -100], [0, 1]), ([0, 2], [0, 1])])
def test_confusion_says_which_labels_it_takes(true, predicted):
    with pytest.raises(ValueError, match=r"no label was given|labels go from"):
        confusion(
            torch.tensor(true, dtype=torch.int64), torch.tensor(predicted, dtype=torch.int64), ["a", "b"]
        )
