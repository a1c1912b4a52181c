"""Progress: a live table and curves in a notebook, lines of text in a terminal, silence under grading."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from coursekit.train.device import in_notebook, under_grading
from coursekit.train.history import show

if TYPE_CHECKING:
    from coursekit.train.run import BaseRun

REFRESH = 0.3  # seconds between two updates of a bar


def pick_progress(wanted: bool) -> list[Any]:
    """The callbacks that show progress here: one or none."""
    if not wanted or under_grading():
        return []
    return [NotebookProgress()] if in_notebook() else [TextProgress()]


class TextProgress:
    """A line an epoch on stdout; between the lines a bar, where stderr is a terminal."""

    bar: Any = None

    def on_fit_start(self, run: BaseRun) -> None:
        """Open the bar."""
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=run.num_updates, unit="update", leave=False, mininterval=REFRESH)

    def on_step_end(self, run: BaseRun) -> None:
        """Move the bar on."""
        if self.bar is not None:
            self.bar.update()

    def on_epoch_end(self, run: BaseRun) -> None:
        """Print the epoch."""
        if self.bar is not None:
            self.bar.clear()
            self.bar.reset()
        row = run.history[-1]
        cells = [
            f"{name.replace('_', ' ')} {show(name, value)}" for name, value in row.items() if name != "epoch"
        ]
        print(f"epoch {run.epoch}/{run.settings.epochs}: {', '.join(cells)}", flush=True)

    def on_fit_end(self, run: BaseRun) -> None:
        """Close the bar, and say why training ended early."""
        if self.bar is not None:
            self.bar.close()
        if run.history.remark():
            print(run.history.remark(), flush=True)


class NotebookProgress:
    """One display that is updated in place: the table of epochs with a bar, and the curves from the second epoch on."""

    def on_fit_start(self, run: BaseRun) -> None:
        """Open the display."""
        from IPython.display import display

        self.run, self.curves, self.drawn, self.done = run, None, 0.0, False
        self.handle = display(self, display_id=True)

    def on_step_end(self, run: BaseRun) -> None:
        """Move the bar on, a few times a second."""
        now = time.perf_counter()
        if now - self.drawn > REFRESH:
            self.drawn = now
            self.handle.update(self)

    def on_epoch_end(self, run: BaseRun) -> None:
        """Add the epoch to table and curves."""
        from IPython.display import display

        self.handle.update(self)
        if len(run.history) < 2:
            return
        if self.curves is None:
            self.curves = display(run.history.plot(), display_id=True)
        else:
            self.curves.update(run.history.plot())

    def on_fit_end(self, run: BaseRun) -> None:
        """Leave the table without the bar."""
        self.done = True
        self.handle.update(self)

    def _repr_html_(self) -> str:
        run = self.run
        if self.done:
            return run.history._repr_html_()
        total = f' max="{run.num_updates}" value="{run.step}"' if run.num_updates else ""
        where = f"epoch {max(run.epoch, 1)} of {run.settings.epochs}"
        return f"{run.history._repr_html_()}<div><progress{total}></progress> {where}</div>"

    def __repr__(self) -> str:
        return repr(self.run.history)
