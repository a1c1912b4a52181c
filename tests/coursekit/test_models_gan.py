"""gan and conditional_gan: shapes, seeds, classes, gradients, and the norms that the discriminator keeps."""

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from coursekit.models import GAN, get_model, model_info

NAMES = ["gan", "conditional_gan"]
TINY = {"image_size": 8, "width": 4, "latent_size": 6}


def build(name: str, seed: int = 0, **config: int) -> GAN:
    torch.manual_seed(seed)
    return get_model(name, **(TINY | config))


def classes(gan: GAN, n: int) -> tuple[torch.Tensor, ...]:
    return () if gan.num_classes is None else (torch.arange(n) % gan.num_classes,)


@given(
    name=st.sampled_from(NAMES),
    image_size=st.sampled_from([8, 16, 28]),
    in_channels=st.integers(1, 3),
    latent_size=st.integers(1, 9),
    n=st.integers(1, 4),
)
@settings(max_examples=20, deadline=None)
def test_shapes_and_range_at_any_size(
    name: str, image_size: int, in_channels: int, latent_size: int, n: int
) -> None:
    gan = build(name, image_size=image_size, in_channels=in_channels, latent_size=latent_size)
    X = gan.sample(n)
    assert X.shape == (n, in_channels, image_size, image_size) and X.abs().max() <= 1
    assert gan.discriminator(X, *classes(gan, n)).shape == (n,)
    z, images = model_info(name).example_batch(n, **gan.config)
    assert gan.eval()(z).shape == images.shape and images.abs().max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_samples_in_any_mode_and_any_number(name: str) -> None:
    gan = build(name).train()
    first = gan.sample(7, seed=3)
    assert gan.training and not first.requires_grad
    assert torch.equal(gan.eval().sample(7, seed=3), first)
    assert not torch.equal(gan.sample(7, seed=4), first)
    assert not torch.equal(gan.sample(7), gan.sample(7))
    many = gan.sample(1203, seed=3)  # more than are made at once
    assert many.shape[0] == 1203 and gan.sample(0).shape[0] == 0
    before = torch.random.get_rng_state()
    gan.sample(2, seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_model_is_its_generator() -> None:
    gan, z = build("gan").eval(), torch.randn(5, 6)
    assert torch.equal(gan(z), gan.generator(z))
    told, y = build("conditional_gan").eval(), torch.tensor([3, 0, 9, 9, 1])
    assert torch.equal(told(z, y), told.generator(z, y))
    assert torch.equal(told(z), told.generator(z, torch.arange(5)))


def test_classes_in_turn_one_for_all_or_one_each() -> None:
    gan = build("conditional_gan", num_classes=3).eval()
    assert torch.equal(gan.sample(7, seed=0), gan.sample(7, torch.tensor([0, 1, 2, 0, 1, 2, 0]), seed=0))
    assert torch.equal(gan.sample(4, 2, seed=0), gan.sample(4, torch.tensor([2, 2, 2, 2]), seed=0))
    assert not torch.equal(gan.sample(4, 1, seed=0), gan.sample(4, 2, seed=0))


def test_the_discriminator_looks_at_the_class() -> None:
    gan = build("conditional_gan").eval()
    X = gan.sample(1).expand(10, -1, -1, -1)
    assert gan.discriminator(X, torch.arange(10)).unique().numel() == 10


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name: str) -> None:
    gan, n = build(name), 20
    y = classes(gan, n)
    gan.discriminator(gan.generator(torch.randn(n, 6), *y), *y).square().mean().backward()
    assert [name for name, p in gan.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("name", NAMES)
def test_state_round_trips_through_safetensors(name: str) -> None:
    gan = build(name)
    gan(torch.randn(8, 6))  # moves the running statistics
    other = build(name, seed=1)
    assert not torch.equal(other.sample(3, seed=0), gan.sample(3, seed=0))
    other.load_state_dict(safetensors.torch.load(safetensors.torch.save(gan.state_dict())))
    assert torch.equal(other.sample(3, seed=0), gan.sample(3, seed=0))
    X, y = gan.sample(3), classes(gan, 3)
    assert torch.equal(other.eval().discriminator(X, *y), gan.eval().discriminator(X, *y))


@pytest.mark.parametrize("name", NAMES)
def test_runs_in_bf16_and_agrees(name: str) -> None:
    gan = build(name).eval()
    z, y = torch.randn(5, 6), classes(gan, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        X = gan(z, *y)
        logits = gan.discriminator(X, *y)
    assert (X.float() - gan(z, *y)).abs().max() < 0.05
    assert (logits.float() - gan.discriminator(gan(z, *y), *y)).abs().max() < 0.1


def test_convolutions_of_the_discriminator_have_norm_one() -> None:
    discriminator = build("gan").discriminator
    with torch.no_grad():
        for module in discriminator.modules():
            if isinstance(module, nn.Conv2d):
                module.parametrizations.weight.original.mul_(50)
        for _ in range(30):  # the power iteration goes on with each step of training
            discriminator(torch.randn(2, 1, 8, 8))
    norms = [
        torch.linalg.matrix_norm(m.weight.flatten(1), 2).item()
        for m in discriminator.modules()
        if isinstance(m, nn.Conv2d)
    ]
    assert norms == pytest.approx([1.0, 1.0], rel=1e-2)


def test_a_generator_can_learn_an_image_by_heart() -> None:
    gan = build("gan")
    z, target = torch.randn(4, 6), torch.where(torch.rand(4, 1, 8, 8) > 0.5, 0.8, -0.8)
    start, optimizer = 0.0, torch.optim.Adam(gan.generator.parameters(), lr=1e-2)
    for _ in range(200):
        loss = (gan(z) - target).square().mean()
        start = start or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1 * start


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda gan, told: gan(torch.zeros(3, 5)), r"noise of shape \(batch, 6\), got \(3, 5\)"),
        (lambda gan, told: gan.generator(torch.zeros(3, 6), torch.zeros(3)), "knows no classes.*conditional_gan"),
        (lambda gan, told: told.generator(torch.zeros(3, 6)), r"needs the class of each image.*\(3,\), from 0 to 9"),
        (lambda gan, told: told(torch.zeros(3, 6), torch.zeros(3)), r"\(3,\) of torch.int64, got \(3,\) of torch.float32"),
        (lambda gan, told: told.sample(3, torch.tensor([1])), r"one class an image, \(3,\)"),
        (lambda gan, told: told.discriminator(torch.zeros(3, 1, 8, 8)), "needs the class"),
        (lambda gan, told: told.sample(3, torch.tensor([0, 1, 10])), "go from 0 to 10, .*0 to 9"),
        (lambda gan, told: gan.discriminator(torch.zeros(3, 64)), r"X.reshape\(-1, 1, 8, 8\)"),
        (lambda gan, told: get_model("gan", image_size=30), "image_size=30 must be a multiple of 4"),
        (lambda gan, told: get_model("conditional_gan", image_size=4), "at least 8"),
    ],
)  # fmt: skip
def test_wrong_input_is_explained(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(build("gan"), build("conditional_gan"))


@pytest.mark.parametrize(
    ("name", "paper"), [("gan", "Goodfellow et al. 2014"), ("conditional_gan", "Mirza and Osindero 2014")]
)
def test_each_names_its_paper_first(name: str, paper: str) -> None:
    assert paper in model_info(name).summary
