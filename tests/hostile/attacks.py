"""Submissions of the tiny lab that cheat, break or overload, with what must come of each.

`scale` is worth 3 points, `mean_of` 2; nobody writes the answer that a person grades.
"""

from collections.abc import Mapping

import snippets
import wire
from submissions import (
    Attack,
    beside,
    drop,
    each_cell,
    kernel_named,
    linked,
    regrade,
    renamed,
    rewritten,
    skip,
    twice,
)

SCALE = "def scale(x, factor):\n    return factor * x"
MEAN = "def mean_of(x):\n    return x.sum() / x.numel()"
HONEST = {"scale": SCALE, "mean_of": MEAN}
WRONG = {
    "scale": "def scale(x, factor):\n    return x - factor",
    "mean_of": "def mean_of(x):\n    return x.max()",
}
FULL, NOTHING = 5.0, 0.0


def with_first(code: str, answers: Mapping[str, str] = WRONG) -> dict[str, str]:
    """The code before the answer in its own cell."""
    return {**answers, "scale": f"{code}\n\n{answers['scale']}"}


def harmless(row: int, name: str, code: str, flag: str = "") -> Attack:
    """Beside honest answers; it changes nothing."""
    return Attack(row, name, FULL, with_first(code, HONEST), flag=flag)


def lost(row: int, name: str, scale: str, state: str = "graded", flag: str = "") -> Attack:
    """The answer `scale` costs its own points and nothing else."""
    return Attack(row, name, FULL - 3, {"scale": scale, "mean_of": MEAN}, state=state, flag=flag)


def called(code: str) -> str:
    """An answer that calls the code's `attack()` in each of its checks, and is wrong."""
    return f"{code}\ndef scale(x, factor):\n    attack()\n    return x - factor"


IGNORES = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
ATTACKS = [
    Attack(0, "honest", FULL, HONEST),
    Attack(1, "skip_tag", NOTHING, WRONG, change=each_cell(skip)),
    Attack(
        2,
        "forged_result",
        NOTHING,
        with_first("from IPython.display import display\ndisplay(5.0)\nprint('5.0')"),
    ),
    lost(2, "result_on_the_wire", called(wire.RESULT)),
    lost(2, "reply_on_the_wire", called(wire.REPLY), flag="said twice that scale-(check|hidden) had ended"),
    Attack(
        3, "transformers", NOTHING, WRONG, snippets.LEAVES_ASSERTS_OUT, flag="does not say what was replaced"
    ),
    Attack(
        4,
        "patched_shell",
        NOTHING,
        WRONG,
        snippets.PATCHED_SHELL,
        flag="replaced in the kernel: .*showtraceback",
    ),
    lost(5, "looks_for_values", snippets.LOOKS_FOR_VALUES),
    harmless(6, "thread", snippets.SWAPS_LATER, "a thread was left running: swap"),
    harmless(
        6, "atexit", snippets.LEFT_FOR_THE_END, r"left for the end of the process \(atexit\): last_words"
    ),
    lost(7, "equal_to_everything", snippets.EQUAL),
    Attack(
        8,
        "patched_comparisons",
        NOTHING,
        WRONG,
        snippets.PATCHED_COMPARISONS,
        flag="replaced in the kernel: .*allclose",
    ),
    harmless(9, "gradebook", snippets.WRITES_GRADEBOOK),
    harmless(10, "reads_others", snippets.READS_OTHERS),
    Attack(
        11,
        "symlink",
        FULL,
        HONEST,
        files=linked(lambda p: p.symlink_to("/usr/lib/os-release")),
        flag="a link or a special file",
    ),
    Attack(
        11,
        "hardlink",
        FULL,
        HONEST,
        files=linked(lambda p: p.hardlink_to(p.parent / "tiny.bundle.safetensors")),
        flag="a link",
    ),
    Attack(12, "forged_answers", NOTHING, WRONG, snippets.FORGED_ANSWERS, flag="replaced in the kernel"),
    Attack(12, "forged_message", NOTHING, with_first(snippets.FORGED_MESSAGE)),
    lost(12, "message_without_text", called(wire.WITHOUT_TEXT), "salvaged", "no message"),
    lost(12, "message_of_one_part", called(wire.ONE_PART), "salvaged", "no message"),
    lost(13, "pickle", snippets.PICKLE),
    harmless(14, "network", snippets.NETWORK),
    lost(15, "sys_exit", "import sys\nsys.exit(0)"),
    lost(16, "os_exit", "import os\nos._exit(0)", "salvaged"),
    lost(16, "segfault", "import ctypes\nctypes.string_at(0)", "salvaged"),
    lost(
        16,
        "dies_in_the_check",
        "def scale(x, factor):\n    import os\n    os._exit(1)",
        "salvaged",
    ),
    harmless(16, "signals", snippets.SIGNALS),
    lost(17, "loop", "while True: pass"),
    lost(17, "deaf_loop", IGNORES, "salvaged"),
    lost(17, "flood_of_messages", called(wire.FLOOD), "graded or salvaged"),
    lost(19, "memory", "x = torch.ones(2**31)\nwhile True: x = torch.cat([x, x])"),
    harmless(19, "raises_limits", snippets.RAISES_LIMITS),
    harmless(20, "fork_bomb", snippets.FORKS),
    harmless(20, "daemon", snippets.DAEMON),
    harmless(20, "namespaces", snippets.JOINS_NAMESPACES),
    # On a fast machine what is printed between two flushes is more than a message may hold.
    lost(21, "output", "while True: print('x' * 100_000)", "graded or salvaged"),
    lost(21, "giant_message", called(wire.GIANT), "salvaged"),
    harmless(22, "disk", snippets.FILLS_DISK),
    harmless(23, "threads", snippets.MANY_THREADS),
    harmless(24, "no_gpu", snippets.LOOKS_FOR_GPU),
    harmless(27, "stderr", "import sys, warnings\nprint('1/9', file=sys.stderr)\nwarnings.warn('careful')"),
    Attack(28, "empty", None, HONEST, files=rewritten(lambda data: b""), state="unreadable"),
    Attack(28, "truncated", None, HONEST, files=rewritten(lambda data: data[:999]), state="unreadable"),
    Attack(28, "bom", FULL, HONEST, files=rewritten(lambda data: b"\xef\xbb\xbf" + data), state="repaired"),
    Attack(
        28,
        "utf16",
        FULL,
        HONEST,
        files=rewritten(lambda data: data.decode().encode("utf-16")),
        state="repaired",
    ),
    Attack(29, "deleted_test", FULL, HONEST, change=drop("scale-check"), state="repaired"),
    Attack(
        30,
        "deleted_both",
        2.0,
        {"mean_of": MEAN},
        change=drop("scale", "scale-check", "scale-hidden"),
        state="repaired",
    ),
    Attack(31, "points", NOTHING, WRONG, change=each_cell(regrade)),
    Attack(31, "duplicated", FULL, HONEST, change=twice("scale", WRONG["scale"]), flag="more than once"),
    Attack(
        32,
        "renamed",
        FULL,
        HONEST,
        files=renamed("sub folder/我的 作业 (1).ipynb"),
        state="repaired",
        flag="renamed",
    ),
    Attack(33, "no_such_kernel", FULL, HONEST, change=kernel_named("my-env", "python")),
    Attack(33, "other_language", FULL, HONEST, change=kernel_named("ir", "R")),
    lost(34, "input", "factor = input('factor? ')"),
    Attack(
        36,
        "no_time",
        FULL,
        HONEST,
        files=beside("timestamp.txt", "the day before yesterday"),
        flag="timestamp.txt is no time: 'the day before yesterday'",
    ),
    Attack(
        36,
        "no_text",
        FULL,
        HONEST,
        files=beside("timestamp.txt", b"\xff\xfe\x00\xd8" * 9),
        flag="timestamp.txt is no time",
    ),
    Attack(
        36,
        "from_the_future",
        FULL,
        HONEST,
        files=beside("timestamp.txt", "2999-01-01 00:00:00 UTC"),
        flag=r"timestamp.txt says 2999-01-01 00:00 \(UTC\), which is later than it was collected",
    ),
    Attack(36, "ordinary", FULL, HONEST, files=beside("timestamp.txt", "2020-01-01 00:00:00 UTC")),
    lost(
        37,
        "detects_grading",
        f"import os\nif 'NBGRADER_EXECUTION' not in os.environ:\n    raise SystemError\n{WRONG['scale']}",
    ),
    Attack(
        39, "hard_coded", 3.0, {"scale": SCALE, "mean_of": "def mean_of(x):\n    return torch.tensor(1.9)"}
    ),
    Attack(
        43,
        "unusual",
        FULL,
        {
            "scale": "import os\nos.chdir('/tmp')\nprint('hello')\nscale = lambda x, factor: torch.mul(x, factor)",
            "mean_of": MEAN,
        },
        snippets.UNUSUAL,
    ),
]
