"""Checkpoints: whole, two of them, of this run or left alone; and the same bits after a resume."""

import os
import struct
from binascii import crc32

from ugpt import checkpoint
from ugpt.checkpoint import NEWEST, OLDER, SCRATCH, CheckpointError, Checkpoints, DamagedError
from ugpt.layout import NUMBERS
from ugpt.training import Diverged, Training

from tests.support.micropython.arrays import raises
from tests.support.micropython.checkpoints import Names, Silent, small, state

HEAP = "1m"  # two runs at a time
HERE = "checkpoint-test-"  # before the names of the files: a folder of our own
SIZE = 64 + 3 * 4 * 20 + 4


def content(name):
    with open(HERE + name, "rb") as file:
        return file.read()


def put(name, data):
    with open(HERE + name, "wb") as file:
        file.write(data)


def there():
    """Return which checkpoints are there."""
    return [name for name in (SCRATCH, NEWEST, OLDER) if HERE + name in os.listdir()]


def fresh():
    checkpoint.remove(HERE)
    return Checkpoints(0, HERE)


def resumed(run):
    """Return `run` after a new start of the board, and its checkpoints."""
    checkpoints = Checkpoints(0, HERE)
    checkpoints.resume(run)
    return run, checkpoints


def test_the_format():
    fresh().save(small(step=3, steps=50, seed=7, origin=1))
    data = content(NEWEST)
    assert len(data) == SIZE
    assert data[:8] == b"UGPTCKPT"
    assert struct.unpack("<14I", data[8:64])[:10] == (1, 1, 1, 1, 1, 1, 20, 0xCAFE0000, 7, 50)
    assert struct.unpack("<f3I", data[48:64]) == (0.5, 3, 4000000003, 1)
    assert struct.unpack("<3f", data[64:76]) == (60.25, 61.25, 62.25)
    assert struct.unpack("<f", data[64 + 80 : 68 + 80]) == (60.5,)
    assert struct.unpack("<I", data[-4:])[0] == crc32(data[:-4])
    checkpoint.remove(HERE)


def test_what_was_saved_comes_back():
    fresh().save(small(step=5, origin=1))
    run, checkpoints = resumed(small())
    assert state(run) == state(small(step=5, origin=1))
    assert run.rng.state == run.rng_state
    assert checkpoints.found == NEWEST
    assert not checkpoints.locked
    checkpoint.remove(HERE)


def test_without_a_checkpoint_a_new_run_begins():
    checkpoints = fresh()
    run = small()
    checkpoints.resume(run)
    assert state(run) == state(small())
    assert checkpoints.seed() == 0
    assert there() == []


def test_two_generations():
    checkpoints = fresh()
    for step in (1, 2, 3):
        checkpoints.save(small(step=step))
        assert there() == ([NEWEST] if step == 1 else [NEWEST, OLDER])
    assert resumed(small())[0].step == 3
    os.remove(HERE + NEWEST)
    run, checkpoints = resumed(small())
    assert state(run) == state(small(step=2))
    checkpoints.save(small(step=4))
    assert there() == [NEWEST, OLDER]
    checkpoint.remove(HERE)


def test_a_step_is_saved_once():
    checkpoints = fresh()
    checkpoints.save(small(step=1))
    checkpoints.save(small(step=2))
    checkpoints.save(small(step=2))
    assert content(OLDER) != content(NEWEST)
    run, checkpoints = resumed(small())
    checkpoints.save(run)
    assert content(OLDER) != content(NEWEST)
    checkpoint.remove(HERE)


def test_a_damaged_one_gives_way_to_the_one_before():
    for damage in (
        lambda data: data[:-1],
        lambda data: data[:70] + b"?" + data[71:],
        lambda _: b"",
    ):
        checkpoints = fresh()
        checkpoints.save(small(step=1))
        checkpoints.save(small(step=2))
        put(NEWEST, damage(content(NEWEST)))
        run, checkpoints = resumed(small())
        assert state(run) == state(small(step=1))
        assert checkpoints.found == OLDER
        assert len(checkpoints.damaged) == 1
        assert "checkpoint.bin is damaged" in checkpoints.damaged[0]
        older = content(OLDER)
        checkpoints.save(small(step=3))
        assert content(OLDER) == older  # the only whole one was not replaced by the damaged one
        assert resumed(small())[0].step == 3
    checkpoint.remove(HERE)


def test_both_damaged_is_a_fresh_run_that_is_saved():
    fresh()
    put(NEWEST, b"?" * 10)
    put(OLDER, b"?" * SIZE)
    run, checkpoints = resumed(small())
    assert state(run) == state(small())
    assert len(checkpoints.damaged) == 2
    checkpoints.save(small(step=1))
    assert resumed(small())[0].step == 1
    checkpoint.remove(HERE)


def test_one_of_another_run_is_left_alone():
    others = {"seed": 43, "steps": 101, "lr": 0.25}  # ours has fewer steps
    for name in others:
        checkpoints = fresh()
        checkpoints.save(small(step=1, **others))
        ours = {other: others[other] for other in others if other != name}
        run, checkpoints = resumed(small(**ours))
        assert state(run) == state(small(**ours))
        assert "is of another run (%s " % name in checkpoints.locked, checkpoints.locked
        before = content(NEWEST)
        run.step = 7
        assert raises(CheckpointError, checkpoints.save, run)
        assert not checkpoints.try_save(run)
        assert there() == [NEWEST]
        assert content(NEWEST) == before
    checkpoint.remove(HERE)


def test_more_steps_extend_a_run():
    whole = Training(Names(), seed=3, steps=4)
    checkpoint.remove(HERE)
    whole.run(Silent(), Checkpoints(0, HERE))
    longer = Training(Names(), seed=3, steps=8)
    run, checkpoints = resumed(longer)
    assert (run.step, run.steps, run.origin) == (4, 8, checkpoint.EXTENDED | checkpoint.MIXED)
    assert run.lr_at(4) == run.lr / 2
    assert raises(KeyboardInterrupt, run.run, Silent(stop_after=5), checkpoints)
    again = resumed(Training(Names(), seed=3, steps=8))[0]  # after a loss of power
    assert (again.step, again.origin) == (6, run.origin)
    again.run(Silent())
    fresh().save(whole)
    uninterrupted = resumed(Training(Names(), seed=3, steps=8))[0]
    uninterrupted.run(Silent())
    assert state(again) == state(uninterrupted)
    checkpoint.remove(HERE)


def test_one_of_another_list_of_names_is_left_alone():
    for name, value, text in (("count", 19, "data 20, not 19"), ("crc", 1, "another list of")):
        fresh().save(small(step=1))
        run = small()
        setattr(run.dataset, name, value)
        _, checkpoints = resumed(run)
        assert run.step == 0
        assert text in checkpoints.locked, checkpoints.locked
    checkpoint.remove(HERE)


def test_one_of_another_shape_is_left_alone():
    fresh().save(small(step=1))
    run = small()
    run.model.sizes.n_embd = 2
    _, checkpoints = resumed(run)
    assert run.step == 0
    assert "n_embd 1, not 2" in checkpoints.locked
    checkpoint.remove(HERE)


def test_the_switches_are_bits_of_the_origin():
    for switches, bits in (((), 4), ((True, True), 12), ((False, False), 20), ((True, False), 28)):
        fresh().save(small(step=1, switches=switches, origin=checkpoint.MIXED))
        with open(HERE + NEWEST, "rb") as file:
            header = checkpoint.read_header(file, NEWEST)
        assert header["origin"] == bits
        sizes = checkpoint.sizes_of(header)
        assert (sizes.tie_lm_head, sizes.input_rmsnorm) == (switches or (False, True))
        assert [getattr(sizes, name) for name in NUMBERS] == [1] * 5
        run, checkpoints = resumed(small(switches=switches))
        assert run.step == 1, checkpoints.locked
        for other in ((False, True), (True, True), (False, False), (True, False)):
            run, checkpoints = resumed(small(switches=other))
            assert (run.step == 1) == (other == (switches or (False, True))), checkpoints.locked
    assert (
        "of another run (tie_lm_head 1, not 0)" in resumed(small(switches=(False, False)))[1].locked
    )
    assert "of another run (input_rmsnorm 0, not 1)" in resumed(small(switches=(True,)))[1].locked
    checkpoint.remove(HERE)


def test_one_of_another_version_is_left_alone():
    fresh().save(small(step=1))
    data = content(NEWEST)[:-4]
    data = data[:8] + struct.pack("<I", 2) + data[12:] + b"and more"
    put(NEWEST, data + struct.pack("<I", crc32(data)))
    run, checkpoints = resumed(small())
    assert run.step == 0
    assert "format version 2" in checkpoints.locked
    checkpoint.remove(HERE)


def test_a_file_that_is_not_a_checkpoint_is_damaged():
    fresh()
    data = bytes(SIZE)
    put(NEWEST, data + struct.pack("<I", crc32(data)))
    with open(HERE + NEWEST, "rb") as file:
        assert raises(DamagedError, checkpoint.read_header, file, NEWEST)
    checkpoint.remove(HERE)


def test_one_with_impossible_sizes_gives_way_to_the_one_before():
    checkpoints = fresh()
    for step in (1, 2):
        checkpoints.save(small(step=step))
    data = content(NEWEST)[:-4]
    data = data[:12] + struct.pack("<5I", 2, 5, 4, 1, 1) + data[32:]  # n_embd 5, n_head 4
    put(NEWEST, data + struct.pack("<I", crc32(data)))
    run, checkpoints = resumed(small())
    assert (checkpoints.found, run.step) == (OLDER, 1)
    damaged = "checkpoint.bin is damaged: n_embd 5 is not divisible by n_head 4"
    assert checkpoints.damaged == [damaged]
    checkpoint.remove(HERE)


def test_saved_when_a_save_is_due():
    checkpoint.remove(HERE)
    checkpoints = Checkpoints(2, HERE)
    for step, us, saved in ((1, 1999999, None), (2, 1, 2), (3, 1000000, 2), (4, 1000000, 4)):
        checkpoints.after_step(small(step=step), us)
        assert checkpoints.saved_step == saved
    checkpoint.remove(HERE)


def test_a_resumed_run_ends_with_the_same_bits():
    checkpoint.remove(HERE)
    whole = Training(Names(), seed=3, steps=9)
    whole.run(Silent())
    first = Training(Names(), seed=3, steps=9)
    assert raises(KeyboardInterrupt, first.run, Silent(stop_after=4), Checkpoints(1000, HERE))
    second = Training(Names(), seed=3, steps=9)
    checkpoints = Checkpoints(0, HERE)
    checkpoints.resume(second)
    assert second.step == 5
    second.run(Silent(), checkpoints)
    assert state(second) == state(whole)
    third = Training(Names(), seed=3, steps=9)
    checkpoints = Checkpoints(0, HERE)
    checkpoints.resume(third)
    assert state(third) == state(whole)
    third.run(Silent(), checkpoints)  # complete: nothing to do
    assert state(third) == state(whole)
    checkpoint.remove(HERE)


def test_a_run_whose_loss_is_not_a_number_stops_and_is_not_saved():
    checkpoints = fresh()
    training = Training(Names(), seed=3, steps=4)
    training.run_step()
    checkpoints.save(training)
    before = content(NEWEST)
    training.run_step()
    for i in range(len(training.model.params)):
        training.model.params[i] = float("nan")
    assert raises(Diverged, training.run, Silent(), checkpoints)
    assert training.step == 2
    assert content(NEWEST) == before
    checkpoint.remove(HERE)


def test_a_whole_one_without_all_of_the_model_is_left_alone():
    training = Training(Names(), seed=3, steps=4)
    checkpoint.remove(HERE)
    checkpoint.write(HERE + NEWEST, checkpoint.header_of(training), (training.model.params,))
    before = state(training)
    _, checkpoints = resumed(training)
    assert "is damaged" in checkpoints.locked
    assert state(training) == before
    checkpoint.remove(HERE)


def test_an_interrupted_step_is_done_again():
    whole = Training(Names(), seed=3, steps=4)
    whole.run(Silent())
    training = Training(Names(), seed=3, steps=4)
    loss_of = training.model.loss_of

    def interrupt(n):
        loss_of(n)
        training.model.loss_of = loss_of
        raise KeyboardInterrupt

    training.run_step()
    training.model.loss_of = interrupt
    assert raises(KeyboardInterrupt, training.run_step)
    assert training.step == 1
    training.run(Silent())
    assert state(training) == state(whole)


def test_half_an_update_is_not_saved():
    checkpoints = fresh()
    training = Training(Names(), seed=3, steps=4)
    training.run_step()
    checkpoints.save(training)
    before = content(NEWEST)

    class Interrupted:
        m, v = training.adam.m, training.adam.v

        def begin(self, step, lr):
            pass

        def update(self, index):
            self.m[0] += 1.0
            raise KeyboardInterrupt

    training.adam = Interrupted()
    assert raises(KeyboardInterrupt, training.run, Silent(), checkpoints)
    assert training.updating
    assert content(NEWEST) == before
    assert there() == [NEWEST]
    checkpoint.remove(HERE)
