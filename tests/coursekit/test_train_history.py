"""History and what is shown: in a terminal, in a notebook, under grading."""

import io
import json
import os
import re
import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from trainings import net, train

from coursekit.train import History

finite = st.floats(allow_nan=False, allow_infinity=False)


def history(*rows) -> History:
    made = History()
    for i, row in enumerate(rows):
        made.append(epoch=i + 1, **row)
    return made


@given(st.lists(st.fixed_dictionaries({"train_loss": finite}, optional={"val_loss": finite, "lr": finite})))
def test_a_history_survives_json(rows):
    made = history(*rows)
    made.stopped, made.flags = "patience", [{"flag": "weights-missing", "name": "lenet", "detail": "none"}]
    assert History.from_dict(json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize(
    "wrong", [{}, {"rows": 3}, {"rows": [{"loss": 1}]}, {"rows": [{"epoch": "x"}]}, [], None]
)
def test_what_is_no_history_is_refused(wrong):
    with pytest.raises(ValueError):
        History.from_dict(wrong)


def test_rows_columns_and_the_best():
    made = history({"train_loss": 2.0, "val_loss": 1.0}, {"train_loss": 1.0, "val_loss": 1.5})
    assert made[-1]["train_loss"] == 1.0 and made["val_loss"] == [1.0, 1.5] and len(made) == 2
    assert made.best["epoch"] == 1
    assert history({"train_loss": 2.0}, {"train_loss": 1.0}).best["epoch"] == 2
    with pytest.raises(KeyError, match="val_loss"):
        made["loss"]
    with pytest.raises(ValueError, match="none was finished"):
        _ = History().best


def test_the_table_shows_every_number():
    made = train(net(), epochs=2)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(made.table())
    text, html = console.export_text(), made._repr_html_()
    assert set(made.columns) == set(History.COLUMNS)
    for shown in (text, html, repr(made)):
        assert f"{made[-1]['val_accuracy']:.2%}" in shown and f"{made[0]['train_loss']:.4f}" in shown


@pytest.mark.parametrize("epochs", [1, 2, 20, 21, 40, 100])
def test_of_a_long_training_the_tables_show_the_first_the_last_and_evenly_chosen_epochs(epochs):
    made = history(*[{"train_loss": 1 / (i + 1)} for i in range(epochs)])
    html = [int(epoch) for epoch in re.findall(r"<tr><td>(\d+)</td>", made._repr_html_())]
    assert html[0] == 1 and html[-1] == epochs and len(html) == min(epochs, 20)
    steps = [after - before for before, after in pairwise(html)]
    assert all(steps) and max(steps, default=0) - min(steps, default=0) <= 1
    assert [int(line.split()[0]) for line in repr(made).splitlines()[1:]] == html
    assert made.table().row_count == len(html)
    assert len(made) == len(made["train_loss"]) == len(made.to_dict()["rows"]) == epochs


def test_html_of_a_remark_is_escaped():
    made = history({"train_loss": 1.0})
    made.stopped = "<script>"
    assert "<script>" not in made._repr_html_()


SCRIPT = """
import sys, torch
from coursekit.train import fit
X, y = torch.randn(64, 4), torch.arange(64) % 3
fit(torch.nn.Linear(4, 3), (X, y), epochs=2)
fit(torch.nn.Linear(4, 3), (X, y), epochs=1)
for name in ("matplotlib", "transformers", "datasets", "pandas", "IPython", "ipykernel"):
    assert name not in sys.modules, name
"""


@pytest.mark.parametrize("grading", [False, True])
def test_a_terminal_gets_lines_and_a_grader_nothing(grading):
    env = {k: v for k, v in os.environ.items() if k != "NBGRADER_EXECUTION"}
    env |= {"NBGRADER_EXECUTION": "autograde"} if grading else {}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    if grading:
        assert lines == []
    else:
        assert [line.split()[0] for line in lines] == ["Training", "epoch", "epoch", "epoch"]
        assert lines[2].startswith("epoch 2/2: train loss ")
