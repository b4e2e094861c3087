"""Package data `microgpt.datasets`: the text files that the commands read by default."""
