"""Code that attacks or overloads whatever runs it; most of it needs `torch` to be there."""

EQUAL = """
class Equal(torch.Tensor):
    def __eq__(self, other): return torch.tensor(True)
    def allclose(self, *a, **k): return True
    def numel(self): return 5
    def __len__(self): return 5

class Always:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __array__(self, *a, **k): import numpy; return numpy.zeros(5)

def scale(x, factor):
    return Always() if x.dim() == 1 else torch.zeros_like(x).as_subclass(Equal)
"""
LEAVES_ASSERTS_OUT = """
import ast
class Drop(ast.NodeTransformer):
    def visit_Assert(self, node): return ast.Pass()
get_ipython().ast_transformers.append(Drop())
get_ipython().input_transformers_post.append(lambda lines: ["100.0\\n"] if any("collect" in l for l in lines) else lines)
get_ipython().events.register("pre_run_cell", lambda info: None)
"""
PATCHED_SHELL = """
from IPython.core.interactiveshell import InteractiveShell
_real = InteractiveShell.showtraceback
InteractiveShell.showtraceback = lambda self, *a, **k: None
_run = InteractiveShell.run_cell_async
async def run_cell_async(self, raw, *a, **k):
    return await _run(self, raw, *a, **k)
InteractiveShell.run_cell_async = run_cell_async
"""
PATCHED_COMPARISONS = """
import numpy, builtins
torch.allclose = lambda *a, **k: True
torch.equal = lambda *a, **k: True
numpy.testing.assert_allclose = lambda *a, **k: None
builtins.abs = lambda x: 0
"""
FORGED_ANSWERS = """
import coursekit.check.collect as _c, coursekit.check.call as _call
_call.answer = _c.answer = lambda *a, **k: [{"status": "ok", "value": 1.0, "score": 99}] * 9
"""
FORGED_MESSAGE = """
import base64, json
from IPython.display import display
display({"application/x-coursekit-answers": base64.b64encode(json.dumps([{"status": "ok", "points": 99}]).encode()).decode()}, raw=True)
with open("results.json", "w") as f: json.dump({"score": 100}, f)
"""
SWAPS_LATER = """
import threading, time
def _swap():
    while True:
        globals()["scale"] = lambda x, factor: x * factor
        time.sleep(0.01)
threading.Thread(target=_swap, name="swap", daemon=True).start()
"""
LOOKS_FOR_VALUES = """
import gc, inspect, os, pathlib
found = [c for c in In if "HIDDEN TESTS" in c or "cases=" in c]
places = [p for r in ("/sandbox", "/tmp", os.getcwd()) for p in pathlib.Path(r).rglob("*") if p.is_file() and "expected" in p.name]
frames = [f for f in inspect.stack() if "expected" in f.frame.f_locals]
assert not found and not places and not frames
assert not [k for k in os.environ if "SECRET" in k.upper()]
raise RuntimeError("nothing found")
"""
READS_OTHERS = """
import os, sys
for folder, folders, names in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(folder, f) not in ("/proc", "/sys", "/usr", "/dev", sys.prefix, sys.base_prefix)]
    for n in names:
        assert n not in ("gradebook.db", "checks.py", "secret") and "r05" not in folder, os.path.join(folder, n)
"""
WRITES_GRADEBOOK = """
import os, sqlite3
for path in ["../" * up + "gradebook.db" for up in range(6)] + ["/sandbox/submission/gradebook.db"]:
    if os.path.exists(path):
        with sqlite3.connect(path, timeout=5) as gradebook:
            gradebook.execute("update grade set extra_credit = 95")
"""
PICKLE = """
import os, pickle
class Boom:
    def __reduce__(self): return (os.system, ("touch /tmp/pwned",))
open("weights.pt", "wb").write(pickle.dumps(Boom()))
open("scale.pkl", "wb").write(pickle.dumps(Boom()))

def scale(x, factor):
    return Boom()
"""
NETWORK = """
import socket, urllib.request
try:
    urllib.request.urlopen("http://127.0.0.1:80", timeout=1)
    raise SystemError("there is a network")
except OSError: pass
try:
    socket.getaddrinfo("example.org", 80)
    raise SystemError("names are resolved")
except OSError: pass
assert [n for _, n in socket.if_nameindex()] == ["lo"]
"""
FORKS = """
import os, time
children = 0
try:
    for _ in range(5000):
        if os.fork() == 0:
            time.sleep(300); os._exit(0)
        children += 1
except OSError: pass
assert children < 5000
"""
DAEMON = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv("/bin/sleep", ["survivor-of-a-kernel", "600"])
    os._exit(0)
"""
FILLS_DISK = """
try:
    with open("big", "wb") as f:
        while True: f.write(b"0" * 2**20)
except OSError: pass
import os, time
os.remove("big")
end = time.monotonic() + 3
try:
    while time.monotonic() < end: os.mknod(f"/tmp/{time.monotonic_ns()}")
except OSError: pass
"""
MANY_THREADS = """
import threading, time
threads = []
try:
    for i in range(3000):
        t = threading.Thread(target=time.sleep, args=(3,), name="many"); t.start(); threads.append(t)
except RuntimeError: pass
torch.set_num_threads(64)
"""
LEFT_FOR_THE_END = """
import atexit
@atexit.register
def last_words():
    open("last-words", "w").write("done")
"""
RAISES_LIMITS = """
import resource
for name in ("RLIMIT_DATA", "RLIMIT_CPU", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE"):
    kind = getattr(resource, name)
    _, most = resource.getrlimit(kind)
    assert most != resource.RLIM_INFINITY, name
    for wanted in (most + 1, resource.RLIM_INFINITY):
        try:
            resource.setrlimit(kind, (wanted, wanted))
        except (ValueError, OSError):
            continue
        raise SystemError(name + " was raised")
"""
SIGNALS = """
import os, signal
for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGKILL):
    for process in {os.getppid(), 1, -1} - {0, os.getpid()}:
        try:
            os.kill(process, number)
        except (PermissionError, ProcessLookupError):
            pass  # it is out of reach, as it should be
"""
LOOKS_FOR_GPU = """
import glob
assert not glob.glob("/dev/nvidia*") and not glob.glob("/dev/dri*")
assert not torch.cuda.is_available() and not torch.cuda.is_initialized()
"""
JOINS_NAMESPACES = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
for kind in os.listdir("/proc/self/ns"):
    there = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)
    assert libc.setns(there, 0) == -1, kind
assert [libc.unshare(flag) for flag in (0x10000000, 0x00020000, 0x40000000)] == [-1] * 3
assert libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == -1
"""
UNUSUAL = """
import matplotlib.pyplot as plt
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
InteractiveShell.ast_node_interactivity = "all"
plt.plot([1, 2])
plt.show()
%time y = 1
handle = display("working", display_id=True)
handle.update("done")
my_own_name = 7
my_own_name
"""
