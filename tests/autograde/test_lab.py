"""A wrong, unbalanced or doubled marker stops the release with file, line and what was expected."""

import shutil
from pathlib import Path

import pytest

from autograde.errors import LabError
from autograde.lab import load_lab

TINY = Path(__file__).parent / "tiny"


@pytest.fixture
def edited(tmp_path: Path):
    """Load the tiny lab with one text of `lab.py` replaced."""

    def load(old: str, new: str, filename: str = "lab.py"):
        folder = tmp_path / "tiny"
        shutil.copytree(TINY, folder, dirs_exist_ok=True)
        path = folder / filename
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return load_lab(folder)

    return load


def line_of(text: str) -> int:
    return next(
        i
        for i, line in enumerate((TINY / "lab.py").read_text(encoding="utf-8").splitlines(), 1)
        if text in line
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ('exercise="scale"', 'exercize="scale"', 'exercise="scale"', "unknown exercize"),
        ("    ### END SOLUTION\n", "", 'exercise="scale"', "never closed"),
        ("    ### BEGIN SOLUTION\n", "", "### END SOLUTION", "`### BEGIN SOLUTION` was expected"),
        ('# %% exercise="mean_of"', '# %% exercise="scale"', 'exercise="mean_of"', "stands twice"),
        ('check="scale" points=1 hidden=2', 'check="scale" points=1', 'check="scale"', "needs hidden"),
        (
            'check="scale" points=1 hidden=2',
            'check="scale" points="one" hidden=2',
            'check="scale"',
            "number from 0",
        ),
        ('lang="zh" about="scale"', 'lang="en" about="scale"', 'lang="en" about="scale"', 'lang="zh" twin'),
        ('lang="zh" about="scale"', 'lang="zh" about="mean_of"', 'lang="en" about="scale"', "about the same"),
        ('lang="zh"\n# # 一', 'lang="fr"\n# # 一', 'lang="zh"', "must be"),
        ("# %% setup=true", "# %%", None, "exactly one"),
        ('# %% check="mean_of" points=1 hidden=1\n', "", None, "no `# %% check="),
        ('exercise="scale"', 'exercise="unknown"', 'exercise="scale"', "not in checks.py"),
        (
            "print(scale",
            "### BEGIN SOLUTION\n### END SOLUTION\nprint(scale",
            "print(scale",
            "stands in a code cell",
        ),
    ],
)
def test_a_wrong_marker_is_named_with_its_line(edited, old, new, line, expected):
    with pytest.raises(LabError) as caught:
        edited(old, new)
    message = str(caught.value)
    assert "lab.py" in message and expected in message
    if line is not None:
        at = line_of(line)
        assert any(f":{n}:" in message for n in (at - 1, at, at + 1)), (message, at)


def test_the_points_must_be_those_of_lab_toml(edited):
    with pytest.raises(LabError, match=r"7 points, lab.toml says 8"):
        edited("points = 7", "points = 8", "lab.toml")


def test_a_folder_that_is_no_lab_says_what_is_missing(tmp_path):
    with pytest.raises(LabError, match=r"no lab\.py"):
        load_lab(tmp_path)


@pytest.mark.parametrize("hint", ["the $x$ of it", "this is *not* so"])
def test_a_hint_in_a_box_has_no_markup_but_code(edited, hint):
    with pytest.raises(LabError, match=r"the hint of scale, .* knows `code` and no other"):
        edited("You add the factor instead of multiplying by it.", hint, "checks.py")
    edited("You add the factor instead of multiplying by it.", "you give `a * b` and `$x`", "checks.py")


def test_exercises_are_numbered_as_they_come(edited):
    with pytest.raises(
        LabError, match=r"lab.py:\d+: exercise 'scale' comes where EXERCISES .* has 'mean_of'"
    ):
        edited("        ],\n    ),\n]\n", "        ],\n    ),\n]\nEXERCISES.reverse()\n", "checks.py")
