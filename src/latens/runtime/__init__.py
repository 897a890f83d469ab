"""What the rest runs on: files and their limits, JSON, the terminal, random keys and compiled programs."""
