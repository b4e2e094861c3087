"""Runs in MicroPython: the life of a board at its serial port, with the current folder as flash.

Without arguments the board's program takes it for the virtual board. With sys.platform and the
place of the file system as arguments ("pyboard /flash") it is a board of that family; a file as a
third one is its flash, a LittleFS.

Boots like a board (boot.py, main.py), then offers MicroPython's prompt and its raw mode, as
https://docs.micropython.org/en/latest/reference/repl.html has it.
"""

import gc
import os
import select
import sys
import time

import vfs

CTRL_A, CTRL_B, CTRL_C, CTRL_D, CTRL_E = b"\x01", b"\x02", b"\x03", b"\x04", b"\x05"
BANNER = "raw REPL; CTRL-B to exit\n>"
WINDOW = 1024  # bytes of a command that are sent ahead in raw paste mode; a board has room for 128


class Reset(Exception):
    """machine.reset() was called."""


class Machine:
    """The module `machine` of a board, as far as a program of ours needs it."""

    def reset(self):
        raise Reset


class Time:
    """The module `time`, with a sleep that Ctrl-C ends, as it does on a board."""

    def __getattr__(self, name):
        return getattr(time, name)

    def sleep(self, seconds):
        self.sleep_ms(int(1000 * seconds))

    def sleep_ms(self, ms):
        while keys.poll(0):
            if read() == CTRL_C:
                raise KeyboardInterrupt
        time.sleep_ms(ms)


class Sys:
    """The module `sys` of a board of another family."""

    def __init__(self, platform):
        self.platform = platform

    def __getattr__(self, name):
        return getattr(sys, name)


class Files:
    """The flash as a file system; VfsPosix itself, if it has a root, renames a file to itself."""

    def __init__(self, folder):
        self._folder = folder
        self._posix = vfs.VfsPosix(folder)

    def __getattr__(self, name):
        return getattr(self._posix, name)

    def rename(self, old, new):
        here = self._folder + "/"
        vfs.VfsPosix().rename(here + old, here + new)


class Flash:
    """The bytes of a file, in blocks as LittleFS needs them."""

    BLOCK = 4096

    def __init__(self, path):
        self.file = open(path, "r+b")  # noqa: SIM115 - stays open
        self.blocks = self.file.seek(0, 2) // self.BLOCK

    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * self.BLOCK + offset)
        self.file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        self.file.seek(block * self.BLOCK + offset)
        self.file.write(buffer)

    def ioctl(self, operation, block):
        if operation == 4:
            return self.blocks
        if operation == 5:
            return self.BLOCK
        if operation == 6:
            self.writeblocks(block, b"\xff" * self.BLOCK)
        return 0


class FlashBdev:
    """The module `flashbdev` of an ESP32."""

    def __init__(self, bdev):
        self.bdev = bdev


flash = None
keys = select.poll()
keys.register(sys.stdin, select.POLLIN)
sys.path[:] = ["", ".frozen", "/lib"]  # as on a board
if sys.argv[1:]:
    platform, root, *image = sys.argv[1:]
    sys.modules["sys"] = Sys(platform)
    flash = Flash(*image) if image else None
    if platform == "esp32":
        sys.modules["flashbdev"] = FlashBdev(flash)
    files = vfs.VfsLfs2(flash) if flash else Files(os.getcwd())
    vfs.umount("/")
    vfs.mount(files, root)
    os.chdir(root)
    if root != "/":
        sys.path[-1:] = [root, root + "/lib"]  # as on an STM32
sys.modules["machine"] = Machine()
sys.modules["time"] = Time()
space = {}  # the names that programs and commands define


def read():
    data = sys.stdin.buffer.read(1)
    if not data:
        sys.exit()  # the test is over
    return data


def write(text):
    sys.stdout.write(text)


def run(code, name):
    """Run code and return the exception that ended it, if one did; Reset goes through."""
    try:
        exec(compile(code, name, "exec"), space)
    except Reset:
        raise
    except SystemExit:
        pass
    except BaseException as error:
        return error


def start(*programs):
    """Forget what was defined and imported, and run what is there of `programs`."""
    space.clear()
    space["__name__"] = "__main__"
    for name in list(sys.modules):
        if name.startswith("ugpt"):
            del sys.modules[name]
    gc.collect()  # closes files
    if flash:
        vfs.umount(root)
        vfs.mount(vfs.VfsLfs2(flash), root)
        os.chdir(root)
    for program in programs:
        try:
            with open(program) as file:
                code = file.read()
        except OSError:
            continue
        error = run(code, program)
        if error:
            sys.print_exception(error)


def pasted():
    """Return the code that is sent in raw paste mode: as fast as it is read, without pauses."""
    sys.stdout.buffer.write(b"R\x01" + WINDOW.to_bytes(2, "little") + b"\x01")
    code = bytearray()
    while True:
        char = read()
        if char == CTRL_D:
            write("\x04")
            return bytes(code)
        code += char
        if len(code) % WINDOW == 0:
            write("\x01")


def raw_command():
    """Return the code that was sent in raw mode; None: leave that mode."""
    code = b""
    while True:
        char = read()
        if char == CTRL_A:
            if code.startswith(CTRL_E):
                return pasted()
            write(BANNER)
            code = b""
        elif char == CTRL_B:
            return None
        elif char == CTRL_C:
            code = b""
        elif char == CTRL_D:
            write("OK")
            return code
        else:
            code += char


def raw():
    write("\n" + BANNER)
    while True:
        code = raw_command()
        if code is None:
            return
        if code == b"":
            write("\nMPY: soft reboot\n")
            start("boot.py")
            write(BANNER)
            continue
        error = run(code, "<stdin>")
        write("\x04")
        if error:
            sys.print_exception(error)
        write("\x04>")


def prompt():
    write("MicroPython on a stand-in\n>>> ")
    while True:
        char = read()
        if char == CTRL_A:
            raw()
            write("\n>>> ")
        elif char == CTRL_D:
            write("MPY: soft reboot\n")
            start("boot.py", "main.py")
            write(">>> ")
        elif char == b"\r":
            write("\n>>> ")


while True:
    try:
        start("boot.py", "main.py")
        prompt()
    except Reset:
        write("\nets Jul 29 2019 12:21:46\n\nrst:0xc (SW_CPU_RESET),boot:0x13\n")
