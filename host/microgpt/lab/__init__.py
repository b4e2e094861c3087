"""The laboratory: ablations and sweeps, their statistics, benchmarks, the gradient check."""
