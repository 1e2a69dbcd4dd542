import gc
import subprocess
import sys

from fairway import garbage

# an object that only knows itself, and says when it is found
LEFT = """
import gc
from fairway import garbage

class Found:
    def __del__(self):
        print("found")

gc.disable()
one = Found()
one.itself = one
del one
"""


def ended(code: str) -> str:
    asked = [sys.executable, "-c", LEFT + code]
    return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_process_ends_without_looking_for_garbage():
    assert ended("") == "found\n"
    assert ended("garbage.left_at_end(); garbage.left_at_end()") == ""


def test_garbage_is_looked_for_seldom_and_then_as_before():
    before = gc.get_threshold()
    with garbage.seldom():
        assert gc.get_threshold()[0] == garbage.OBJECTS
    assert gc.get_threshold() == before
