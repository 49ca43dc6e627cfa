"""The kernel against jupyter_kernel_test, with every feature declared but the pager."""

import os
import unittest

import jupyter_kernel_test as jkt

NAME = os.environ["KERNEL"]
HOOK = "(globalThis as any)[Symbol.for('tarflow.kernel')]"


class Protocol(jkt.KernelTests):
    kernel_name = NAME
    language_name = "typescript"
    file_extension = ".ts"
    code_hello_world = "console.log('hello, world');"
    code_stderr = "console.error('oops');"
    completion_samples = [
        {"text": "JSON.pars", "matches": {"parse"}},
        {"text": "Math.sqrt", "matches": {"sqrt", "SQRT1_2", "SQRT2"}},
        {"text": "import { promises } from 'node:child_pro", "matches": {"node:child_process"}},
    ]
    complete_code_samples = ["1 + 1", "const a = [1, 2];", "function f() {\n  return 1;\n}", "await 0;"]
    incomplete_code_samples = ["function f() {", "const a = [", "`one", "/* one"]
    invalid_code_samples = ["import = 7q", "const 1 = 2;", "let a b;"]
    code_generate_error = "throw new Error('deliberate');"
    code_execute_result = [
        {"code": "6 * 7", "result": "42"},
        {"code": "'a' + 'b'", "result": "'ab'"},
        {"code": "1+2+3", "result": "6"},
        {"code": "12 + 5", "result": "17"},
    ]
    code_display_data = [
        {"code": "import * as tslab from 'tslab'; tslab.display.html('<b>x</b>');", "mime": "text/html"},
        {"code": "tslab.display.png(new Uint8Array([1, 2, 3]));", "mime": "image/png"},
    ]
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample = "parseFloat"
    code_clear_output = f"{HOOK}.clearOutput(false);"


class Welcome(jkt.IopubWelcomeTests):
    kernel_name = NAME
    support_iopub_welcome = True


if __name__ == "__main__":
    unittest.main()
