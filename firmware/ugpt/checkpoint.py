"""A run in the file system, so that a board that loses power goes on from where it was.

A checkpoint is a header of 64 bytes (HEADER, all numbers little-endian), the parameters and Adam's
m and v as float32 in flat order, and the CRC32 of all that as the last four bytes, in every version
of the format. A new one is written beside the old ones and takes the newest one's name: at any
moment at least one whole checkpoint is there, once there was one.
"""

import os
import struct
from binascii import crc32

from . import board
from .report import remark

NEWEST = "checkpoint.bin"
OLDER = "checkpoint-old.bin"
SCRATCH = "checkpoint-new.bin"  # being written; never read

MAGIC = b"UGPTCKPT"
VERSION = 1
HEADER = "<8sI9If3I"  # magic, version, then:
SIZES = ("vocab_size", "n_embd", "n_head", "n_layer", "block_size")  # of `layout.Sizes`
CONFIGURATION = SIZES + (  # what makes it the same run
    "data",  # the number of documents
    "data_crc",  # and the CRC32 of all of them
    "seed",
    "steps",
    "lr",
)
STATE = (  # how far it has come
    "step",  # the next one
    "rng",
    "pushed",  # 1: the weights of its first step are not the seed's, they came with `make push`
)
FIELDS = CONFIGURATION + STATE
HEADER_SIZE = 64
ENOENT, ENOSPC = 2, 28
CHUNK = 512  # bytes checked at a time: a board's free memory is in small pieces


class CheckpointError(Exception):
    """A checkpoint cannot be used or replaced; the message says which and why."""


class DamagedError(CheckpointError):
    """A file is not a whole checkpoint."""


def header_of(training):
    """Return all FIELDS of a run, {name: number}."""
    sizes = training.model.sizes
    header = {name: getattr(sizes, name) for name in SIZES}
    header["data"] = training.dataset.count
    header["data_crc"] = training.dataset.crc
    for name in ("seed", "steps", "lr", "step", "pushed"):
        header[name] = getattr(training, name)
    header["rng"] = training.rng_state
    return header


def arrays_of(training):
    """Return the three arrays that a checkpoint of the run holds."""
    return training.model.params, training.adam.m, training.adam.v


def write(path, header, arrays):
    """Write a checkpoint to the file `path`; raise OSError if it does not fit."""
    data = struct.pack(HEADER, MAGIC, VERSION, *[header[name] for name in FIELDS])
    with open(path, "wb") as file:
        file.write(data)
        crc = crc32(data)
        for array in arrays:
            file.write(array)
            crc = crc32(array, crc)
        file.write(struct.pack("<I", crc))
        file.flush()


def read_header(file, name):
    """Return the fields of the checkpoint in `file`, {name: number}, proved whole by its CRC32.

    Raises DamagedError, or CheckpointError if its version is not ours; `name` is for the message.
    """
    end = file.seek(0, 2) - 4
    file.seek(0)
    if end < HEADER_SIZE:
        raise DamagedError("%s is damaged: only %d bytes are there" % (name, end + 4))
    chunk = bytearray(CHUNK)
    crc = 0
    for start in range(0, end, CHUNK):
        part = memoryview(chunk)[: min(CHUNK, end - start)]
        file.readinto(part)
        crc = crc32(part, crc)
    if file.read(4) != struct.pack("<I", crc):
        raise DamagedError("%s is damaged: its CRC32 differs" % name)
    file.seek(0)
    magic, version, *values = struct.unpack(HEADER, file.read(HEADER_SIZE))
    if magic != MAGIC:
        raise DamagedError("%s is not a checkpoint" % name)
    if version != VERSION:
        raise CheckpointError(
            "%s has format version %d, this program writes version %d" % (name, version, VERSION)
        )
    return dict(zip(FIELDS, values))


def read_arrays(file, arrays):
    """Fill `arrays` from a checkpoint whose header was read; raise DamagedError if it is not full.

    They are left as they were then.
    """
    size = HEADER_SIZE + sum(4 * len(array) for array in arrays) + 4
    if file.seek(0, 2) != size:
        raise DamagedError("it has not the %d bytes of this model" % size)
    file.seek(HEADER_SIZE)
    for array in arrays:
        file.readinto(array)


def difference(header, ours):
    """Return, in words, where the configuration in `header` is not that of `ours`; "" if nowhere.

    Both are {name: number} with every one of FIELDS.
    """
    for name in CONFIGURATION:
        if header[name] != ours[name]:
            if name == "data_crc":
                return "another list of as many names"
            kind = "%s %.6g, not %.6g" if name == "lr" else "%s %d, not %d"
            return kind % (name, header[name], ours[name])
    return ""


class Checkpoints:
    """The newest checkpoint and the one before it, in a folder, and when to write the next.

    Whatever is there and is not ours, of another configuration, list of names or version, stays
    as it is: `locked` then says why nothing is saved, and is "" otherwise.
    """

    def __init__(self, save_every_s=30, folder=None):
        """Look for the newest whole checkpoint; it is in `found`, its header in `header`."""
        self.folder = board.ROOT if folder is None else folder
        self.locked = ""
        self.found = None
        self.header = None
        self.damaged = []  # remarks on what is there and cannot be read
        self.saved_step = None
        self._save_every_us = save_every_s * 1000000
        self._unsaved_us = 0
        self._failed = False
        for name in (NEWEST, OLDER):
            try:
                with open(self.folder + name, "rb") as file:
                    self.header = read_header(file, name)
                self.found = name
                break
            except DamagedError as error:
                self.damaged.append(str(error))
            except CheckpointError as error:
                self.locked = str(error)
                break
            except OSError as error:
                if error.errno != ENOENT:
                    self.damaged.append("%s cannot be read (%s)" % (name, error))
        self._keep_newest = self.found == NEWEST  # as the one before, when the next is written

    def seed(self):
        """Return the seed of the run that is saved, 0 if there is none."""
        return self.header["seed"] if self.header else 0

    def resume(self, training):
        """Bring `training` to where its newest whole checkpoint was; remark on what is there."""
        for text in self.damaged:
            remark(text)
        if self.header:
            other = difference(self.header, header_of(training))
            if other:
                self.locked = "%s is of another run (%s)" % (self.found, other)
            else:
                try:
                    self._load(training)
                except DamagedError as error:
                    self.locked = "%s is damaged: %s" % (self.found, error)
        if self.locked:
            remark(
                "%s: it is left alone, and this run is not saved; make reset-training removes it"
                % self.locked
            )

    def _load(self, training):
        with open(self.folder + self.found, "rb") as file:
            read_arrays(file, arrays_of(training))
        training.step = self.saved_step = self.header["step"]
        training.rng_state = training.rng.state = self.header["rng"]
        training.pushed = self.header["pushed"]
        remark(
            "%s at step %d of %d from %s%s"
            % (
                "resumed" if training.step < training.steps else "complete",
                training.step,
                training.steps,
                self.found,
                ", with pushed weights" if training.pushed else "",
            )
        )

    def after_step(self, training, us):
        """Save if that is due; the step took `us` microseconds."""
        self._unsaved_us += us
        if self._unsaved_us >= self._save_every_us:
            self.try_save(training)

    def try_save(self, training):
        """Save, and remark on it if that fails: training goes on. Return whether it is saved."""
        try:
            self.save(training)
        except CheckpointError as error:
            if not self.locked:  # or else it was said before
                remark("not saved: %s" % error)
        except (OSError, MemoryError) as error:
            if not self._failed:
                full = isinstance(error, OSError) and error.errno == ENOSPC
                remark(
                    "cannot save at step %d (%s): training goes on, the last checkpoint stays"
                    % (training.step, "the file system is full" if full else error)
                )
            self._failed = True
        return self.saved_step == training.step

    def finish(self, training):
        """Save as `try_save` does, and remark on it."""
        if self.try_save(training):
            remark("saved at step %d of %d" % (training.step, training.steps))

    def save(self, training):
        """Write a checkpoint, unless this step has one already.

        Raises OSError or MemoryError if it cannot be written, and CheckpointError if there is one
        of another run or if the run was interrupted in the middle of an update.
        """
        self._unsaved_us = 0
        if self.locked:
            raise CheckpointError(self.locked + "; ugpt.save(replace=True) puts this one there")
        if training.updating:
            raise CheckpointError("step %d was interrupted in its update" % training.step)
        if self.saved_step == training.step:
            return
        try:
            write(self.folder + SCRATCH, header_of(training), arrays_of(training))
            self.install()
        except (OSError, MemoryError):
            remove(self.folder, (SCRATCH,))
            raise
        self.saved_step = training.step
        self._failed = False

    def replace(self):
        """Remove what is there of another run, which was left alone."""
        if self.locked:
            remove(self.folder)
            self.locked = ""
            self.saved_step = None
            self._keep_newest = False

    def install(self):
        """Make the scratch file the newest checkpoint, and the newest the one before.

        A newest one that is damaged is replaced at once: the one before is then all there is.
        """
        if self._keep_newest:
            self._keep_newest = False
            board.rename(self.folder + NEWEST, self.folder + OLDER)
        board.rename(self.folder + SCRATCH, self.folder + NEWEST)
        self._keep_newest = True


def remove(folder=None, names=(SCRATCH, NEWEST, OLDER)):
    """Remove all checkpoints, or those of these names; return how many there were."""
    removed = 0
    for name in names:
        try:
            os.remove((board.ROOT if folder is None else folder) + name)
            removed += 1
        except OSError:
            pass  # not there
    return removed
