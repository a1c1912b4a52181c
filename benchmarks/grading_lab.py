"""Grading a class that did the lab `cnn_mnist`: `autograde run` in its sandbox against stock `nbgrader autograde`.

As `grading`, with real submissions: right answers of several kinds and wrong ones, with the weights that were trained at
home. Nobody's kernel dies, which would cost a student of nbgrader the whole submission.
"""

from __future__ import annotations

from dataclasses import replace

from autograde import demo
from autograde.course import Course, default_labs
from autograde.lab import Lab, load_lab
from autograde.release import release
from benchmarks.grading import STUDENTS, compare
from benchmarks.result import Result

LAB = "cnn_mnist"


def run(quick: bool) -> Result:
    def prepare(course: Course) -> Lab:
        lab = load_lab(default_labs() / LAB)
        release(course, lab)
        home = demo.solve_at_home(course, lab)
        pupils = [pupil for pupil in demo.class_of(lab, small=True) if pupil.answers]
        for i in range(2 if quick else STUDENTS):
            pupil = pupils[i % len(pupils)]
            demo.hand_in(course, lab, replace(pupil, name=f"student{i:02}"), home)
        return lab

    return compare("grading-lab", default_labs(), prepare, more=0 if quick else 4)
