"""System calls that a kernel has no use for, refused by the kernel of the system (seccomp), where libseccomp is installed.

The sandbox holds without it; it narrows what is left to attack: no further namespaces or mounts, nobody else's memory, no new
interfaces of the kernel with their flaws, no keyring, no clock, no kinds of sockets but the usual.
"""

import errno
import tempfile
from functools import cache

from autograde.errors import IsolationError

REMEDY = "`sudo apt-get install libseccomp2`"
_REFUSED = [
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "setns",
    "unshare",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "open_tree",
    "move_mount",
    "mount_setattr",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "kcmp",
    "pidfd_getfd",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
    "keyctl",
    "add_key",
    "request_key",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "reboot",
    "swapon",
    "swapoff",
    "acct",
    "quotactl",
    "quotactl_fd",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "sethostname",
    "setdomainname",
    "syslog",
    "vhangup",
    "open_by_handle_at",
    "name_to_handle_at",
    "personality",
    "fanotify_init",
]
_NEW_NAMESPACES = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # they type into a terminal
_USUAL_SOCKETS = (1, 2, 10, 16)  # unix, IPv4, IPv6, netlink


def program() -> bytes:
    """The filter, for `bwrap --seccomp` or the system call of this name; empty where it cannot be had, which `autograde
    doctor` says."""
    try:
        return compiled()
    except IsolationError:
        return b""


@cache
def compiled() -> bytes:
    """The filter.

    Raises:
        IsolationError: it cannot be had here; the message says the remedy.
    """
    try:
        import pyseccomp as seccomp
    except (ImportError, RuntimeError) as error:
        raise IsolationError(f"no filter of system calls: {error}; {REMEDY}") from error
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    refused = seccomp.ERRNO(errno.EPERM)
    for name in _REFUSED:
        try:
            rules.add_rule(refused, name)
        except OSError as error:
            if error.errno != errno.EINVAL:  # which an older libseccomp says of calls that are newer
                raise
    for flag in _NEW_NAMESPACES:
        rules.add_rule(refused, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    # Its flags lie in memory, where no filter looks; without it the C library takes clone.
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    for request in (_TIOCSTI, _TIOCLINUX):
        rules.add_rule(refused, "ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, 0xFFFFFFFF, request))
    unknown = seccomp.ERRNO(errno.EAFNOSUPPORT)
    rules.add_rule(unknown, "socket", seccomp.Arg(0, seccomp.GT, max(_USUAL_SOCKETS)))
    for family in sorted({*range(max(_USUAL_SOCKETS))} - {0, *_USUAL_SOCKETS}):
        rules.add_rule(unknown, "socket", seccomp.Arg(0, seccomp.EQ, family))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
