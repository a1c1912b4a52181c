"""What travels to a worker and back arrives as it was sent."""

import json
import math
import pickle
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from autograde.cells import new_cell, new_output, notebook_of
from autograde.course import Limits
from autograde.execute import Executed
from autograde.parcel import pack, read, unpack, written
from autograde.place import Task

LIMITS = Limits(20, 60, 4096, 64, 100_000, 16)
texts = st.text(max_size=40)
indices = st.integers(0, 200)
outputs = st.one_of(
    texts.map(lambda text: new_output("stream", name="stdout", text=text)),
    texts.map(lambda text: new_output("error", ename="E", evalue=text, traceback=[text])),
    st.dictionaries(texts, texts | st.integers() | st.none(), max_size=3).map(
        lambda data: new_output("display_data", data={"application/json": data})
    ),
)
executed = st.builds(
    Executed,
    states=st.dictionaries(indices, st.sampled_from(["ran", "error", "timeout", "died", "no time left"])),
    outputs=st.dictionaries(indices, st.lists(outputs, max_size=3), max_size=4),
    answers=st.dictionaries(indices, st.binary(max_size=60), max_size=4),
    lost=st.lists(indices, max_size=3),
    flags=st.lists(texts, max_size=3),
    unproven=st.lists(indices, max_size=3),
    replays=st.integers(0, 5),
    spent=st.floats(0, 1e6),
    seconds=st.floats(0, 1e6),
)


@settings(deadline=None)
@given(executed)
def test_what_came_of_a_notebook_is_the_same_when_it_is_read_again(one):
    again = read(written(one))
    assert again == one
    assert all(output.output_type for found in again.outputs.values() for output in found)


def test_numbers_that_json_does_not_know_and_broken_characters_travel():
    odd = new_output("display_data", data={"application/json": [math.inf, "\ud800"]})
    again = read(written(Executed(outputs={0: [odd]}))).outputs[0][0]
    assert again.data["application/json"] == [math.inf, "\ud800"]


@settings(deadline=None, max_examples=20)
@given(
    st.dictionaries(st.sampled_from(["a.txt", "sub/ö.bin", "sub/deep/b"]), st.binary(max_size=50)),
    st.booleans(),
)
def test_files_and_questions_arrive(tmp_path_factory, contents, executable):
    home, away = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("away")
    for name, content in contents.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if executable else 0o600)
    files = {Path(name): home / name for name in contents}
    notebook = notebook_of([new_cell("code", "x = 'ß'"), new_cell("markdown", "text")])
    task = Task(notebook, (0,), {"0.safetensors": b"\x00\xff"}, files, LIMITS, True)
    sent = unpack(pickle.loads(pickle.dumps(pack(task))), away)
    assert (sent.notebook, sent.checks, sent.questions) == (notebook, (0,), task.questions)
    assert (sent.limits, sent.gpu) == (LIMITS, True)
    assert {str(name): path.read_bytes() for name, path in sent.files.items()} == contents
    assert all(bool(path.stat().st_mode & 0o100) == executable for path in sent.files.values())
    assert all(path.is_relative_to(away) for path in sent.files.values())


def test_what_comes_back_is_json_and_nothing_is_pickled_in_it():
    content = written(Executed(answers={1: b"\x80\x04."}))
    assert json.loads(content)["answers"] == {"1": "gAQu"}


def test_a_scheduler_imports_nothing_heavy():
    code = "import sys, autograde.remote; print({'torch', 'nbgrader', 'distributed'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
