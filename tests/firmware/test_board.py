"""The board on other families: where its files are, and what MicroPython may lack there."""

import gc
import os
import sys

from ugpt import board

from tests.support.micropython.arrays import raises

IMPLEMENTATIONS = ("micropython",)  # the others have no source to run, or a `sys` like no board's
FAMILIES = (  # sys.path's entry with the package, the current folder, and the program's files
    ("", "/", "/"),  # ESP32, RP2
    ("", "/flash", "/flash/"),  # STM32
    ("", "/sd", "/sd/"),  # which an STM32 prefers if a card is there
    ("/lib/", "/", "/"),  # by mip
    ("/flash/lib/", "/flash", "/flash/"),
    ("/flash/lib/", "/flash/data", "/flash/"),
    ("/", "/remote", "/"),
    ("lib/", "/", "/"),
    ("/rom/lib/", "/flash", "/flash/"),
    ("/rom/lib/", "/", "/"),
)


class Other:
    """A module with other attributes than the real one; one that is None is missing."""

    def __init__(self, real, **given):
        self._real = real
        self._given = given

    def __getattr__(self, name):
        value = self._given[name] if name in self._given else getattr(self._real, name)
        if value is None:
            raise AttributeError(name)
        return value


def board_of(entry="", here="/", **given):
    """Return what `ugpt.board` defines on a board of another family; {} if there is no source.

    Its package is in `entry` of sys.path, its current folder is `here`, and what is `given` are the
    modules that it has.
    """
    path = board.__file__
    if path.endswith(".mpy"):
        return {}
    with open(path) as file:
        code = file.read()
    modules = {"sys": Other(sys, platform="rp2"), "os": Other(os, getcwd=lambda: here)}
    modules.update(given)
    names = {"__name__": "ugpt.board", "__file__": entry + "ugpt/board.py"}
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        exec(code, names)
    finally:
        for name, module in before.items():
            if module:
                sys.modules[name] = module
            else:
                del sys.modules[name]
    return names


def test_where_the_files_of_each_family_are():
    for entry, here, root in FAMILIES:
        found = board_of(entry, here).get("ROOT", root)
        assert found == root, (entry, here, found)


def test_a_board_without_a_threshold_for_garbage():
    functions = board_of(gc=Other(gc, threshold=None))
    if functions:
        functions["collect_every"](functions["WHILE_LOADING"])


def test_a_board_without_random_numbers_of_its_own():
    functions = board_of(os=Other(os, getcwd=lambda: "/", urandom=None))
    if functions:
        assert 1 <= functions["hardware_seed"]() <= 0xFFFFFFFF


def test_the_names_are_the_persons_own_or_those_beside_the_package():
    here = os.getcwd()
    functions = board_of("lib/", here)
    if not functions:
        return
    os.mkdir("lib")
    for place, name in (("lib/", "lib/names.bin"), ("", here + "/names.bin")):
        with open(place + "names.bin", "wb") as file:
            file.write(b"names")
        source = functions["open_names"]()
        assert source.name == name
        assert source.readinto(1, bytearray(2)) == 2
    os.remove("names.bin")
    os.remove("lib/names.bin")
    assert raises(OSError, functions["open_names"])
    os.rmdir("lib")
