"""What touches the disk, the terminal, signals and processes: files that are whole or absent, JSON, locks, caches."""
