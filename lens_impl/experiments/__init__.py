"""What is asked for: configuration, runs, settings, costs. Imports neither torch nor pandas."""
