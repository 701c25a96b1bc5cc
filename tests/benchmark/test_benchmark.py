"""The benchmark's own parts: that it still runs, not what it measures."""

import re
import subprocess
import sys

import pytest

from tests.support.process import PROJECT


def benchmark(*arguments: str) -> subprocess.CompletedProcess:
    """The benchmark, run to its end."""
    command = [sys.executable, "-m", "tests.benchmark", *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=150)


@pytest.mark.full
def test_the_quick_form_of_a_row_prints_its_marks_and_its_table():
    done = benchmark("--quick", "close")
    assert done.returncode == 0, done.stderr
    mark = r"^\| close +\| ≤ .* \| +[\d.]+ \([\d.]+–[\d.]+\) +\| (?:yes|\*\*no\*\*|undecided) +\|$"
    assert len(re.findall(mark, done.stdout, re.M)) == 2, done.stdout
    for contender in ("this project", "kafka-python, bare", "confluent-kafka"):
        assert re.search(rf"^\| {contender} +\|.*\d", done.stdout, re.M), done.stdout


def test_a_row_that_does_not_exist_is_named_beside_those_that_do():
    done = benchmark("backlogs")
    assert done.returncode == 1
    assert re.search(r"No such row: backlogs\. There are start, .*backlog, ", done.stderr), done
