"""The proof of a lab, and that it notices a lab that is wrong."""

from dataclasses import replace

import pytest

from autograde.course import default_labs
from autograde.lab import find_labs, load_lab
from autograde.verify import shortcomings, verify
from coursekit.check.exercise import Misconception

HINT = {"en": "a hint", "zh": "提示"}


def changed(lab, name, **changes):
    return replace(lab, exercises={**lab.exercises, name: replace(lab.exercises[name], **changes)})


def failing(lab):
    return {(f.exercise, f.kind, f.name) for f in verify(lab, seeds=4) if not f.ok}


def test_the_tiny_lab_is_proved(tiny_lab):
    findings = verify(tiny_lab, seeds=4)
    assert all(finding.ok and finding.seeds == 4 for finding in findings)
    assert {finding.kind for finding in findings} == {"reference", "stub", "variant", "misconception"}


def test_a_variant_that_is_wrong_is_noticed(tiny_lab):
    lab = changed(tiny_lab, "scale", variants=["def scale(x, factor):\n    return x"])
    assert failing(lab) == {("scale", "variant", "1")}


def test_a_misconception_that_is_right_is_noticed(tiny_lab):
    same = Misconception("right", "def scale(x, factor):\n    return factor * x", HINT)
    assert failing(changed(tiny_lab, "scale", misconceptions=[same])) == {("scale", "misconception", "right")}


def test_two_misconceptions_that_cannot_be_told_apart_are_noticed(tiny_lab):
    codes = ["def scale(x, factor):\n    return x + factor", "def scale(x, factor):\n    return factor + x"]
    twins = [Misconception(f"twin_{i}", code, HINT) for i, code in enumerate(codes)]
    assert failing(changed(tiny_lab, "scale", misconceptions=twins)) == {("scale", "misconception", "twin_1")}


def test_what_a_lab_lacks_is_said(tiny_lab):
    assert "scale: 2 misconceptions, at least 3" in shortcomings(tiny_lab)
    lab = changed(tiny_lab, "scale", hints=[{"en": "only English"}])
    assert "scale: a title or hint is not in both languages" in shortcomings(lab)


@pytest.mark.slow
@pytest.mark.parametrize("folder", find_labs(default_labs()), ids=lambda folder: folder.name)
def test_every_lab_is_proved(folder):
    lab = load_lab(folder)
    assert shortcomings(lab) == []
    assert [finding for finding in verify(lab, seeds=4) if not finding.ok] == []
