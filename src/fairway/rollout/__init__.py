"""The rollout: `evidence` bets, `guards` say what is bet on, `ledger` keeps, `judge` says, `strategy` decides what happens next. All pure, time passed in."""
