# MicroPython mounts LittleFS with a cache of 128 bytes, and each access to the flash stops both
# cores. With a cache of 1 KB, loading the program takes a fifth of the accesses and a save a sixth.
# A larger cache would need fewer, but the file system has two and each open file another: memory
# that a model needs. A file system of another kind stays mounted as it is.
try:
    import vfs
    from flashbdev import bdev

    littlefs = vfs.VfsLfs2(bdev, readsize=256)  # the cache is four times readsize
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
