"""Training curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from coursekit.plot.lettering import drawable, fonts_of
from coursekit.plot.style import COLORS, legend_above, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = ("loss", "accuracy")
STYLES: dict[str, Literal["--", "-"]] = {"train": "--", "val": "-"}
MARKERS = "os^D"  # the next one when the colours begin again


class History(Protocol):
    """What is drawn: one row an epoch, and the values of a column by its name; `coursekit.train.History` is one."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""
        ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Mapping[str, Any]]: ...

    def __getitem__(self, key: Any, /) -> Any: ...


def curves(
    histories: History | Sequence[History] | Mapping[str, History], labels: Sequence[str] | None = None
) -> Figure:
    """Loss and accuracy by epoch: dashed in training, solid in validation, one colour a history.

    Args:
        histories: one history, several, or several by name.
        labels: a name for each, where they have none yet.

    Raises:
        ValueError: there is nothing to draw, or not one label a history.
    """
    if isinstance(histories, Mapping):
        labels, histories = list(histories), list(histories.values())
    if not isinstance(histories, Sequence):
        histories = [histories]
    if not any(len(history) for history in histories):
        raise ValueError("there is nothing to draw: no epoch was finished")
    several = len(histories) > 1
    labels = labels or [f"run {i + 1}" if several else "" for i in range(len(histories))]
    if len(labels) != len(histories):
        raise ValueError(
            f"there are {len(histories)} histories and {len(labels)} labels; give one label each"
        )
    present = {column for history in histories for column in history.columns}
    measures = [measure for measure in MEASURES if {f"train_{measure}", f"val_{measure}"} & present]
    figure, axes = new_figure(1, len(measures), 4.5 * len(measures) + (1.2 if several else 0), 3.2)
    for ax, measure in zip(axes[0], measures, strict=True):
        for i, (history, label) in enumerate(zip(histories, labels, strict=True)):
            for part, style in STYLES.items():
                column = f"{part}_{measure}"
                if column in history.columns:
                    ax.plot(
                        history["epoch"],
                        history[column],
                        style,
                        marker=MARKERS[i // len(COLORS) % len(MARKERS)],
                        markevery=max(1, len(history) // 15),
                        ms=4,
                        color=COLORS[i % len(COLORS)] if several else COLORS[part == "train"],
                        label=f"{label} {part}".strip(),
                    )
        ax.set(xlabel="epoch", ylabel=measure)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        if not several:
            legend_above(ax)
    if several:
        _legend(figure, axes[0, 0], labels, [part for part in STYLES if f"{part}_loss" in present])
    return figure


def _legend(figure: Figure, ax: Axes, labels: Sequence[str], parts: Sequence[str]) -> None:
    """Beside the pictures, what the colours mean and what the dashes mean: two lines a history would hide the curves."""
    from matplotlib.lines import Line2D

    lines = [
        Line2D(
            [],
            [],
            color=COLORS[i % len(COLORS)],
            marker=MARKERS[i // len(COLORS) % len(MARKERS)],
            ms=4,
            label=drawable(str(label), fonts_of(ax)),
        )
        for i, label in enumerate(labels)
    ]
    lines += [Line2D([], [], color="gray", linestyle=STYLES[part], label=part) for part in parts]
    figure.legend(handles=lines, loc="outside right upper", prop={"family": fonts_of(ax)})
