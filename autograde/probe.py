"""What is read in a kernel before the first cell and after the last: where cells are run and values are compared, things
that a notebook can replace. It is sent as text, uses nothing of ours and prints one line of JSON.
"""

import atexit
import builtins
import functools
import json
import sys
import threading
from typing import Any

from IPython import get_ipython

WATCHED = {
    "builtins": "AssertionError Exception abs all any compile eval exec float int isinstance len max min open print round sum zip",
    "math": "isclose",
    "unittest": "TestCase.assertEqual TestCase.assertAlmostEqual TestCase.assertTrue TestCase.fail",
    "numpy": "allclose array_equal isclose",
    "numpy.testing": "assert_allclose assert_almost_equal assert_array_almost_equal assert_array_equal assert_equal assert_raises",
    "torch": "allclose equal isclose Tensor.__eq__ Tensor.allclose Tensor.equal Tensor.all Tensor.item",
    "torch.testing": "assert_close",
    "pandas.testing": "assert_frame_equal assert_series_equal",
    "nbgrader.utils": "determine_grade",
    "json": "dumps loads",
    "base64": "b64encode",
    "IPython.core.interactiveshell": "InteractiveShell.run_cell InteractiveShell.run_cell_async InteractiveShell._run_cell "
    "InteractiveShell.run_ast_nodes InteractiveShell.run_code InteractiveShell.showtraceback InteractiveShell.transform_cell",
    "IPython.display": "display",
    "ipykernel.ipkernel": "IPythonKernel.do_execute",
    "ipykernel.kernelbase": "Kernel.execute_request",
    "ipykernel.zmqshell": "ZMQInteractiveShell.run_cell ZMQInteractiveShell._showtraceback",
    "coursekit.check.call": "answer",
    "coursekit.check.collect": "collect send_flags _send",
    "coursekit.check.tree": "dumps loads",
}


def is_foreign(code: Any) -> bool:
    """Whether code, or a function, was written in a cell or a file of the submission."""
    file = getattr(getattr(code, "__code__", code), "co_filename", "")
    return file.startswith(("/tmp/ipykernel_", "<ipython-input", "/sandbox/home"))


def watch_atexit() -> list[str]:
    """Names of what cells of the notebook registered for the end, which Python itself does not tell; watched from now on."""
    if not hasattr(atexit.register, "left"):
        register: Any = atexit.register
        left: list[str] = []

        @functools.wraps(register)
        def watched(work: Any, /, *arguments: Any, **options: Any) -> Any:
            if is_foreign(sys._getframe(1).f_code):
                left.append(getattr(work, "__name__", str(work))[:80])
            return register(work, *arguments, **options)

        vars(watched)["left"] = left
        atexit.register = watched
    return vars(atexit.register)["left"]


def find_spec(finder: Any) -> Any:
    """How a finder of modules finds them."""
    return getattr(finder, "find_spec", None)


def work(thread: threading.Thread) -> Any:
    """What a thread runs."""
    return getattr(thread, "_target", None) or thread.run


def look() -> dict[str, Any]:
    """By name: of functions whether they are foreign, and their identity; of lists what they hold."""
    found: dict[str, Any] = {}
    for module, names in WATCHED.items():
        for name in names.split() if module in sys.modules else ():
            thing: Any = sys.modules[module]
            for part in name.split("."):
                thing = getattr(thing, part, None)
            found[module + "." + name] = ["foreign" if is_foreign(thing) else "own", id(thing)]
    shell = get_ipython()
    for name in ("ast_transformers", "input_transformers_cleanup", "input_transformers_post"):
        found[name] = [str(each)[:80] for each in getattr(shell, name)]
    for event, callbacks in shell.events.callbacks.items():
        found["event " + event] = [str(each)[:80] for each in callbacks if is_foreign(each)]
    for name, owner in (("shell", shell), ("kernel", shell.kernel), ("session", shell.kernel.session)):
        found["methods of the " + name] = sorted(n for n, each in vars(owner).items() if is_foreign(each))
    found["sys.meta_path"] = [str(each)[:80] for each in sys.meta_path if is_foreign(find_spec(each))]
    found["sys.settrace"] = [str(sys.gettrace()), str(sys.getprofile())]
    found["atexit"] = watch_atexit()
    found["threads"] = [each.name for each in threading.enumerate() if is_foreign(work(each))]
    return found


builtins.print(json.dumps(look()))
