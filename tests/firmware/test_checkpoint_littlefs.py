"""Checkpoints on the board's own file system, LittleFS: power lost at any write, and no room."""

import os

from ugpt import checkpoint
from ugpt.checkpoint import NEWEST, OLDER, SCRATCH, Checkpoints

from tests.support.micropython.arrays import raises
from tests.support.micropython.checkpoints import small, state

IMPLEMENTATIONS = ("micropython", "micropython-native")  # CPython has no LittleFS
HEAP = "2m"
BLOCK_SIZE = 4096
FOLDER = "/flash/"


class Flash:
    """A flash of `blocks` blocks that remembers its writes: (where, what), an erase being one."""

    def __init__(self, blocks, data=None):
        self.data = bytearray(data or b"\xff" * (blocks * BLOCK_SIZE))
        self.blocks = blocks
        self.writes = []

    def readblocks(self, block, buffer, offset=0):
        start = block * BLOCK_SIZE + offset
        buffer[:] = memoryview(self.data)[start : start + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        start = block * BLOCK_SIZE + offset
        self.data[start : start + len(buffer)] = buffer
        self.writes.append((start, bytes(buffer)))

    def ioctl(self, operation, argument):
        if operation == 4:
            return self.blocks
        if operation == 5:
            return BLOCK_SIZE
        if operation == 6:
            self.writeblocks(argument, b"\xff" * BLOCK_SIZE)
        return 0


def mounted(flash, make=False):
    """Return `flash`, mounted at FOLDER in the place of another."""
    if "flash" in os.listdir("/"):
        os.umount("/flash")
    if make:
        os.VfsLfs2.mkfs(flash)
    os.mount(flash, "/flash")
    return flash


def resumed():
    run = small(count=400)
    checkpoints = Checkpoints(0, FOLDER)
    checkpoints.resume(run)
    return run, checkpoints


def test_power_lost_at_each_write_of_a_save():
    flash = mounted(Flash(32), make=True)
    checkpoints = Checkpoints(0, FOLDER)
    for step in (1, 2):
        checkpoints.save(small(step=step, count=400))
    image = Flash(32, flash.data)
    flash.writes.clear()
    checkpoints.save(small(step=3, count=400))
    steps = []
    for start, data in flash.writes:
        for length in (len(data) // 2, len(data)):  # lost in the middle of it, and behind it
            image.data[start : start + length] = memoryview(data)[:length]
            mounted(Flash(32, image.data))
            run, checkpoints = resumed()
            assert state(run) == state(small(step=run.step, count=400)), steps
            steps.append(run.step)
            checkpoints.save(small(step=4, count=400))
            assert state(resumed()[0]) == state(small(step=4, count=400)), steps
    assert len(steps) > 80
    # The step before, as long as the new checkpoint has no name; then that or the new one.
    assert steps == sorted(steps)
    assert steps[0] == 2 and steps[-1] == 3
    os.umount("/flash")


def fill(blocks):
    """Take `blocks` blocks, one after the other."""
    for i in range(blocks):
        with open(FOLDER + "other-%d" % i, "wb") as file:
            file.write(bytes(BLOCK_SIZE))


def test_a_full_file_system_keeps_the_last_one():
    mounted(Flash(16), make=True)
    checkpoints = Checkpoints(0, FOLDER)
    checkpoints.save(small(step=1, count=400))
    checkpoints.save(small(step=2, count=400))
    assert raises(OSError, fill, 64)
    assert raises(OSError, checkpoints.save, small(step=3, count=400))
    assert not checkpoints.try_save(small(step=4, count=400))
    assert not checkpoints.try_save(small(step=5, count=400))
    assert checkpoints.saved_step == 2
    assert SCRATCH not in os.listdir(FOLDER)
    assert resumed()[0].step == 2
    os.remove(FOLDER + "other-0")
    os.remove(FOLDER + "other-1")
    assert checkpoints.try_save(small(step=6, count=400))
    assert OLDER in os.listdir(FOLDER)
    assert resumed()[0].step == 6
    assert checkpoint.remove(FOLDER) == 2
    assert NEWEST not in os.listdir(FOLDER)
    os.umount("/flash")
