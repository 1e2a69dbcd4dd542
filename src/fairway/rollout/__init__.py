"""The rollout: `evidence` bets, `judge` says, `strategy` decides what happens next. All pure; time is passed in."""
