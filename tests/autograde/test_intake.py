"""Intake: every submission becomes a well-formed notebook, or a named reason why not."""

import json
import os
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograde.intake import take_in
from autograde.master import read_masters

SCALE = "def scale(x, factor):\n    return factor * x"


@pytest.fixture(scope="module")
def masters(released):
    from autograde.course import Course

    return read_masters(Course(released), "tiny")


@pytest.fixture
def handed_in(released, tmp_path):
    """A folder with the released notebook, one exercise answered, and the notebook as a dictionary."""
    text = (released / "release" / "tiny" / "tiny.ipynb").read_text(encoding="utf-8")
    notebook = json.loads(text)
    next(c for c in notebook["cells"] if grade_id(c) == "scale")["source"] = SCALE
    folder = tmp_path / "tiny"
    folder.mkdir()
    return folder, notebook


def grade_id(cell) -> str:
    return cell["metadata"].get("nbgrader", {}).get("grade_id", "")


def write(folder: Path, notebook, name="tiny.ipynb", encoding="utf-8") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(json.dumps(notebook, ensure_ascii=False).encode(encoding))
    return folder / name


def sources(submission) -> dict[str, str]:
    return {grade_id(cell): cell.source for cell in submission.notebooks["tiny"].cells if grade_id(cell)}


def test_an_ordinary_submission_is_taken_as_it_is(handed_in, masters):
    folder, notebook = handed_in
    write(folder, notebook)
    submission = take_in("ada", folder, masters)
    assert (submission.problem, submission.repairs, submission.flags) == (None, [], [])
    nbformat.validate(submission.notebooks["tiny"])
    assert sources(submission)["scale"] == SCALE
    assert "cases=" in sources(submission)["scale-hidden"], "locked cells are those of the gradebook"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030"])
def test_other_encodings_are_read_and_said(handed_in, masters, encoding):
    folder, notebook = handed_in
    next(c for c in notebook["cells"] if grade_id(c) == "scale")["source"] = f"# 缩放\n{SCALE}"
    write(folder, notebook, encoding=encoding)
    submission = take_in("ada", folder, masters)
    assert sources(submission)["scale"].startswith("# 缩放")
    assert encoding in submission.repairs[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b'{"cells": [', "not a notebook"),
        (b"PK\x03\x04 not json", "not a notebook"),
        (b'{"a": 1}', "no list of cells"),
        (b"[1, 2]", "no list of cells"),
        (b'{"cells": [1, 2]}', "not a notebook"),
        (b"[" * 200_000, "not a notebook"),
        (b"\xff\xfe\x00", "none of the encodings"),
    ],
)
def test_what_cannot_be_read_has_a_reason(tmp_path, masters, content, reason):
    (tmp_path / "tiny.ipynb").write_bytes(content)
    submission = take_in("ada", tmp_path, masters)
    assert not submission.notebooks and reason in (submission.problem or "")


def test_an_empty_folder_is_said(tmp_path, masters):
    assert take_in("ada", tmp_path, masters).problem == "no notebook in it"


def test_deleted_and_changed_cells_come_back_from_the_release(handed_in, masters):
    folder, notebook = handed_in
    cells = notebook["cells"] = [
        c for c in notebook["cells"] if grade_id(c) not in ("scale-check", "mean_of", "mean_of-check")
    ]
    hidden = next(c for c in cells if grade_id(c) == "scale-hidden")
    hidden["source"], hidden["metadata"]["nbgrader"]["points"] = "100.0", 100
    hidden["metadata"]["tags"] = ["skip-execution"]
    write(folder, notebook)
    submission = take_in("ada", folder, masters)
    order = [grade_id(cell) for cell in submission.notebooks["tiny"].cells if grade_id(cell)]
    assert order == masters[0].order
    restored = next(c for c in submission.notebooks["tiny"].cells if grade_id(c) == "scale-hidden")
    assert restored.metadata["nbgrader"]["points"] == 2 and "tags" not in restored.metadata
    assert len(submission.repairs) == 3 and any(
        "scale-hidden was changed" in flag for flag in submission.flags
    )


def test_a_renamed_notebook_in_a_subfolder_is_found_by_its_cells(handed_in, masters):
    folder, notebook = handed_in
    write(folder, notebook, "my work/作业 final (2).ipynb")
    submission = take_in("ada", folder, masters)
    assert sources(submission)["scale"] == SCALE
    assert "renamed" in submission.flags[0]


def test_of_doubled_cells_the_last_answer_counts(handed_in, masters):
    folder, notebook = handed_in
    first = next(c for c in notebook["cells"] if grade_id(c) == "scale")
    later = json.loads(json.dumps(first)) | {"source": "def scale(x, factor):\n    return x * factor"}
    empty = json.loads(json.dumps(first)) | {"source": " "}
    notebook["cells"] += [later, empty]
    write(folder, notebook)
    submission = take_in("ada", folder, masters)
    assert sources(submission)["scale"].endswith("x * factor")
    assert any("more than once" in flag for flag in submission.flags)


def test_links_and_special_files_are_left_out_and_flagged(handed_in, masters, tmp_path):
    folder, notebook = handed_in
    write(folder, notebook)
    secret = tmp_path / "secret.txt"
    secret.write_text("secret", encoding="utf-8")
    (folder / "link.txt").symlink_to(secret)
    (folder / "folder").symlink_to(tmp_path)
    os.link(secret, folder / "hard.txt")
    os.mkfifo(folder / "fifo")
    submission = take_in("ada", folder, masters)
    assert submission.files == {}
    assert len(submission.flags) == 4 and submission.problem is None


def test_format_3_is_converted(handed_in, masters):
    folder, notebook = handed_in
    old = nbformat.convert(nbformat.reads(json.dumps(notebook), as_version=4), 3)
    write(folder, old)
    submission = take_in("ada", folder, masters)
    assert submission.problem is None and any("format 3" in repair for repair in submission.repairs)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_cells_are_lost_moved_or_emptied_every_released_cell_is_there_once(data, handed_in, masters):
    folder, notebook = handed_in
    cells = data.draw(st.permutations(notebook["cells"]))
    kept = [c for c in cells if data.draw(st.booleans())]
    extra = [c for c in kept if data.draw(st.integers(0, 5)) == 0]
    write(folder, notebook | {"cells": kept + extra})
    submission = take_in("ada", folder, masters)
    if submission.problem is None:
        found = [grade_id(cell) for cell in submission.notebooks["tiny"].cells if grade_id(cell)]
        assert sorted(found) == sorted(masters[0].order)
        nbformat.validate(submission.notebooks["tiny"])


def test_a_notebook_that_is_there_is_not_taken_for_one_that_is_missing(handed_in, masters):
    """Ids are unique within a notebook only."""
    folder, notebook = handed_in
    write(folder, notebook)
    twins = [*masters, replace(masters[0], name="other")]
    submission = take_in("ada", folder, twins)
    assert (list(submission.notebooks), submission.missing) == (["tiny"], ["other"])


def test_what_makes_a_notebook_invalid_is_left_out(handed_in, masters):
    folder, notebook = handed_in
    notebook["cells"][0] |= {"metadata": {"tags": "no list"}, "id": "two words"}
    notebook["metadata"]["widgets"] = {"state": "of a kernel that is gone"}
    notebook["cells"].append({"cell_type": "raw", "source": ["a\n", "b"], "metadata": {}, "id": "two words"})
    write(folder, notebook)
    taken = take_in("ada", folder, masters).notebooks["tiny"]
    nbformat.validate(taken)
    assert taken.cells[-1].cell_type == "raw" and taken.cells[-1].source == "a\nb"
    assert len({cell.id for cell in taken.cells}) == len(taken.cells) and "widgets" not in taken.metadata
    assert sources(take_in("ada", folder, masters))["scale"] == SCALE


@pytest.mark.parametrize("metadata", [{}, {"kernelspec": {}}, {"kernelspec": {"name": "science"}}])
def test_a_release_that_says_little_of_its_kernel_gives_valid_notebooks(handed_in, masters, metadata):
    folder, notebook = handed_in
    notebook["metadata"]["kernelspec"] = {"name": "no such", "display_name": "kernel"}
    write(folder, notebook)
    taken = take_in("ada", folder, [replace(masters[0], metadata=metadata)]).notebooks["tiny"]
    nbformat.validate(taken)
    assert taken.metadata.kernelspec.name == metadata.get("kernelspec", {}).get("name", "python3")
