# SPDX-License-Identifier: Apache-2.0
"""A machine of its own, with systemd as pid 1, in namespaces over an overlay of this machine's root (boot)."""
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("MUSTER_BUILD", TOP / "build"))
SOURCE = pathlib.Path("/mnt/source")  # this tree, as the machine sees it
PACKAGES = TOP / "build" / "package"
DAEMONS = ("raftd", "catalogd", "gossipd", "checkd", "dnsd", "httpd")
PR_SET_PDEATHSIG = 1
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"


def why_not():
    """Why no machine can be booted here; None: it can."""
    if os.geteuid() != 0:
        return "not root"
    if not shutil.which("systemctl") or not os.path.exists("/lib/systemd/systemd"):
        return "no systemd"
    if " cgroup2 " not in pathlib.Path("/proc/self/mounts").read_text():
        return "no cgroup2"
    probe = subprocess.run(["unshare", "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--fork", "true"],
                           capture_output=True, text=True, check=False)
    return None if probe.returncode == 0 else "no namespaces: " + probe.stderr.strip()


def wait_until(condition, limit_s=40, what=None, pause_s=0.05):
    deadline = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("not within %s s: %s" % (limit_s, what or condition))
        time.sleep(pause_s)


class Host:
    def __init__(self, binds=()):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="muster-host."))
        self.binds = list(binds)
        self.process = None
        self.pid1 = None

    # ---- life ----

    def boot(self):
        with open(self.directory / "boot.log", "ab") as log:
            self.process = subprocess.Popen([str(HERE / "boot"), str(self.directory)] + self.binds, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True, preexec_fn=die_with_parent)
        self.wait_up()
        return self

    def find_pid1(self):
        pid = self.process.pid
        while True:
            try:
                children = pathlib.Path("/proc/%d/task/%d/children" % (pid, pid)).read_text().split()
                if not children:
                    return None
                pid = int(children[0])
                if pathlib.Path("/proc/%d/comm" % pid).read_text().strip() == "systemd":
                    return pid
            except OSError:
                return None

    def wait_up(self, other_than=None, limit_s=60):
        def up():
            assert self.process.poll() is None, "the machine did not boot:\n" + self.boot_log()
            pid = self.find_pid1()
            if not pid or pid == other_than:
                return False
            self.pid1 = pid
            return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")
        wait_until(up, limit_s, "machine up")

    def reboot(self):
        before = self.pid1
        self.run("systemctl", "reboot", check=False)
        self.wait_up(other_than=before)

    def power_cut(self):
        """Everything dies at once, and begins again with the machine's files."""
        before = self.pid1
        (self.directory / "again").touch()
        os.kill(before, signal.SIGKILL)
        self.wait_up(other_than=before)

    def close(self):
        if self.process and self.process.poll() is None:
            pid = self.find_pid1()
            if pid:
                os.kill(pid, signal.SIGKILL)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def boot_log(self):
        return (self.directory / "boot.log").read_text(errors="replace")

    # ---- inside ----

    def command(self, *args, namespaces=("-a",)):
        return ["nsenter", "-t", str(self.pid1), *namespaces, "--", "env", "-i", "PATH=" + PATH, "HOME=/root", "LANG=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive", *[str(a) for a in args]]

    def run(self, *args, check=True, data=None, timeout=120):
        done = subprocess.run(self.command(*args), capture_output=True, text=True, check=False, input=data, timeout=timeout)
        if check and done.returncode:
            raise AssertionError("%s: status %d\n%s%s" % (" ".join(map(str, args)), done.returncode, done.stdout, done.stderr))
        return done

    def sh(self, script, **options):
        return self.run("bash", "-ec", script, **options).stdout

    def start(self, *args, namespaces=("--net",), **options):
        """A process beside the test: in the machine's network only, where it sees this machine's files, or wholly in it."""
        return subprocess.Popen(self.command(*args, namespaces=namespaces), stdout=subprocess.PIPE, text=True,
                                preexec_fn=die_with_parent, **options)

    def write(self, path, text):
        self.run("bash", "-ec", 'mkdir -p "$(dirname "$1")"; cat >"$1"', "-", path, data=text)

    def read(self, path):
        return self.run("cat", path).stdout

    def show(self, unit, key):
        return self.run("systemctl", "show", "-P", key, unit).stdout.strip()

    def active(self, unit):
        return self.show(unit, "ActiveState") == "active"

    def main_pid(self, daemon):
        return int(self.show("muster-%s.service" % daemon, "MainPID"))

    def journal(self, *args):
        return self.run("journalctl", "--no-pager", "-o", "cat", *args).stdout

    def control(self, daemon, cmd):
        out = self.run("bash", "-ec", 'cd /run/muster; exec nanocat --req -x "$1/control" --recv-timeout 5 -D "$2" --raw', "-",
                       daemon, json.dumps({"cmd": cmd})).stdout
        return json.loads(out)

    def http(self, path, *options, check=True):
        return self.run("curl", "-s", "-S", "-m", "30", *options, "http://127.0.0.1:8500" + path, check=check).stdout

    def json(self, path):
        return json.loads(self.http(path))

    def wait_node(self, limit_s=30):
        """The node leads and is in its own catalogue."""
        def ready():
            if len(self.http("/v1/status/leader", check=False)) < 5:
                return False
            try:
                return any(s for s in self.json("/v1/catalog/services") if s == "consul")
            except (ValueError, AssertionError):
                return False
        try:
            wait_until(ready, limit_s, "node ready")
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, self.journal("-n", "60", "-u", "muster-*"))) from None


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def package():
    found = sorted(PACKAGES.glob("muster_*.deb"))
    assert found, "no package: ./dev package"
    return found[-1]
