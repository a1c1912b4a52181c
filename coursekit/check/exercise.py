"""How a lab's author describes an exercise, once: inputs, call, comparison, rules, and misconceptions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from coursekit.check.adaptors import ADAPTORS
from coursekit.check.tree import Text, Tree, dumps, loads

Draw = Callable[[np.random.Generator], dict[str, Tree]]

_INSTRUCTOR_DATA: ContextVar[Path | None] = ContextVar("instructor_data", default=None)

BY_HAND = (
    "coursekit.models",
    "coursekit.train",
    "torch.nn.functional.conv2d",
    "torch.conv2d",
    "torch.convolution",
    "torch.nn.Conv2d",
    # Other doors to the same.
    "torch.nn.modules.conv",
    "torch.nn.modules.Conv2d",
    "torch.ops",
    "torch._C",
)


def instructor_folder(checks: str) -> Path:
    """Where the hidden labels of a lab are: `instructor/` beside its `checks` (a file), or the course's own folder for it."""
    lab = Path(checks).resolve().parent
    own = _INSTRUCTOR_DATA.get()
    return lab / "instructor" if own is None else own / lab.name


@contextmanager
def instructor_data(folder: Path | None) -> Iterator[None]:
    """Within the block a lab's hidden labels come from `folder`/LAB; None: from the lab's own folder."""
    token = _INSTRUCTOR_DATA.set(folder)
    try:
        yield
    finally:
        _INSTRUCTOR_DATA.reset(token)


@dataclass(frozen=True)
class Close:
    """Equal within rounding, as `torch.allclose`: |got - expected| <= atol + rtol * |expected|.

    Where the expected values are float16 or bfloat16 their rounding is allowed for (`coursekit.check.compare`).
    """

    rtol: float = 1e-4
    atol: float = 1e-5
    kind: str = "close"


@dataclass(frozen=True)
class Equal:
    """Exactly equal numbers or text (5 and 5.0 are equal)."""

    kind: str = "equal"


@dataclass(frozen=True)
class Accuracy:
    """Share of right classes among predicted scores `(N, C)`, or what stands for them (`coursekit.check.reading`).

    Credit rises linearly from 0 at `floor` to all at `threshold`. The threshold comes from `autograde calibrate`:
    at most the mean minus four standard deviations over at least 20 training seeds.
    """

    floor: float
    threshold: float
    kind: str = "accuracy"

    def __post_init__(self) -> None:
        if not 0 <= self.floor < self.threshold <= 1:
            raise ValueError(f"expected 0 <= floor < threshold <= 1, got {self.floor} and {self.threshold}")


Compare = Close | Equal | Accuracy


@dataclass(frozen=True)
class Rules:
    """What the source of an answer may not use. Names are full, as in `torch.nn.functional.conv2d`.

    A name forbids everything below it too (`coursekit.models` forbids `coursekit.models.get_model`); a name that starts
    with a dot forbids a method of that name on any object (`.unfold`).
    """

    forbid: Sequence[str] = ()
    no_loops: bool = False


@dataclass(frozen=True)
class Misconception:
    """A plausible wrong answer, as code that takes the solution's place, with the hint its author deserves.

    For a check by `Accuracy`, where outputs differ from one training to the next, `symptom` names the pattern in the
    predictions instead (see `coursekit.check.symptoms`).
    """

    name: str
    code: str
    hint: Text
    symptom: str | None = None


@dataclass(frozen=True)
class Exercise:
    """One exercise of a lab.

    Args:
        name: identifier, unique in the lab.
        title: in both languages.
        draw: how to draw the inputs of one case, by group; a group is the unit of partial credit. A single function
            is one group, named "". Inputs are plain data (`coursekit.check.tree`); arrays reach the student as tensors.
        groups: titles of the groups for messages, where a group's name will not do: `{"one step": {"zh": "走一步"}}`; a
            language that is not given shows the name.
        adaptor: how to call the student's object, a name in `coursekit.check.adaptors.ADAPTORS`.
        options: settings of the adaptor.
        compare: how outputs are compared.
        cases: how many cases to draw in each group.
        examples: fixed inputs shown in the public check before the drawn ones, by group.
        draw_hidden: other draws for grading, where public and hidden inputs must come from different data.
        answer: for `Accuracy`, the name of the input that holds the true labels; it never reaches the student's code.
        rules: what the source may not use.
        variants: different correct answers, as code in the solution's place; each must earn full points.
        misconceptions: plausible wrong answers; each must lose points and get its own hint.
        hints: opened by the student one by one.
        needs: names of exercises whose solutions this one calls.
        object: the name to check, when it is not the exercise's own.
    """

    name: str
    title: Text
    draw: Draw | Mapping[str, Draw]
    adaptor: str = "function"
    options: Mapping[str, Tree] = field(default_factory=dict)
    compare: Compare = Close()
    cases: int = 3
    examples: Mapping[str, Sequence[dict[str, Tree]]] = field(default_factory=dict)
    draw_hidden: Draw | Mapping[str, Draw] | None = None
    answer: str | None = None
    rules: Rules = Rules(forbid=BY_HAND)
    variants: Sequence[str] = ()
    misconceptions: Sequence[Misconception] = ()
    hints: Sequence[Text] = ()
    needs: Sequence[str] = ()
    difficulty: int = 1
    minutes: int = 10
    object: str | None = None
    groups: Mapping[str, Text] = field(default_factory=dict)

    def __post_init__(self) -> None:
        draws = [draw for draw in (self.draw, self.draw_hidden) if draw is not None]
        names = {name for draw in draws for name in (draw if isinstance(draw, Mapping) else ("",))}
        for what, used in (("examples", self.examples), ("titles", self.groups)):
            if unknown := sorted(set(used) - names):
                raise ValueError(
                    f"exercise {self.name}: {what} of unknown groups {unknown}; groups: {sorted(names)}"
                )

    @property
    def target(self) -> str:
        """The name in the student's notebook that is checked."""
        return self.object or self.name

    def draw_cases(self, rng: np.random.Generator, *, hidden: bool) -> list["Case"]:
        """Draw inputs: for the public check the fixed examples first, then `cases` of each group."""
        draws = self.draw_hidden if hidden and self.draw_hidden is not None else self.draw
        groups = draws if isinstance(draws, Mapping) else {"": draws}
        cases = []
        for group, draw in groups.items():
            drawn = [draw(rng) for _ in range(self.cases)]
            for inputs in [*([] if hidden else self.examples.get(group, [])), *drawn]:
                # Through bytes and back: the reference sees exactly what a student's object will see.
                inputs = loads(dumps(inputs))
                label = inputs.pop(self.answer) if self.answer else None
                cases.append(Case(group, inputs, expected=label))
        return cases


@dataclass
class Case:
    """One call: its inputs and, where they may be known, the expected output and those of each misconception."""

    group: str
    inputs: dict[str, Tree]
    expected: Tree = None
    wrong: dict[str, Tree] = field(default_factory=dict)


@dataclass
class CaseSet:
    """The cases of one exercise with all that is needed to call, compare and explain: values only, no code."""

    exercise: str
    title: Text
    target: str
    adaptor: str
    options: dict[str, Any]
    compare: dict[str, Any]
    rules: dict[str, Any]
    points: float
    hints: dict[str, Text]  # of each misconception
    symptoms: dict[str, str]  # misconception -> symptom
    cases: list[Case]
    groups: dict[str, Text] = field(default_factory=dict)  # titles, where the name of a group will not do

    def to_tree(self) -> Tree:
        """As plain data for `dumps`."""
        return {**vars(self), "cases": [vars(case) for case in self.cases]}

    @classmethod
    def from_tree(cls, tree: Tree) -> "CaseSet":
        """Back from plain data.

        Raises:
            ValueError: the cases were made for another version of coursekit, and would be misjudged by this one.
        """
        if tree["adaptor"] not in ADAPTORS:
            raise ValueError(
                f"{tree['exercise']} is to be called in a way that this coursekit does not know, {tree['adaptor']!r}"
            )
        return cls(**{**tree, "cases": [Case(**case) for case in tree["cases"]]})

    def questions(self) -> Tree:
        """What may enter the sandbox: how to call, and the inputs; no expected value, no hint."""
        return {
            "exercise": self.exercise,
            "target": self.target,
            "adaptor": self.adaptor,
            "options": self.options,
            "inputs": [case.inputs for case in self.cases],
        }
