"""What the tests leave running is killed, however they end."""

import subprocess
import sys
from uuid import uuid4

import psutil

from tests.support import reaper
from tests.support.process import Running, eventually

# Starts a child whose environment is empty, as psutil sees that of Apple's own programs.
PARENT = """
import subprocess
child = subprocess.Popen(["sleep", "1000"], env={})
print(child.pid, flush=True)
child.wait()
"""


def test_what_carries_the_mark_or_descends_from_it_is_killed_when_standard_input_ends(add):
    mark, other = uuid4().hex, uuid4().hex
    parent = (sys.executable, "-c", PARENT)
    ours, theirs = (add(Running(*parent, env={"NUMBERS_TESTS": name})) for name in (mark, other))
    child, stranger = (psutil.Process(int(one.said(r"^\d+$")[0])) for one in (ours, theirs))
    reaping = add(Running(sys.executable, reaper.__file__, mark, stdin=subprocess.PIPE))
    assert reaping.alive and ours.alive and child.is_running()
    reaping.process.stdin.close()
    assert reaping.ended() == 0
    eventually(lambda: not reaper.runs(child), 5, child)
    assert not ours.alive
    assert theirs.alive and reaper.runs(stranger)
