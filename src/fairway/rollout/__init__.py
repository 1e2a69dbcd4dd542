"""The rollout.

`statistics` bet, `guards` say on what, `ledger` keeps, `judge` says, `strategy` decides what
happens next.

All of it is pure; time is passed in.
"""
