"""The figures that the lab `cnn_mnist` quotes, worked out with torch."""

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from coursekit.models import get_model

LAB = Path(__file__).parents[2] / "labs" / "cnn_mnist"


@pytest.fixture(scope="module")
def checks():
    spec = importlib.util.spec_from_file_location("cnn_mnist_checks", LAB / "checks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def convolve(image, kernel, stride=1):
    image, kernel = torch.as_tensor(image), torch.as_tensor(kernel)
    return F.conv2d(image[None, None], kernel[None, None], stride=stride)[0, 0]


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def quoted(text: str) -> bool:
    """Both languages of the lab quote `text`."""
    return (LAB / "lab.py").read_text(encoding="utf-8").count(text) >= 2


def test_lecture_5x5(checks):
    result = convolve(checks.IMAGE_5, checks.KERNEL_5).int().tolist()
    assert result == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]
    assert quoted(str(result))


def test_lecture_6x6_maps(checks):
    maps = torch.stack([convolve(checks.IMAGE_6, kernel) for kernel in (checks.FILTER_1, checks.FILTER_2)])
    assert maps[0].tolist() == [[3, -1, -3, -1], [-3, 1, 0, -3], [-3, -3, 0, 1], [3, -2, -2, -1]]
    assert maps[1].tolist() == [[-1, -1, -1, -1], [-1, -1, -2, 1], [-1, -1, -2, 1], [-1, 0, -4, 3]]
    assert torch.equal(maps, torch.from_numpy(checks.LECTURE_MAPS))
    pooled = F.max_pool2d(maps, 2).int().tolist()
    assert pooled == [[[3, 0], [3, 1]], [[-1, 1], [0, 3]]]
    assert all(quoted(str(table)) for table in pooled)


def test_lecture_6x6_stride_2(checks):
    result = convolve(checks.IMAGE_6, checks.FILTER_1, stride=2).int().tolist()
    assert result == [[3, -3], [-3, 0]]
    assert quoted(str(result))


def test_lecture_filters_look_the_same_when_turned(checks):
    for kernel in (checks.KERNEL_5, checks.FILTER_1, checks.FILTER_2):
        assert (kernel == kernel[::-1, ::-1]).all()


def test_parameters_of_lenet():
    lenet = get_model("lenet")
    layers = [count(layer) for layer in lenet.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert layers == [156, 2416, 48120, 10164, 850]
    assert sum(layers) == count(lenet) == 61_706
    assert all(quoted(f"| {number:,} |") for number in layers)
    assert quoted("61,706")


def test_parameters_without_sharing():
    assert count(nn.Linear(28 * 28, 6 * 28 * 28, device="meta")) == 3_692_640
    assert quoted("3,692,640")


def test_parameters_of_alexnet():
    with torch.device("meta"):
        alexnet = get_model("alexnet")
    assert count(alexnet) == 61_100_840
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in alexnet.modules()) == 8
    assert quoted("61,100,840")


def test_parameters_of_the_mlp_in_the_race():
    assert count(get_model("mlp", hidden_sizes=(76,))) == 60_430
    assert quoted("60,430")


def test_receptive_field_of_the_second_convolution():
    eye = nn.Sequential(nn.Conv2d(1, 1, 5, padding=2), nn.AvgPool2d(2), nn.Conv2d(1, 1, 5))
    X = torch.zeros(1, 1, 28, 28, requires_grad=True)
    eye(X)[0, 0, 4, 4].backward()
    rows, columns = X.grad[0, 0].nonzero().T
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (14, 14)
    assert quoted("14 x 14")


def test_thresholds_in_the_text_are_those_of_the_check(checks):
    compare = checks.TRAIN_LENET.compare
    assert quoted(f"{compare.threshold:.0%}") and quoted(f"{compare.floor:.0%}")
