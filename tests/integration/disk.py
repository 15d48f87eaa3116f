# SPDX-License-Identifier: Apache-2.0
"""A disk of a server's own whose power can be cut: an ext4 file system in a file, over a loop device. What a process has
written and not synced is in the kernel's memory only; cut() takes what the device has been given until then for all that is
left, on a machine that has been started anew (its boot id differs). Needs root and loop devices."""
import contextlib
import ctypes
import pathlib
import subprocess
import uuid

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 4096, 16384, 1 << 18
BOOT_ID = b"/proc/sys/kernel/random/boot_id"
libc = ctypes.CDLL(None, use_errno=True)


def run(*args):
    subprocess.run(args, check=True, capture_output=True, text=True)


def loop_devices_work(directory):
    """None, or why there are none."""
    try:
        disk = Disk(pathlib.Path(directory) / "try", 16)
    except (OSError, subprocess.CalledProcessError) as error:
        return getattr(error, "stderr", None) or str(error)
    disk.close()
    return None


class Disk:
    """path: where it is mounted."""

    def __init__(self, directory, megabytes):
        self.directory, self.lives = directory, 0
        self.path = directory / "mnt"
        self.path.mkdir(parents=True)
        with open(self.image, "wb") as image:
            image.truncate(megabytes << 20)
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self.image))
        self.boot()

    @property
    def image(self):
        return self.directory / ("image.%d" % self.lives)

    def boot(self):
        """commit: the file system itself is in no hurry to write what nobody has asked it to."""
        (self.directory / "boot").write_text("%s\n" % uuid.uuid4())
        run("mount", "-o", "loop,commit=300", str(self.image), str(self.path))

    def cut(self):
        """The processes on it have been killed (and the machine with them)."""
        old = self.image
        self.lives += 1
        run("cp", "--sparse=always", str(old), str(self.image))
        run("umount", "-l", str(self.path))
        old.unlink()
        self.boot()

    def enter(self):
        """In the child, before the program: the machine's boot id is that of this life."""
        def must(result):
            if result:
                raise OSError(ctypes.get_errno(), "mount namespace")
        must(libc.unshare(CLONE_NEWNS))
        must(libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
        must(libc.mount(bytes(self.directory / "boot"), BOOT_ID, None, MS_BIND, None))

    def close(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            run("umount", "-l", str(self.path))


@contextlib.contextmanager
def no_writeback():
    """The kernel writes nothing back by the clock: what is not synced stays in memory, as it may."""
    switch = pathlib.Path("/proc/sys/vm/dirty_writeback_centisecs")
    before = switch.read_text()
    try:
        switch.write_text("0")
    except OSError:
        yield  # the cut is a little kinder than it could be
        return
    try:
        yield
    finally:
        switch.write_text(before)
