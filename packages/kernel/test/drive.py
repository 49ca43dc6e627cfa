"""Drives a kernel as a front end does: python drive.py KERNEL [FOLDER]

Reads lists of steps from stdin, one in a line of JSON, and answers each with a line of results. At the end
of stdin the kernel is shut down, and a last line lists those of its processes that are still there.

A step is {"code": …} with the fields of an execute_request, or {"ask": MESSAGE_TYPE, "content": …}, with
"unanswered": true where no reply comes, and

  "with": steps that are sent at once behind it, before it has ended
  "when": "text" and "interrupt": "message" | "signal": interrupt when the cell has printed the text, at
    once where it is empty
  "kill": "cells" | "front", with "when": kill that process then; no step follows "front"

A result is {"reply": content, "outputs": [[type, content], …], "late": [[type, content], …]}, in the order
of the steps; late is what came under a step after it had ended, during the later ones of its list.
"""

import json
import os
import signal
import sys
import time

import psutil
from jupyter_client.manager import KernelManager

WAIT = 60

kernel, *rest = sys.argv[1:]
manager = KernelManager(kernel_name=kernel)
# Not our stdout, which a Node.js process would make one that does not wait.
manager.start_kernel(cwd=rest[0] if rest else None, stdout=sys.stderr)
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=WAIT)
front = manager.provisioner.process.pid


def children(pid):
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


results = {}


def send(step):
    if "ask" in step:
        message = client.session.msg(step["ask"], step.get("content", {}))
        client.shell_channel.send(message)
        sent = message["header"]["msg_id"]
    else:
        fields = {k: v for k, v in step.items() if k not in ("code", "with", "when", "interrupt", "kill")}
        content = {
            "code": step["code"],
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
            **fields,
        }
        message = client.session.msg("execute_request", content)
        client.shell_channel.send(message)
        sent = message["header"]["msg_id"]
    results[sent] = {"reply": None, "outputs": [], "late": [], "over": False}
    return sent


def take(timeout):
    message = client.get_iopub_msg(timeout=timeout)
    result = results.get(message["parent_header"].get("msg_id"))
    if result is None:
        return
    kind, content = message["msg_type"], message["content"]
    if kind == "status":
        result["over"] = result["over"] or content["execution_state"] == "idle"
    else:
        result["late" if result["over"] else "outputs"].append([kind, content])


def printed(result):
    return "".join(c["text"] for kind, c in result["outputs"] if kind == "stream")


def act(step):
    if step.get("interrupt") == "message":
        manager.interrupt_kernel()
    elif step.get("interrupt") == "signal":
        os.kill(front, signal.SIGINT)
    elif step.get("kill") == "cells":
        for pid in children(front):
            os.kill(pid, signal.SIGKILL)
    elif step.get("kill") == "front":
        processes.extend([front, *children(front)])
        os.kill(front, signal.SIGKILL)
        manager.provisioner.process.wait()
        answer()
        finish()


def run(step):
    sent = [send(one) for one in [step, *step.get("with", [])]]
    waiting = "when" in step
    while not all(results[one]["over"] for one in sent):
        take(WAIT)
        if waiting and step["when"] in printed(results[sent[0]]):
            waiting = False
            act(step)
    while not step.get("unanswered") and not all(results[one]["reply"] for one in sent):
        reply = client.get_shell_msg(timeout=WAIT)
        # Others answer what was asked while the kernel started.
        result = results.get(reply["parent_header"]["msg_id"], {})
        result["reply"] = reply["content"]


processes = []


def answer():
    for result in results.values():
        del result["over"]
    print(json.dumps([*results.values()]), flush=True)


def finish():
    deadline = time.monotonic() + 10
    left = processes
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [pid for pid in processes if psutil.pid_exists(pid)]
    print(json.dumps(left))
    sys.exit()


for line in sys.stdin:
    results.clear()
    for step in json.loads(line):
        run(step)
    answer()
processes.extend([front, *children(front)])
manager.shutdown_kernel()
client.stop_channels()
finish()
