# MicroPython mounts LittleFS with a cache of 128 bytes, and each access to the flash stops both
# cores. A cache of 4 KB, one block of the flash, needs a twentieth of the accesses: the program
# loads and saves faster. A file system of another kind stays mounted as it is.
try:
    import vfs
    from flashbdev import bdev

    littlefs = vfs.VfsLfs2(bdev, readsize=1024)  # the cache is four times readsize
except (ImportError, OSError):
    pass
else:
    from micropython import kbd_intr

    kbd_intr(-1)  # Ctrl-C between umount and mount would leave no file system
    try:
        vfs.umount("/")
        vfs.mount(littlefs, "/")
    finally:
        kbd_intr(3)
    del littlefs
