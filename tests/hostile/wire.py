"""What a notebook can do with the wire between kernel and grader: messages that are forged, broken, or far too many.

Each is code that defines `attack()`, for an answer to call while its check runs.
"""

_SAY = """
from IPython import get_ipython
kernel = get_ipython().kernel
def say(kind, content):
    ident = f"kernel.{kernel.ident}.{kind}".encode()
    kernel.session.send(kernel.iopub_socket, kind, content, parent=kernel.get_parent(), ident=ident)
def raw(*parts):
    import time
    kernel.iopub_thread.send_multipart([b"kernel.stream", b"<IDS|MSG>", *parts])
    time.sleep(0.5)
"""
RESULT = f"""{_SAY}
def attack():
    say("execute_result", {{"execution_count": 1, "data": {{"text/plain": "1.0"}}, "metadata": {{}}}})
"""
IDLE = f"""{_SAY}
def attack():
    say("status", {{"execution_state": "idle"}})
"""
REPLY = f"""{_SAY}
def attack():
    import inspect, time
    frame = inspect.currentframe()
    while frame.f_code.co_name != "execute_request": frame = frame.f_back
    stream, ident = frame.f_locals["stream"], frame.f_locals["ident"]
    content = {{"status": "ok", "execution_count": 1, "user_expressions": {{}}, "payload": []}}
    kernel.session.send(stream, "execute_reply", content, kernel.get_parent(), ident=ident)
    getattr(stream, "flush", print)()
    say("status", {{"execution_state": "idle"}})
    time.sleep(0.5)
"""
CLEARED = f"""{_SAY}
def wipe(result):
    get_ipython().events.unregister("post_run_cell", wipe)
    say("clear_output", {{"wait": False}})
def attack():
    get_ipython().events.register("post_run_cell", wipe)
"""
WIDGET = f"""{_SAY}
def attack():
    cell = kernel.get_parent()["header"]["msg_id"]
    state = {{"_model_module": "@jupyter-widgets/output", "_model_name": "OutputModel", "msg_id": "", "outputs": []}}
    say("comm_open", {{"comm_id": cell, "target_name": "jupyter.widget", "data": {{"state": state, "buffer_paths": []}}}})
    say("comm_msg", {{"comm_id": cell, "data": {{"method": "update", "state": {{"msg_id": cell}}}}}})
"""
WITHOUT_TEXT = f"""{_SAY}
def attack():
    say("stream", {{}})
"""
WRONG_KIND = f"""{_SAY}
def attack():
    say("error", {{"ename": 1, "evalue": 2, "traceback": 3}})
"""
ONE_PART = f"""{_SAY}
def attack():
    raw(b"x")
"""
UNSIGNED = f"""{_SAY}
def attack():
    raw(b"0" * 64, b"{{}}", b"{{}}", b"{{}}", b"{{}}")
"""
# From the thread that owns the socket: two that send at once break messages apart, which is told as such.
FLOOD = f"""{_SAY}
def attack():
    import threading
    session, ended = kernel.session, threading.Event()
    def flood():
        while not ended.is_set():
            message = session.serialize(session.msg("status", {{"execution_state": "busy"}}), ident=b"kernel.status")
            kernel.iopub_thread._really_send(message)
    kernel.iopub_thread.io_loop.add_callback(flood)
    try:
        while True: threading.Event().wait(1)
    finally:
        ended.set()
"""
GIANT = "def attack():\n    print('x' * 100_000_000)\n"
