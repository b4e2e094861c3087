"""The parameter table: the design's names, shapes and offsets."""

from ugpt.layout import Sizes, parameter_count, parameter_table

from tests.support.micropython.arrays import raises


def test_the_table_of_the_4192():
    assert parameter_table(Sizes()) == [
        ("wte", (27, 16), 0),
        ("wpe", (16, 16), 432),
        ("layer0.attn_wq", (16, 16), 688),
        ("layer0.attn_wk", (16, 16), 944),
        ("layer0.attn_wv", (16, 16), 1200),
        ("layer0.attn_wo", (16, 16), 1456),
        ("layer0.mlp_fc1", (64, 16), 1712),
        ("layer0.mlp_fc2", (16, 64), 2736),
        ("lm_head", (27, 16), 3760),
    ]
    assert parameter_count(Sizes()) == 4192


def test_other_sizes():
    sizes = Sizes(vocab_size=5, n_embd=6, n_head=2, n_layer=2, block_size=3, tie_lm_head=True)
    table = parameter_table(sizes)
    assert table[-1] == ("layer1.mlp_fc2", (6, 24), 30 + 18 + 2 * 4 * 36 + 3 * 144)
    assert parameter_count(sizes) == 30 + 18 + 2 * (4 * 36 + 2 * 144)


def test_the_count_is_that_of_the_table_and_needs_none():
    for n_layer in (1, 2, 5):
        for tied in (False, True):
            sizes = Sizes(7, 6, 3, n_layer, 5, tied)
            _, (rows, columns), offset = parameter_table(sizes)[-1]
            assert parameter_count(sizes) == offset + rows * columns
    assert parameter_count(Sizes(n_layer=1000000000)) == 1120 + 1000000000 * 3072


def test_impossible_sizes_are_refused():
    assert raises(ValueError, lambda: Sizes(n_embd=16, n_head=3))
    assert raises(ValueError, lambda: Sizes(n_layer=0))
