# MicroPython mounts the file system with a cache of 128 bytes, and every access to the flash stops
# both cores. With one of 4 KB, a block, it needs a twentieth of them: the program is loaded sooner,
# and what it saves is safe sooner. Where the file system is another, it stays as it is.
try:
    import vfs
    from flashbdev import bdev

    littlefs = vfs.VfsLfs2(bdev, readsize=1024)  # its cache is four times that
except (ImportError, OSError):
    pass
else:
    from micropython import kbd_intr

    kbd_intr(-1)  # no Ctrl-C between the two
    try:
        vfs.umount("/")
        vfs.mount(littlefs, "/")
    finally:
        kbd_intr(3)
    del littlefs
