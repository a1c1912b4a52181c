"""What all figures share: colours everyone can tell apart, a font with Chinese where there is one, no double display."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from coursekit.plot.lettering import fonts_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color universal design" (2008), without the yellow, which is too pale for lines on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
CJK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC", "Hiragino Sans GB",
    "Microsoft YaHei", "SimHei", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Noto Sans CJK JP", "Arial Unicode MS",
)  # fmt: skip


@cache
def cjk_font() -> str | None:
    """The name of an installed font that has Chinese characters, or None: then labels had better be English."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return next((name for name in CJK_FONTS if name in installed), None)


def new_figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """A figure of `width` x `height` inches with a grid of axes (rows, columns).

    It is closed for pyplot at once, so that a notebook shows it once, as the value of its cell, and none piles up.
    """
    import matplotlib
    from matplotlib import pyplot as plt

    font = cjk_font()
    families = matplotlib.rcParams["font.family"]
    # Not rc_context: it would also restore the interactive mode that Jupyter's backend switches on when the first figure
    # is made, and from then on figures of the student's own would not be shown by their cells.
    matplotlib.rcParams["font.family"] = [*([font] if font else []), *families]
    try:
        figure, axes = plt.subplots(
            rows, columns, figsize=(width, height), squeeze=False, layout="constrained"
        )
    finally:
        matplotlib.rcParams["font.family"] = families
    plt.close(figure)
    return figure, axes


def legend_above(ax: Axes) -> None:
    """What the lines of `ax` mean, above it: inside of it no place is free of curves for sure."""
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, prop={"family": fonts_of(ax)}
    )
