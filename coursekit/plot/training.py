"""Training curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from coursekit.plot.style import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    labels = labels or [f"run {i + 1}" if len(histories) > 1 else "" for i in range(len(histories))]
    if len(labels) != len(histories):
        raise ValueError(
            f"there are {len(histories)} histories and {len(labels)} labels; give one label each"
        )
    measures = ["loss"]
    if any("train_accuracy" in row or "val_accuracy" in row for history in histories for row in history):
        measures.append("accuracy")
    figure, axes = new_figure(1, len(measures), 4.5 * len(measures), 3.2)
    for ax, measure in zip(axes[0], measures, strict=True):
        for i, (history, label) in enumerate(zip(histories, labels, strict=True)):
            for part, style in (("train", "--"), ("val", "-")):
                column = f"{part}_{measure}"
                if column in history.columns:
                    name = f"{label} {part}".strip()
                    color = COLORS[i % len(COLORS)] if len(histories) > 1 else COLORS[part == "train"]
                    ax.plot(
                        history["epoch"], history[column], style, marker="o", ms=4, color=color, label=name
                    )
        ax.set(xlabel="epoch", ylabel=measure)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        ax.legend()
    return figure
