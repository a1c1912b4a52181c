"""Who handed in what somebody else did: copies are found under other names, independent right answers are left alone."""

import ast
import json
import re
from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path

import nbformat
import pytest
import torch
from bs4 import BeautifulSoup
from torch import nn
from typer.testing import CliRunner

from autograde.cli import app
from autograde.course import Course
from autograde.errors import CourseError
from autograde.lab import BEGIN_SOLUTION, END_SOLUTION, find_labs, load_lab
from autograde.similarity import ENOUGH, Pair, alike, compare, fingerprint
from autograde.similarity_page import MAX_SHOWN, groups, write_similarity
from coursekit.train import fit

ROOT = Path(__file__).parents[2]
ANN = '''
def scale(x, factor):
    """Return `factor * x`."""
    # first the odd places, then the even ones
    flat = x.flatten()
    odd, even = flat[1::2], flat[::2]
    out = torch.zeros_like(flat)
    for place, value in enumerate(odd):
        out[2 * place + 1] = value * factor
    for place, value in enumerate(even):
        out[2 * place] = value + value * (factor - 1)
    largest = max(out.tolist(), key=abs) if len(flat) > 0 else None
    print(f"scaled {len(flat)} values", largest, sep=": ")
    total = out.sum() - factor * flat.sum()
    assert total.abs() < 1e-3, "something was lost"
    return out.reshape(x.shape)
'''
BOB = '''def scale(matrix, by):
    """I wrote this."""
    numbers = matrix.flatten()

    a, b = numbers[1::2], numbers[::2]  # halves
    answer = torch.zeros_like(numbers)
    for i, n in enumerate(a):
        answer[2*i + 1] = n * by
    for i, n in enumerate(b):
        answer[2*i] = n + n*(by - 1)
    top = max(answer.tolist(), key=abs) if len(numbers) > 0 else None
    print(f"done: {len(numbers)}", top, sep=" ")
    rest = answer.sum() - by*numbers.sum()
    assert rest.abs() < 1e-3, "oh"
    return answer.reshape(matrix.shape)
'''
CEM = """
def scale(x, factor):
    rows = x if x.dim() == 2 else x[None]
    result = torch.stack([torch.stack([cell * factor for cell in row]) for row in rows])
    while result.dim() > x.dim():
        result = result.squeeze(0)
    if not torch.isfinite(result).all():
        raise ValueError(f"not finite: {result}")
    return {True: result, False: x}[result.shape == x.shape]
"""
NETWORK = """
import torch
from torch import nn
class Net(nn.Module):
    def __init__(self, width, depth=2):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.scale = nn.Parameter(torch.ones(width) @ torch.eye(width))

    def forward(self, x):
        for layer in self.layers:
            x = x + torch.tanh(layer(x)) @self.scale.diag()
        return x.mean(dim=-1)
"""


def copied(source: str) -> str:
    """The same with every name of one's own changed, and no comment left."""
    names = {
        "Net": "Model",
        "self": "me",
        "width": "w",
        "depth": "d",
        "layers": "parts",
        "layer": "part",
        "scale": "s",
    }
    return re.sub(r"\w+", lambda word: names.get(word[0], word[0]), source)


@pytest.fixture
def course(students, tiny_course: Course) -> Course:
    """Ann, Bob who has Ann's answer under other names, and a class that has nothing to do with them."""
    reference = students.lab.solutions
    students.submit(
        "ann", {"scale": ANN, "why": "A sum is linear, and so is division by a number that is constant."}
    )
    students.submit("bob", {"scale": BOB}, language="zh")
    students.submit("cem", {"scale": CEM})
    for student in ("dan", "eva"):
        students.submit(student, dict(reference))
    for student in ("fay", "gil"):
        students.submit(student)
    students.submit("hal").write_text("{")
    return tiny_course


def read(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_a_copy_under_other_names_is_found_and_nothing_else(course: Course):
    found = compare(course, "tiny")
    (pair,) = found.pairs
    assert pair.students == ("ann", "bob") and pair.coverage > 0.65 and pair.shared > ENOUGH
    assert list(pair.cells) == [("tiny", "scale")] and pair.cells["tiny", "scale"] > 0.85
    assert found.students == ["ann", "bob", "cem", "dan", "eva", "fay", "gil"]
    assert [student for student, _ in found.notes] == ["hal"] and found.weights == []


def test_what_the_reference_has_is_nobodys_own(course: Course):
    path = course.path("source", ".", "tiny") / "tiny.ipynb"
    notebook = nbformat.read(path, as_version=4)
    (cell,) = (
        cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == "scale"
    )
    cell.source = ANN
    nbformat.write(notebook, path)
    assert compare(course, "tiny").pairs == []


def test_a_copied_written_answer_is_found(course: Course, students):
    english = " and ".join(f"the {number}th mean is a sum that was divided" for number in range(12))
    chinese = "".join(chr(0x4E00 + 7 * i) for i in range(300))
    for name, text in {
        "en1": english,
        "en2": english.replace(" ", "\n"),
        "zh1": chinese,
        "zh2": chinese,
    }.items():
        students.submit(name, {"why": text})
    pairs = {pair.students for pair in compare(course, "tiny").pairs}
    assert pairs == {("ann", "bob"), ("en1", "en2"), ("zh1", "zh2")}


def test_every_fragment_is_kept_so_the_result_is_the_same_each_time():
    found = fingerprint(ANN, "code")
    code = found.filtered_code
    assert len(found.hashes) == len({code[i : i + found.k] for i in range(len(code) - found.k + 1)})


def test_no_name_hides_a_copy_not_even_self_and_of_a_class():
    first, second = fingerprint(NETWORK, "code"), fingerprint(copied(NETWORK), "code")
    assert copied(NETWORK) != NETWORK and first.hashes == second.hashes


def test_a_place_in_the_fragments_is_a_place_in_the_source():
    found = fingerprint("\n\n" + NETWORK, "code")
    places, left_out = found.offsets.T
    assert (left_out[1:] >= left_out[:-1]).all()
    name = found.filtered_code.index("class") + len("class")
    assert found.raw_code[name + left_out[places.searchsorted(name)] :].lstrip().startswith("Net(")


def test_what_many_have_counts_less_but_never_nothing():
    def shared(class_size: int, copies: int) -> float:
        own = {
            f"own{i}": {("n", "c"): fingerprint(f"x = {i} + {i}\n" * 9, "code")}
            for i in range(class_size - copies)
        }
        same = {f"same{i}": {("n", "c"): fingerprint(ANN + CEM + NETWORK, "code")} for i in range(copies)}
        pairs = [pair for pair in alike(own | same) if pair.students[0].startswith("same")]
        assert len(pairs) == copies * (copies - 1) / 2
        return pairs[0].shared

    two, ten, all_ = shared(60, 2), shared(60, 10), shared(60, 60)
    assert two > ten > all_ > two / 4
    assert shared(2, 2) == pytest.approx(two)  # in a class of two, nothing tells common from copied


def renamed(source: str) -> str:
    """The same with other names for all that it binds, where it is not passed by name."""
    nodes = list(ast.walk(ast.parse(source)))
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound -= {node.arg for node in nodes if isinstance(node, ast.keyword)}
    return re.sub(r"(?<![.\w])\w+", lambda word: f"my_{word[0]}" if word[0] in bound else word[0], source)


@pytest.mark.parametrize("folder", find_labs(ROOT / "labs"), ids=lambda path: path.name)
def test_independent_right_answers_of_the_labs_are_left_alone_and_their_copies_are_not(folder: Path):
    lab = load_lab(folder)
    region = re.compile(rf"{BEGIN_SOLUTION}.*?{END_SOLUTION}", re.DOTALL)
    template = set()
    for solution in lab.solutions.values():
        template |= (
            fingerprint(solution, "code").hashes | fingerprint(region.sub("pass", solution), "code").hashes
        )

    def answers(number: int | None, rewritten: Callable[[str], str] = str) -> dict:
        sources = {
            name: lab.solutions[name]
            if number is None
            else exercise.variants[min(number, len(exercise.variants) - 1)]
            for name, exercise in lab.exercises.items()
            if number != 2 or len(exercise.variants) > 2
        }
        return {
            (lab.name, name): fingerprint(rewritten(code), "code", template) for name, code in sources.items()
        }

    class_ = {
        "reference": answers(None),
        "same": answers(None),
        **{f"variant{i}": answers(i) for i in range(3)},
    }
    assert list(alike(class_)) == []
    (pair,) = alike(class_ | {"copy": answers(0, lambda code: "# my own work\n\n" + renamed(code))})
    assert pair.students == ("copy", "variant0") and pair.coverage > 0.95


def test_weights_handed_in_twice_are_told_released_ones_are_not(course: Course):
    folder = {student: course.path("submitted", student, "tiny") for student in ("ann", "cem", "dan", "hal")}
    for student in ("ann", "cem", "hal"):
        (folder[student] / "net.safetensors").write_bytes(b"the same")
    (folder["dan"] / "net.safetensors").write_bytes(b"another")
    for place in (course.path("release", ".", "tiny"), folder["ann"], folder["dan"]):
        (place / "given.safetensors").write_bytes(b"handed out")
    found = compare(course, "tiny")
    (same,) = found.weights
    assert (same.name, same.students) == ("net.safetensors", ["ann", "cem", "hal"])
    assert [pair.students for pair in found.pairs] == [
        ("ann", "bob"),
        ("ann", "cem"),
        ("ann", "hal"),
        ("cem", "hal"),
    ]
    assert [pair.weights for pair in found.pairs] == [(), *[("net.safetensors",)] * 3]


def test_two_trainings_never_give_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What the page says of equal files: even with equal weights, the seconds of the epochs differ."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    written = []
    for _ in range(2):
        torch.manual_seed(0)
        model = nn.Linear(4, 2)
        fit(model, (torch.randn(32, 4), torch.randint(0, 2, (32,))), epochs=1, save="net")
        written.append((model.weight.detach().clone(), Path("net.safetensors").read_bytes()))
    (first, one), (second, other) = written
    assert torch.equal(first, second) and one != other


EVIL = '</pre><script>alert("x")</script>\ud800 = "&amp;"\n'


def test_the_page_marks_what_is_shared_and_runs_nothing(course: Course, students):
    private = "def helper(a, b):\n    return [a for _ in range(b) if a and not b or a ** b]\n\n\n"
    students.submit("ida", {"mean_of": NETWORK + private})
    path = students.submit(
        "jon", {"mean_of": private.replace("a", "q").replace("if", "unless") + copied(NETWORK)}
    )
    notebook = json.loads(path.read_text(encoding="utf-8"))
    (cell,) = (
        each for each in notebook["cells"] if each["metadata"].get("nbgrader", {}).get("grade_id") == "scale"
    )
    cell["source"] = EVIL
    path.write_text(json.dumps(notebook), encoding="utf-8")
    page = read(write_similarity(course, "tiny", compare(course, "tiny")))
    assert not page.find_all(["script", "link", "img", "iframe"])
    assert (
        "default-src 'none'" in page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    )
    (pair,) = (each for each in page.find_all(class_="pair") if "ida" in each.summary.get_text())
    left, right = ([mark.get_text() for mark in side.find_all("mark")] for side in pair.find_all("pre"))
    assert [text.split() for text in left] != [text.split() for text in right]
    for mine, theirs in zip(left, right, strict=True):
        assert fingerprint(mine, "code").filtered_code == fingerprint(theirs, "code").filtered_code
    assert "class Net(nn.Module):" in "".join(left) and "class Model(nn.Module):" in "".join(right)


def test_a_hostile_cell_is_escaped_cut_and_said(course: Course, students):
    for name in ("ida", "jon"):
        path = students.submit(name)
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["metadata"].get("nbgrader", {}).get("grade_id") == "scale":
                cell["source"] = "".join(f"{EVIL}x = {i}\n" for i in range(3000))
        path.write_text(json.dumps(notebook), encoding="utf-8")
    found = compare(course, "tiny")
    assert {
        ("ida", "scale: only 50000 characters compared"),
        ("jon", "scale: only 50000 characters compared"),
    } <= set(found.notes)
    page = read(write_similarity(course, "tiny", found))
    assert (
        not page.find_all("script")
        and '</pre><script>alert("x")</script>' in page.find(class_="pair").pre.get_text()
    )


def test_the_command_in_both_languages_and_as_lines(course: Course, tmp_path: Path):
    def run(*arguments: str):
        return CliRunner().invoke(app, ["similarity", "tiny", "--course", str(course.root), *arguments])

    done = run()
    assert done.exit_code == 0 and "hal: tiny.ipynb: not a notebook" in done.stderr
    page = course.root / "reports" / "tiny-similarity.html"
    assert Path(done.stdout.strip()) == page
    text = " ".join(read(page).get_text().split())
    for part in (
        "For a person to look at",
        "Work that is alike: 1",
        "ann ↔ bob",
        "No weights file",
        "hal: tiny.ipynb",
    ):
        assert part in text
    chinese = read(
        write_similarity(course, "tiny", compare(course, "tiny"), language="zh", output=tmp_path / "zh.html")
    )
    assert chinese.html["lang"] == "zh-CN" and "仅供人工查看" in chinese.get_text()
    done = run("--json")
    (line,) = map(json.loads, done.stdout.splitlines())
    assert line["students"] == ["ann", "bob"] and line["cells"]["tiny/scale"] > 0.85 and line["weights"] == []
    assert "language must be one of en, zh" in str(run("--language", "fr").exception)


def test_a_class_in_which_nobody_is_alike_gives_a_page(tiny_course: Course):
    with pytest.raises(CourseError, match="release it first"):
        compare(tiny_course, "other")
    found = compare(tiny_course, "tiny")
    assert (
        found.pairs == []
        and "No two submissions are alike" in read(write_similarity(tiny_course, "tiny", found)).get_text()
    )


def test_a_large_group_is_named_once_and_does_not_fill_the_page(students, tiny_course: Course):
    names = [f"s{i:02}" for i in range(12)]
    for name in names:
        students.submit(name, {"scale": ANN, "mean_of": CEM + NETWORK})
    found = compare(tiny_course, "tiny")
    assert [pair.students for pair in found.pairs] == list(combinations(names, 2))
    page = read(write_similarity(tiny_course, "tiny", found))
    assert "(12)" in page.get_text() and len(page.find_all(class_="pair")) == MAX_SHOWN < len(found.pairs)
    assert groups([Pair(pair) for pair in pairwise("abc")] + [Pair(("x", "y"))]) == [["a", "b", "c"]]
