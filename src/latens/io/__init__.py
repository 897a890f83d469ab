"""Files, locks, signals, JSON and the terminal."""
