"""The models over which the links of the chain are tested; runs in MicroPython too."""

VARIANTS = {  # name: the sizes and switches that are not the default
    "default": {},
    "2 layers": {"n_layer": 2},
    "tied": {"tie_lm_head": True},
    "no norm": {"input_rmsnorm": False},
    "tied, no norm": {"tie_lm_head": True, "input_rmsnorm": False},
    "width 24, 3 heads": {"n_embd": 24, "n_head": 3},
    "odd sizes": {"n_embd": 6, "n_head": 2, "n_layer": 2, "block_size": 5},
    "block 64": {"block_size": 64},
    "2 tokens": {"vocab_size": 2},
    "60 tokens": {"vocab_size": 60},
    "255 tokens": {"vocab_size": 255},
    "255 tokens, tied": {"vocab_size": 255, "tie_lm_head": True},
}
LENGTHS = (5, 1, 0, 70, 15, 3)  # of documents; 70 is longer than any block here


def documents(vocab_size):
    """Return documents of `vocab_size` tokens, BOS at both ends."""
    return [
        [0] + [1 + (i * i + length) % (vocab_size - 1) for i in range(length)] + [0]
        for length in LENGTHS
    ]
