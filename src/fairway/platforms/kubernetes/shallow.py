"""JSON of any depth, cut to one that every reader survives.

The API server stores objects that are nested a thousand deep, and one of them in a list would end
the reading of all. Nothing that fairway looks for lies deeper than some twenty: what does becomes
`null`.
"""

import itertools
import re

DEEPEST = 64
TEXT = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
TEXTS, MARKS = re.compile(TEXT, re.DOTALL), re.compile(TEXT + rb"|[\[\]{}]", re.DOTALL)
BRACKETS = b"[]{}"
OTHERS = bytes(set(range(256)) - set(BRACKETS))
STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def cut(content: bytes) -> bytes:
    """Return the JSON with what lies deeper than DEEPEST replaced by null; what is none is returned
    as it is."""
    if content.count(b"[") + content.count(b"{") <= DEEPEST or _depth(content) <= DEEPEST:
        return content
    kept, depth, end = list[bytes](), 0, 0
    for mark in MARKS.finditer(content):
        step = STEP.get(content[mark.start()], 0)
        depth += step
        if step == 1 and depth == DEEPEST + 1:
            kept += [content[end : mark.start()], b"null"]
        if step == -1 and depth == DEEPEST:
            end = mark.end()
    return b"".join([*kept, content[end:]]) if depth == 0 else content


def _depth(content: bytes) -> int:
    brackets = TEXTS.sub(b"", content).translate(None, OTHERS)
    return max(itertools.accumulate(STEP[bracket] for bracket in brackets), default=0)
