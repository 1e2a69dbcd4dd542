"""The rollout: `evidence` bets, `ledger` keeps, `judge` says, `strategy` decides what happens next. All pure; time is passed in."""
