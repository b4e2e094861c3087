"""Runs: what a run is going to do, its folder, its log and its environment."""
