"""Package data `microgpt.web`: the pages that `microgpt serve` sends to a browser."""
