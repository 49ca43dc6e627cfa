"""How long kernels take, in turns: python test/benchmarks/kernel.py [ROUNDS] [KERNEL BASELINE]

In each round one kernel of each kind is started. Measured are the time until it answers its first request
(ready; Jupyter's client looks every 0.2 s), until its first cell has printed (first result), and that of 20
different small cells, before tarflow is imported and after. Prints medians over the rounds, of cells over
cells and rounds, and the ratios. Run it by the environment of the project's JupyterLab (.venv/bin/python),
with nothing beside.
"""

import statistics
import sys
import time
from pathlib import Path

from jupyter_client.manager import KernelManager

ROOT = Path(__file__).resolve().parent.parent.parent
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
KERNELS = sys.argv[2:] or ["tarflow", "tslab-plain"]
if len(KERNELS) != 2:
    sys.exit(f"{len(KERNELS)} kernel came: give two, a kernel and its baseline")

CELLS = [
    "const a{i} = {i} + 1;",
    "console.log('text {i}');",
    "function f{i}(x: number): number {{ return x * {i}; }}",
    "[1, 2, 3].map((x) => x + {i})",
    "class C{i} {{ constructor(readonly name: string) {{}} }}",
    "interface I{i} {{ name: string; size: number }}",
    "const o{i} = {{ name: 'n{i}', list: [1, 2, 3] }};",
    "for (let k = 0; k < 10; k++) console.log(k + {i});",
    "await new Promise<void>((resolve) => setImmediate(resolve));",
    "import * as path{i} from 'node:path';",
    "let s{i} = 0; for (const x of [1, 2, {i}]) s{i} += x;",
    "type T{i} = {{ [key: string]: number }};",
    "const m{i} = new Map<string, number>([['a', {i}]]);",
    "`${{1 + {i}}} of ${{2 * {i}}}`",
    "const g{i} = async (x: number) => x + {i}; await g{i}(1)",
    "enum E{i} {{ A, B, C }}",
    "const [p{i}, ...q{i}] = [1, 2, 3, {i}];",
    "JSON.stringify({{ value: {i} }})",
    "try {{ throw new Error('{i}'); }} catch (error) {{ console.log(String(error)); }}",
    "const u{i}: number | undefined = undefined; u{i} ?? {i}",
]


def answered(client, code):
    """Seconds until a cell has been executed and all of its outputs are there."""
    begun = time.perf_counter()
    sent = client.execute(code)
    while True:
        message = client.get_iopub_msg(timeout=120)
        if message["parent_header"].get("msg_id") != sent:
            continue
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            break
    reply = client.get_shell_msg(timeout=120)
    while reply["parent_header"].get("msg_id") != sent:
        reply = client.get_shell_msg(timeout=120)
    if reply["content"]["status"] != "ok":
        raise RuntimeError(f"{code}: {reply['content']}")
    return time.perf_counter() - begun


def measured(kernel, round_):
    manager = KernelManager(kernel_name=kernel)
    begun = time.perf_counter()
    manager.start_kernel(cwd=str(ROOT / "notebooks"))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        found = {"ready": [time.perf_counter() - begun]}
        answered(client, "console.log('first');")
        found["first result"] = [time.perf_counter() - begun]
        found["small cells"] = cells(client, 100 * round_)
        importing = "import * as tarflow from 'tarflow'; await tarflow.startEngine();"
        found["import of tarflow"] = [answered(client, importing)]
        found["small cells after it"] = cells(client, 100 * round_ + 50)
        return found
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def cells(client, first):
    """Seconds of each small cell, whose names have numbers from `first` on."""
    return [answered(client, cell.format(i=first + i)) for i, cell in enumerate(CELLS)]


def main():
    found = {kernel: {} for kernel in KERNELS}
    for round_ in range(ROUNDS):
        for kernel in KERNELS if round_ % 2 == 0 else KERNELS[::-1]:
            for name, seconds in measured(kernel, round_).items():
                found[kernel].setdefault(name, []).extend(seconds)
    ours, theirs = (found[kernel] for kernel in KERNELS)
    print(f"{'median, ms':22}{KERNELS[0]:>12}{KERNELS[1]:>14}{'ratio':>8}{'n':>6}")
    for name, values in ours.items():
        a, b = statistics.median(values), statistics.median(theirs[name])
        print(f"{name:22}{1000 * a:12.1f}{1000 * b:14.1f}{a / b:8.2f}{len(values):6}")


main()
