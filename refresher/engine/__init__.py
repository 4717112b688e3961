"""What keeps targets fresh: one refresh, what is due next, the tick, the clocks' guard and the board."""
