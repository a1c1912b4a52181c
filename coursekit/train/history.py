"""What a training run did, epoch by epoch, and how a model scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.table import Table

Row = dict[str, float]
Item = TypeVar("Item")

MOST_ROWS = 20  # of a table; of more epochs, evenly chosen ones


class BaseHistory:
    """One row an epoch, as a list of dicts with the keys of `COLUMNS`; a number that does not apply is missing from its row.

    Of a long training the tables show twenty rows: the first, the last, and evenly chosen ones between.

    Attributes:
        rows: the epochs that were finished.
        stopped: why training ended before its last epoch ("interrupted", "patience", "budget", or what a callback
            gave), or "" when it did not.
        flags: what a grader should know, such as {"flag": "weights-missing", "name": ..., "detail": ...}.
        loaded_from: the weights file that this history came from instead of from training, or "".
    """

    COLUMNS: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.stopped = ""
        self.flags: list[dict[str, str]] = []
        self.loaded_from = ""

    def append(self, **row: float | None) -> None:
        """Add an epoch; values that are None are left out."""
        unknown = set(row) - set(self.COLUMNS)
        if unknown:
            raise ValueError(
                f"a history has no column {', '.join(sorted(unknown))}; it has {', '.join(self.COLUMNS)}"
            )
        self.rows.append({name: value for name in self.COLUMNS if (value := row.get(name)) is not None})

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, key: int | str) -> Any:
        """A row by its position (`history[-1]`), or a column as a list (`history["val_loss"]`; nan where missing)."""
        if isinstance(key, int):
            return self.rows[key]
        if key not in self.COLUMNS:
            raise KeyError(f"a history has no column {key!r}; it has {', '.join(self.COLUMNS)}")
        return [row.get(key, math.nan) for row in self.rows]

    @property
    def columns(self) -> list[str]:
        """The columns that hold at least one number, in order."""
        return [name for name in self.COLUMNS if any(name in row for row in self.rows)]

    def table(self) -> Table:
        """A rich table: text in a terminal, HTML in a notebook."""
        from rich.table import Table

        table = Table(caption=self.remark() or None)
        for name in self.columns:
            table.add_column(name.replace("_", " "), justify="right")
        for row in evenly(self.rows, MOST_ROWS):
            table.add_row(*(show(name, row.get(name)) for name in self.columns))
        return table

    def plot(self) -> Figure:
        """The numbers over the epochs, as a matplotlib figure."""
        raise NotImplementedError

    def remark(self) -> str:
        """What is to be said about the run as a whole, in one line; "" when there is nothing."""
        notes = [f"stopped: {self.stopped}"] if self.stopped else []
        notes += [f"loaded from {self.loaded_from}"] if self.loaded_from else []
        notes += [f"{flag['flag']}: {flag['detail']}" for flag in self.flags]
        return "; ".join(notes)

    def __repr__(self) -> str:
        lines = ["  ".join(f"{name.replace('_', ' '):>9}" for name in self.columns)] if self.rows else []
        for row in evenly(self.rows, MOST_ROWS):
            cells = [f"{show(n, row.get(n)):>{max(9, len(n))}}" for n in self.columns]
            lines.append("  ".join(cells))
        return "\n".join([*lines, *filter(None, [self.remark()])]) or f"{type(self).__name__} of no epochs"

    def _repr_html_(self) -> str:
        from html import escape

        head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in self.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{show(n, row.get(n))}</td>" for n in self.columns) + "</tr>"
            for row in evenly(self.rows, MOST_ROWS)
        )
        remark = escape(self.remark() or ("" if self.rows else "no epoch finished yet"))
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><div>{remark}</div>"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` gives an equal history back."""
        return {
            "rows": [dict(row) for row in self.rows],
            "stopped": self.stopped,
            "flags": [dict(flag) for flag in self.flags],
            "loaded_from": self.loaded_from,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """The history that `to_dict` described.

        Raises:
            ValueError: `state` is not such a description (it may come from a file that someone else wrote).
        """
        history = cls()
        try:
            for row in state["rows"]:
                history.append(**{str(k): float(v) for k, v in row.items()})
            for row in history.rows:
                row["epoch"] = int(row["epoch"])
            history.stopped = str(state["stopped"])
            history.flags = [{str(k): str(v) for k, v in flag.items()} for flag in state["flags"]]
            history.loaded_from = str(state["loaded_from"])
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"this is no history as to_dict writes it: {error!r}") from error
        return history

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # a history grows


class History(BaseHistory):
    """What `fit` returns: one row an epoch, as a list of dicts with the keys of `COLUMNS`.

    `train_loss` and `train_accuracy` are means over the epoch while the weights change; `val_loss` and
    `val_accuracy` are measured after it; `lr` is the rate of the last step, `grad_norm` the mean norm of the gradient
    before clipping, `seconds` wall time with validation. A number that does not apply is missing from the row.
    """

    COLUMNS = (
        "epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "grad_norm", "seconds",
    )  # fmt: skip

    @property
    def best(self) -> Row:
        """The epoch with the lowest validation loss, or training loss where nothing was validated.

        Raises:
            ValueError: no epoch was finished.
        """
        if not self.rows:
            raise ValueError("there is no best epoch: none was finished")
        return min(self.rows, key=lambda row: row.get("val_loss", row["train_loss"]))

    def plot(self) -> Figure:
        """Loss and accuracy over the epochs, as a matplotlib figure."""
        from coursekit.plot import curves

        return curves(self)


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many of the items, 2 or more: the first, the last, and evenly chosen ones between."""
    step = max(1, (len(items) - 1) / (most - 1))
    return [items[round(i * step)] for i in range(min(len(items), most))]


def show(name: str, value: float | None) -> str:
    """A number of the column `name` as people read it."""
    if value is None:
        return ""
    if name == "epoch":
        return str(int(value))
    if name.endswith("accuracy"):
        return f"{value:.2%}"
    if name == "seconds":
        return f"{value:.1f}"
    return f"{value:.2e}" if name == "lr" else f"{value:.4f}"


class Scores(dict[str, float]):
    """What `evaluate` measured: `loss`, and `accuracy` (0 to 1) where there are classes; also as attributes."""

    def __getattr__(self, name: str) -> float:
        if name in self:
            return self[name]
        raise AttributeError(f"these scores have no {name!r}; they have {', '.join(self)}")

    @property
    def perplexity(self) -> float:
        """e to the loss: among how many equally likely tokens a language model wavers (`PerToken`, `TruncatedBPTT`)."""
        return math.exp(self["loss"])

    def __repr__(self) -> str:
        return ", ".join(f"{name} {show(name, value)}" for name, value in self.items())
