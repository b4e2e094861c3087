"""A checkpoint of the board's size, hurt in every place: a cut and a flip at each of its bytes."""

import io
import os
from array import array
from types import SimpleNamespace

import pytest
from ugpt import checkpoint
from ugpt.checkpoint import NEWEST, OLDER, SCRATCH, Checkpoints, DamagedError
from ugpt.layout import Sizes

SIZE = 64 + 3 * 4 * 4192 + 4


class PowerLost(BaseException):
    pass


class Disk:
    """A file system in memory that loses power, once `room` bytes are written, at `operations`."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.left = -1  # bytes and renames until the power is lost; below 0: never

    def open(self, name: str, mode: str) -> io.BytesIO:
        if mode == "rb":
            if name not in self.files:
                raise FileNotFoundError(name)
            return io.BytesIO(self.files[name])
        return _Written(self, name)

    def _spend(self, wanted: int) -> int:
        if self.left < 0:
            return wanted
        spent = min(wanted, self.left)
        self.left -= spent
        return spent

    def rename(self, source: str, target: str) -> None:
        if not self._spend(1):
            raise PowerLost
        self.files[target] = self.files.pop(source)

    def remove(self, name: str) -> None:
        if name not in self.files:
            raise FileNotFoundError(name)
        del self.files[name]


class _Written(io.BytesIO):
    """A file being written: what was written before the power went is there."""

    def __init__(self, disk: Disk, name: str) -> None:
        super().__init__()
        self._disk, self._name = disk, name
        disk.files[name] = b""

    def write(self, data: object) -> int:
        data = bytes(data)
        spent = self._disk._spend(len(data))
        super().write(data[:spent])
        self._disk.files[self._name] = self.getvalue()
        if spent < len(data):
            raise PowerLost
        return spent


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(checkpoint, "open", disk.open, raising=False)
    monkeypatch.setattr(checkpoint, "os", SimpleNamespace(remove=disk.remove))
    monkeypatch.setattr(checkpoint.board, "rename", disk.rename)
    return disk


def training(step: int) -> SimpleNamespace:
    """A run of the board's size: what a checkpoint takes from it."""
    m, v, params = (array("f", os.urandom(4 * 4192)) for _ in range(3))
    return SimpleNamespace(
        model=SimpleNamespace(
            sizes=Sizes(),
            params=params,
        ),
        adam=SimpleNamespace(m=m, v=v),
        dataset=SimpleNamespace(count=5, crc=6),
        seed=42,
        steps=1000,
        lr=0.5,
        step=step,
        rng_state=7,
        origin=0,
        updating=False,
    )


def test_a_save_cut_at_every_byte_leaves_the_last_one(disk: Disk) -> None:
    checkpoints = Checkpoints(0, "")
    checkpoints.save(training(1))
    checkpoints.save(training(2))
    before = {name: bytes(data) for name, data in disk.files.items()}
    assert [len(data) for data in before.values()] == [SIZE, SIZE]
    third = training(3)
    for cut in range(SIZE):
        disk.files = dict(before)
        disk.left = cut
        with pytest.raises(PowerLost):
            checkpoints.save(third)
        assert len(disk.files.pop(SCRATCH)) == cut
        assert disk.files == before


@pytest.mark.parametrize(
    ("renames", "found", "step"), [(0, NEWEST, 2), (1, OLDER, 2), (2, NEWEST, 3)]
)
def test_a_save_cut_at_a_rename(disk: Disk, renames: int, found: str, step: int) -> None:
    checkpoints = Checkpoints(0, "")
    checkpoints.save(training(1))
    checkpoints.save(training(2))
    disk.left = SIZE + renames
    if renames < 2:
        with pytest.raises(PowerLost):
            checkpoints.save(training(3))
    else:
        checkpoints.save(training(3))
    disk.left = -1
    after = Checkpoints(0, "")
    assert (after.found, after.header["step"]) == (found, step)
    after.save(training(4))
    after = Checkpoints(0, "")
    assert (after.found, after.header["step"]) == (NEWEST, 4)


@pytest.fixture
def whole(disk: Disk) -> bytes:
    Checkpoints(0, "").save(training(1))
    data = bytes(disk.files[NEWEST])
    assert checkpoint.read_header(io.BytesIO(data), NEWEST)["step"] == 1
    return data


def test_a_flip_of_every_byte_is_noticed(whole: bytes) -> None:
    damaged = bytearray(whole)
    for i in range(SIZE):
        damaged[i] ^= 1 << i % 8
        with pytest.raises(DamagedError):
            checkpoint.read_header(io.BytesIO(damaged), NEWEST)
        damaged[i] = whole[i]


def test_a_file_cut_at_every_byte_is_noticed(whole: bytes) -> None:
    for length in range(SIZE):
        with pytest.raises(DamagedError):
            checkpoint.read_header(io.BytesIO(whole[:length]), NEWEST)
