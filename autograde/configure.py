"""nbgrader's configuration for labs of this kind, and the step that draws the hidden cases into the gradebook."""

from pathlib import Path
from typing import Any

from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    IncludeHeaderFooter,
    LockCells,
    NbGraderPreprocessor,
    SaveCells,
)
from traitlets import Unicode
from traitlets.config import Config

from autograde.course import Course
from autograde.notebook import HIDDEN, WRITTEN_STUB, hidden_region


class AddHiddenCases(NbGraderPreprocessor):
    """Puts the hidden cases, drawn from the course's secret, into the hidden region of their cells.

    It runs before nbgrader saves the cells to the gradebook, and nbgrader removes the region from what it releases; so
    the cases stand in the gradebook only.
    """

    course = Unicode(help="The course directory").tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> Any:
        """Fill the regions of a notebook that `autograde release` made; others pass through."""
        name = nb.metadata.get("coursekit", {}).get("lab")
        if not name:
            return nb, resources
        from autograde.cases import Workshop, seed_of  # imports torch, and each run reads this file
        from autograde.lab import load_lab
        from coursekit.check.lab import encode

        course = Course(Path(self.course))
        lab = load_lab(course.labs / name)
        by_grade_id = {exercise + HIDDEN: exercise for exercise in lab.exercises}
        with Workshop(lab, course.instructor_data) as workshop:
            for cell in nb.cells:
                grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
                exercise = lab.exercises.get(by_grade_id.get(grade_id, ""))
                if exercise:
                    seed = seed_of(course.secret, lab.name, exercise.name)
                    cases = encode(workshop.draw(exercise, seed, hidden=True))
                    cell.source = cell.source.replace(hidden_region(exercise), hidden_region(exercise, cases))
        return nb, resources


# nbgrader's own steps. The one for tests made by running the notebook (`### AUTOTEST`) is left out: it would execute
# the whole lab, and our checks do not need it.
STUDENT_STEPS = [
    IncludeHeaderFooter,
    LockCells,
    ClearSolutions,
    ClearOutput,
    CheckCellMetadata,
    ComputeChecksums,
    ClearHiddenTests,
    ClearMarkScheme,
    ComputeChecksums,
    CheckCellMetadata,
]
COURSE_STEPS = [
    *STUDENT_STEPS[:5],
    AddHiddenCases,
    ComputeChecksums,
    SaveCells,
    *STUDENT_STEPS[6:],
]


def configure(config: Config) -> None:
    """Set what a course of these labs needs; called by the course's nbgrader_config.py."""
    config.GenerateAssignment.preprocessors = COURSE_STEPS
    config.AddHiddenCases.course = config.CourseDirectory.root
    config.ClearSolutions.text_stub = WRITTEN_STUB
    # A lab loads torch and trained weights before its first cell answers.
    config.Execute.timeout = 120
    config.Execute.startup_timeout = 120
    config.OverwriteCells.add_missing_cells = True
