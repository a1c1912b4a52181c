"""Checkpoints: everything that a resumed run needs to equal the uninterrupted one, bit for bit on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from coursekit.train import rng
from coursekit.train.errors import TrainingError
from coursekit.train.files import replacing
from coursekit.train.history import History
from coursekit.train.run import Run


class Checkpoint:
    """A callback that writes `path` after each epoch; it stands last, so that it sees what the others did."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def on_epoch_end(self, run: Run) -> None:
        """Write model, optimiser, schedule, generators, callbacks and history, in place of the last file."""
        if not run.whole:
            return  # a resumed run goes on from the last whole epoch
        state = {
            "settings": run.settings.to_dict(),
            "model": run.model.state_dict(),
            "optimizer": run.optimizer.state_dict(),
            "schedule": run.schedule.state_dict(),
            "rng": run.team.gather(rng.get_state()),
            "generators": [g.get_state() for g in generators(run)],
            "callbacks": [c.state_dict() for c in stateful(run)],
            "history": run.history.to_dict(),
            "epoch": run.epoch,
        }
        if run.team.rank == 0:
            with replacing(self.path) as part:
                torch.save(state, part)

    def resume(self, run: Run) -> None:
        """Put the run back to where the file left it; a run without a file yet starts at the beginning.

        Raises:
            TrainingError: the file is from another run (settings, model), or is damaged.
        """
        state = run.team.first(lambda: self.read() if self.path.exists() else None)
        if state is None:
            return
        changes = run.settings.changes(state["settings"])
        if changes:
            raise TrainingError(
                f"{self.path} is the checkpoint of a run with other settings ({changes}); give the same settings, "
                "or another checkpoint path, or resume=False to start again"
            )
        try:
            run.model.load_state_dict(state["model"])
        except RuntimeError as error:
            raise TrainingError(f"{self.path} is the checkpoint of another model: {error}") from error
        run.optimizer.load_state_dict(state["optimizer"])
        run.schedule.load_state_dict(state["schedule"])
        for callback, saved in zip(stateful(run), state["callbacks"], strict=True):
            callback.load_state_dict(saved)
        for generator, saved in zip(generators(run), state["generators"], strict=True):
            generator.set_state(saved)
        if run.team.rank < len(state["rng"]):  # of more processes than before, the new ones draw anew
            rng.set_state(state["rng"][run.team.rank])
        run.history, run.epoch = History.from_dict(state["history"]), state["epoch"]
        if run.history.stopped == "budget":
            run.history.stopped = ""  # there is a new one
        run.keep()

    def read(self) -> dict[str, Any]:
        """The content of the file; tensors and plain data only, nothing in it is executed."""
        try:
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except (
            Exception
        ) as error:  # torch.load has no error of its own: it raises what zip, pickle and I/O raise
            raise TrainingError(
                f"cannot read the checkpoint {self.path} ({error}); delete it to start again"
            ) from error


def generators(run: Run) -> list[torch.Generator]:
    """The shuffle generator, and those of a DataLoader."""
    return [run.generator, *run.train.generators()]


def stateful(run: Run) -> list[Any]:
    """The callbacks that have something to keep."""
    return [c for c in run.callbacks if hasattr(c, "state_dict") and hasattr(c, "load_state_dict")]
