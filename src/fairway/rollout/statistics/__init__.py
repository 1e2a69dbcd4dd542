"""The statistics behind a rollout.

Wealth that is bet (`betting`), what is bet on (`hypotheses`), and intervals that hold at every
look.
"""
