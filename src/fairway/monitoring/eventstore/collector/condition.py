"""How a store is: what is wrong with it for the time being, or for good."""

import asyncio

from fairway import errors


class Condition:
    """What was learnt of one store; `full` is set when its disk takes no more."""

    def __init__(self) -> None:
        self.full = asyncio.Event()
        self._unwell: dict[str, str] = {}  # damage, room, refusal -> the sentence

    @property
    def sentence(self) -> str:
        """Return what is wrong; empty where nothing is."""
        return "; ".join(self._unwell.values())

    def learn(self, error: errors.FairwayError) -> None:
        """Remember what a failure says of the store: most pass by themselves, or are the caller's,
        and say nothing."""
        if isinstance(error, errors.StoreFull):
            self._unwell["room"] = str(error)
            self.full.set()
        elif isinstance(error, errors.StoreDamaged):
            self.damaged(str(error))

    def damaged(self, sentence: str) -> None:
        self._unwell["damage"] = sentence

    def refused(self, sentence: str) -> None:
        """Remember that the store refused, for want of rights say: until a write works again."""
        self._unwell["refusal"] = sentence

    def works(self) -> None:
        """Forget what passes: the store has taken a write."""
        for passing in ("room", "refusal"):
            self._unwell.pop(passing, None)

    def need_sound(self) -> None:
        """Raise StoreDamaged where the store may lose what it takes."""
        if "damage" in self._unwell:
            raise errors.StoreDamaged(self._unwell["damage"])
