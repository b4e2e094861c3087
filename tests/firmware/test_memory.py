"""The memory of a model: what is needed, what is refused, and which sizes fit instead."""

import gc
import os

from ugpt import board, memory
from ugpt.adam import Adam
from ugpt.layout import SIZES, Sizes, parameter_count, training_bytes
from ugpt.model import Model

from tests.support.micropython.arrays import raises

FREE = 139840
PIECE = 107784
LARGER = (
    Sizes(n_embd=24),
    Sizes(n_embd=48, n_layer=2),
    Sizes(n_layer=8),
    Sizes(block_size=256),
    Sizes(60, n_embd=24, n_head=3, n_layer=2, block_size=64, tie_lm_head=True, input_rmsnorm=False),
    Sizes(255, n_embd=1024, n_head=64, n_layer=64, block_size=256),
)


def differing(one, other):
    return [name for name in SIZES if getattr(one, name) != getattr(other, name)]


def test_more_is_needed_than_the_buffers_and_more_for_each_larger_size():
    last = 0
    for sizes in (Sizes(), Sizes(n_layer=2), Sizes(n_layer=2, n_embd=24), Sizes(60, 24, 4, 2, 32)):
        need = memory.needed(sizes)
        assert training_bytes(sizes) < need < training_bytes(sizes) + 32768
        assert need > last
        last = need


def test_what_fits_an_esp32():
    for sizes in (
        Sizes(),
        Sizes(n_embd=20),
        Sizes(n_embd=22, n_head=2),
        Sizes(n_embd=12, n_layer=2),
    ):
        assert memory.fits(sizes, FREE, PIECE)
    for sizes in LARGER:
        assert not memory.fits(sizes, FREE, PIECE)


def test_a_piece_can_be_too_small_though_enough_is_free():
    sizes = Sizes()
    assert memory.fits(sizes, FREE, 12 * 4192)
    assert not memory.fits(sizes, FREE, 12 * 4192 - 1)
    expected = "4,192 parameters (n_embd 16, n_head 4, n_layer 1, block_size 16, vocab_size 27)"
    expected += " need 50,304 bytes in one piece, 50,303 are free; what fits: N_EMBD=12"
    assert memory.refusal(sizes, FREE, 12 * 4192 - 1) == expected


def test_the_refusal_has_the_figures_and_the_settings():
    sizes = Sizes(n_embd=48, n_layer=2)
    need = memory.needed(sizes)
    found = memory.nearest(sizes, FREE, PIECE)
    assert [differing(sizes, other) for other in found] == [["n_embd", "n_layer"], ["n_embd"]]
    text = memory.refusal(sizes, FREE, PIECE)
    assert text.startswith(
        "58,656 parameters (n_embd 48, n_head 4, n_layer 2, block_size 16, vocab"
    )
    assert " need {:,} bytes, 139,840 are free; what fits: ".format(need) in text
    settings = "N_EMBD=%d N_LAYER=1, or N_EMBD=%d" % (found[0].n_embd, found[1].n_embd)
    assert text.endswith(settings)


def test_the_nearest_fit_and_nothing_between_does():
    for sizes in LARGER:
        found = memory.nearest(sizes, FREE, PIECE)
        assert 1 <= len(found) <= 3
        counts = [parameter_count(other) for other in found]
        assert counts == sorted(counts, reverse=True)
        texts = [memory.settings_of(other, sizes) for other in found]
        assert len(set(texts)) == len(texts)
        for other in found:
            assert memory.fits(other, FREE, PIECE)
            assert other.vocab_size == sizes.vocab_size
            assert other.tie_lm_head == sizes.tie_lm_head
            assert other.input_rmsnorm == sizes.input_rmsnorm
            if "n_embd" in differing(sizes, other):
                wider = memory._with(other, "n_embd", other.n_embd + other.n_head)
                assert not memory.fits(wider, FREE, PIECE)
            elif "n_layer" in differing(sizes, other):
                deeper = memory._with(other, "n_layer", other.n_layer + 1)
                assert not memory.fits(deeper, FREE, PIECE)
            elif "block_size" in differing(sizes, other):
                longer = memory._with(other, "block_size", other.block_size + 16)
                assert not memory.fits(longer, FREE, PIECE)


def test_no_size_fits_a_board_without_memory():
    assert memory.nearest(Sizes(), 4096, 4096) == []
    assert memory.refusal(Sizes(), 4096, 4096).endswith("what fits: no model with these tokens")


def test_a_board_asks_its_heap():
    free, piece = memory.available()
    if board.NAME == "cpython":  # its memory is not known, and not checked
        assert memory.check(LARGER[-1]) == ""
        return
    assert free > 0
    assert 0 < piece <= free + memory.kernels_to_load()  # these go into the same heap later
    small = Sizes(5, n_embd=4, n_head=2, block_size=4)
    said = "training takes {:,} of ".format(memory.needed(small))
    assert memory.check(small).startswith(said)
    assert raises(memory.TooLarge, lambda: memory.check(LARGER[-1]))
    reusable = memory.needed(LARGER[0])
    memory.check(LARGER[0], reusable)


def test_kernels_take_free_memory_where_machine_code_is_in_the_heap():
    file = memory.__file__
    size = os.stat(file)[6]  # as if this module were the kernels
    names = ("ON_HARDWARE", "MACHINE", "kernels_file", "has_fpu")
    before = [getattr(board, name) for name in names]
    board.kernels_file = lambda architecture: file.rpartition("/")[2]
    try:
        for board.ON_HARDWARE, board.MACHINE, fpu, counted in (
            (False, "", True, False),
            (True, "Generic ESP32 module with ESP32", True, False),
            (True, "Generic ESP32S3 module with ESP32S3", True, True),
            (True, "Raspberry Pi Pico 2 with RP2350", True, True),
            (True, "Raspberry Pi Pico with RP2040", False, False),
        ):
            board.has_fpu = lambda fpu=fpu: fpu
            expected = memory.beyond_spare(size) if counted else 0
            assert memory.kernels_to_load() == expected, board.MACHINE
        board.has_fpu = lambda: True
        board.kernels_file = lambda architecture: "kernels_of_none.mpy"
        assert memory.kernels_to_load() == 0
    finally:
        for name, value in zip(names, before):
            setattr(board, name, value)
    assert memory.beyond_spare(memory.SPARE + 5) == 5


def test_what_is_allocated_is_within_what_is_needed():
    if board.NAME == "cpython":  # it does not say what is allocated
        return
    for sizes in (Sizes(), Sizes(60, 12, 3, 2, 16), Sizes(27, 8, 2, 4, 16, True, False)):
        gc.collect()
        before = gc.mem_alloc()
        model = Model(sizes)
        adam = Adam(model)
        gc.collect()
        allocated = gc.mem_alloc() - before
        buffers = training_bytes(sizes)
        rest = 2 * (memory.needed(sizes) - buffers)  # 64-bit: objects are twice as large
        assert buffers < allocated < buffers + rest
        del model, adam
