"""Checkpoints: files from which a board continues its run after a loss of power.

A checkpoint is a header of 64 bytes (HEADER, all numbers little-endian), the parameters and Adam's
m and v as float32 in flat order, and a CRC32 of everything before it. In every version of the
format the CRC32 is the last four bytes. A new checkpoint is written to a file of its own and then
renamed, so that from the first one on there is a complete checkpoint at any moment.
"""

import os
import struct
from binascii import crc32

from . import board
from .layout import NUMBERS, SWITCHES, Sizes
from .report import remark

NEWEST = "checkpoint.bin"
OLDER = "checkpoint-old.bin"
SCRATCH = "checkpoint-new.bin"  # the one being written; never read

MAGIC = b"UGPTCKPT"
VERSION = 1
HEADER = "<8sI9If3I"  # magic, version, then:
CONFIGURATION = NUMBERS + (  # must be equal for it to be the same run
    "data",  # the number of documents
    "data_crc",  # the CRC32 of all documents
    "seed",
    "steps",
    "lr",
)
STATE = (  # the progress of the run
    "step",  # the next step
    "rng",  # the state of the random numbers
    "origin",  # the sum of the following
)
PUSHED = 1  # the initial weights came from `make push`, not from the seed
EXTENDED = 2  # the run got more steps than it began with: its learning rate fell less steadily
MIXED = 4  # the seed is mixed, as by every version from 0.2.0 on
TIED = 8  # of a model whose wte is its lm_head too: there is no matrix lm_head
NO_INPUT_RMSNORM = 16  # of a model without the norm after the embedding
FIELDS = CONFIGURATION + STATE
HEADER_SIZE = 64
CHUNK = 512  # bytes read at a time for the CRC32; a board's free memory is fragmented


class CheckpointError(Exception):
    """A checkpoint cannot be used or replaced; the message says which one and why."""


class DamagedError(CheckpointError):
    """A file is not a complete checkpoint."""


def header_of(training):
    """Return the header for a checkpoint of the run: {name: number} with all FIELDS."""
    sizes = training.model.sizes
    header = {name: getattr(sizes, name) for name in NUMBERS}
    header["data"] = training.dataset.count
    header["data_crc"] = training.dataset.crc
    for name in ("seed", "steps", "lr", "step"):
        header[name] = getattr(training, name)
    header["rng"] = training.rng_state
    header["origin"] = training.origin | switches(sizes)
    return header


def switches(sizes):
    """Return the bits of `origin` that say which switches of `sizes` are not the default."""
    return (TIED if sizes.tie_lm_head else 0) | (0 if sizes.input_rmsnorm else NO_INPUT_RMSNORM)


def sizes_of(header):
    """Return the `layout.Sizes` of the model in a checkpoint; ValueError if there are no such."""
    origin = header["origin"]
    return Sizes(
        *[header[name] for name in NUMBERS],
        tie_lm_head=origin & TIED != 0,
        input_rmsnorm=origin & NO_INPUT_RMSNORM == 0,
    )


def arrays_of(training):
    """Return the arrays in a checkpoint of the run: parameters, m and v."""
    return training.model.params, training.adam.m, training.adam.v


def write(path, header, arrays):
    """Write a checkpoint to the file `path`; raise OSError if it cannot be written."""
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
    """Return the header of the checkpoint in `file`, {name: number}, after checking its CRC32.

    `name` is the file's name in error messages. Raises DamagedError if the file is not a complete
    checkpoint, or no model has its sizes; CheckpointError if its format has another version.
    """
    end = file.seek(0, 2) - 4
    file.seek(0)
    if end < HEADER_SIZE:
        raise DamagedError("%s is damaged: it has only %d bytes" % (name, end + 4))
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
    header = dict(zip(FIELDS, values))
    try:
        sizes_of(header)
    except ValueError as error:
        raise DamagedError("%s is damaged: %s" % (name, error))
    return header


def read_arrays(file, arrays):
    """Fill `arrays` from the checkpoint in `file`, which `read_header` has checked.

    Raises DamagedError, with the arrays unchanged, if the file has another size than theirs.
    """
    size = HEADER_SIZE + sum(4 * len(array) for array in arrays) + 4
    if file.seek(0, 2) != size:
        raise DamagedError("its size is not the %d bytes of this model" % size)
    file.seek(HEADER_SIZE)
    for array in arrays:
        file.readinto(array)


def difference(header, ours):
    """Return, in words, the first difference between two configurations; "" if it is one run.

    `header` and `ours` are {name: number} with all FIELDS. More steps are no difference: they
    extend the run.
    """
    for name in CONFIGURATION:
        if header[name] != ours[name] and (name != "steps" or header[name] > ours[name]):
            if name == "data_crc":
                return "another list of names"
            kind = "%s %.6g, not %.6g" if name == "lr" else "%s %d, not %d"
            return kind % (name, header[name], ours[name])
    theirs, mine = sizes_of(header), sizes_of(ours)
    for name in SWITCHES:
        if getattr(theirs, name) != getattr(mine, name):
            return "%s %d, not %d" % (name, getattr(theirs, name), getattr(mine, name))
    return ""


class Checkpoints:
    """The newest checkpoint in a folder and the one before it, and when to write the next.

    Checkpoints with another configuration, list of names or format version are never overwritten:
    `locked` then says why this run is not saved; otherwise it is "".
    """

    def __init__(self, save_every_s=30, folder=None):
        """Find the newest complete checkpoint: `found` is its file name, `header` its header.

        Both are None if there is none; the header is None if its format has another version. A
        save is due every `save_every_s` seconds of training.
        """
        self.folder = board.ROOT if folder is None else folder
        self.locked = ""
        self.found = None
        self.header = None
        self.damaged = []  # messages about files that cannot be read
        self.saved_step = None
        self.save_every_us = save_every_s * 1000000
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
                self.found = name
                break
            except OSError as error:
                if error.errno != board.ENOENT:
                    self.damaged.append("%s cannot be read (%s)" % (name, error))
        self._keep_newest = self.found == NEWEST  # when the next is written: as OLDER

    def seed(self):
        """Return the seed of the saved run, 0 if no run is saved."""
        return self.header["seed"] if self.header else 0

    def resume(self, training):
        """Load the newest checkpoint into `training` if it is one of this run; log remarks.

        If it is not, `locked` says why. If the run had fewer steps, it is extended.
        """
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

    def _load(self, training):
        with open(self.folder + self.found, "rb") as file:
            read_arrays(file, arrays_of(training))
        training.step = self.saved_step = self.header["step"]
        training.rng_state = training.rng.state = self.header["rng"]
        training.origin = origin = self.header["origin"]
        how = ", with pushed weights" if origin & PUSHED else ""
        if self.header["steps"] < training.steps:
            training.origin |= EXTENDED
            how += ", extended from %d steps" % self.header["steps"]
        elif origin & EXTENDED:
            how += ", extended"
        if not origin & MIXED:
            how += ", begun by version 0.1.0"
        remark(
            "%s at step %d of %d from %s%s"
            % (
                "resumed" if training.step < training.steps else "complete",
                training.step,
                training.steps,
                self.found,
                how,
            )
        )

    def after_step(self, training, us):
        """Save if a save is due; the step took `us` microseconds."""
        self._unsaved_us += us
        if self._unsaved_us >= self.save_every_us:
            self.try_save(training)

    def try_save(self, training):
        """Save, or log why that failed, so that training goes on; return whether it is saved."""
        try:
            self.save(training)
        except CheckpointError as error:
            if not self.locked:  # otherwise that is known since the start of the run
                remark("not saved: %s" % error)
        except (OSError, MemoryError) as error:
            if not self._failed:
                full = isinstance(error, OSError) and error.errno == board.ENOSPC
                remark(
                    "cannot save at step %d (%s): training goes on, the last checkpoint stays"
                    % (training.step, "the file system is full" if full else error)
                )
            self._failed = True
        return self.saved_step == training.step

    def finish(self, training):
        """Save as `try_save` does, and log that it is saved."""
        if self.try_save(training):
            remark("saved at step %d of %d" % (training.step, training.steps))

    def save(self, training):
        """Write a checkpoint, unless this step is saved already.

        Raises OSError or MemoryError if it cannot be written, CheckpointError if another run is
        saved or if this run was interrupted during an update.
        """
        self._unsaved_us = 0
        if self.locked:
            raise CheckpointError(self.locked + "; ugpt.save(replace=True) replaces it")
        if training.updating:
            raise CheckpointError("step %d was interrupted during its update" % training.step)
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
        """Delete the checkpoints of another run, if there are any, so that this one is saved."""
        if self.locked:
            remove(self.folder)
            self.unlock()

    def unlock(self):
        """Save this run from now on: the checkpoint of another run is no longer at `found`."""
        self.locked = ""
        self.saved_step = None
        self._keep_newest = False

    def install(self):
        """Rename the newest checkpoint to OLDER and the scratch file to NEWEST.

        A damaged newest checkpoint is overwritten instead: OLDER is then the only complete one.
        """
        if self._keep_newest:
            self._keep_newest = False
            board.rename(self.folder + NEWEST, self.folder + OLDER)
        board.rename(self.folder + SCRATCH, self.folder + NEWEST)
        self._keep_newest = True


def remove(folder=None, names=(SCRATCH, NEWEST, OLDER)):
    """Delete the checkpoints, or the files `names`, in `folder`; return how many there were."""
    removed = 0
    for name in names:
        try:
            os.remove((board.ROOT if folder is None else folder) + name)
            removed += 1
        except OSError:
            pass  # not there
    return removed
