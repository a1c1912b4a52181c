"""A clear message when a batch of images has the wrong shape."""

from torch import Tensor


def check_images(X: Tensor, in_channels: int, image_size: int | None) -> None:
    """Raise a ValueError unless `X` is `(batch, in_channels, image_size, image_size)`.

    `image_size=None` accepts any height and width. The message says what to change.
    """
    shape = tuple(X.shape)
    size = "any" if image_size is None else image_size
    if (
        len(shape) == 4
        and shape[1] == in_channels
        and (image_size is None or shape[2:] == (image_size, image_size))
    ):
        return
    expected = f"(batch, {in_channels}, {'height, width' if image_size is None else f'{size}, {size}'})"
    raise ValueError(
        f"expected images of shape {expected}, got {shape}: {_remedy(shape, in_channels, image_size)}"
    )


def _remedy(shape: tuple[int, ...], in_channels: int, image_size: int | None) -> str:
    """What to do about it, for the mistakes that are common."""
    if len(shape) == 2 and image_size is not None and shape[1] == in_channels * image_size**2:
        return f"the images are flat, X.reshape(-1, {in_channels}, {image_size}, {image_size})."
    if len(shape) == 2 and in_channels == 1:
        return "add the batch and the channel, X[None, None]."
    if len(shape) == 2:
        return f"the model reads {in_channels} channels; a single grey image has one."
    if len(shape) == 3 and shape[0] == in_channels:
        return "add the batch, X[None] or X.unsqueeze(0)."
    if len(shape) == 3 and in_channels == 1:
        return "add the channel, X[:, None] or X.unsqueeze(1)."
    if len(shape) == 4 and shape[3] == in_channels and shape[1] != in_channels:
        return "the channels come second in PyTorch, X.permute(0, 3, 1, 2)."
    if len(shape) == 4 and shape[1] != in_channels:
        return (
            f"build the model with in_channels={shape[1]}, or give it images with {in_channels} channel(s)."
        )
    if len(shape) == 4 and shape[2] == shape[3]:
        return f"build the model with image_size={shape[2]}, or resize the images to {image_size}."
    return "a batch of images has four axes: batch, channel, height, width."
