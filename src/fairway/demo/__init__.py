"""`fairway demo`: the story of a model in service, played on one machine with real data, real
servers and real traffic."""
