"""Runs: the plan of a run, its execution, its folder, its log and its environment."""
