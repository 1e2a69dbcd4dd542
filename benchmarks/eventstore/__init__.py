"""How many events a second the collector takes, and how long questions to ten million take."""
