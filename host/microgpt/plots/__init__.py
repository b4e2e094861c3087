"""Plots of runs, sweeps and models, as PNG files; they need the extra [plot]."""
