"""Runs test programs until the first failure (tools/mutants, tools/mutation-score)."""

import json
import os
import re
import signal
import subprocess
import threading


def built(folder, env, *arguments):
    """Compiles test targets, such as `--lib` and `--test it`: their programs by kind ("lib", "test"), or None if they do not
    compile."""
    command = ["cargo", "test", "--no-run", "--locked", "--message-format=json", *arguments]
    done = subprocess.run(command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if done.returncode != 0:
        return None
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {m["target"]["kind"][0]: m["executable"] for m in messages if m.get("executable") and m["profile"]["test"]}


def names(program, folder, env):
    """The names of a program's tests."""
    listed = subprocess.run([program, "--list", "--format=terse"], cwd=folder, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return [line.removesuffix(": test") for line in listed.stdout.splitlines() if line.endswith(": test")]


def first_failure(program, filters, folder, env, limit):
    """The first test that fails, "no end", or the exit code. None if all pass."""
    process = subprocess.Popen([program, *filters], cwd=folder, env=env, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    late = threading.Event()

    def end():
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    timer = threading.Timer(limit, lambda: (late.set(), end()))
    timer.start()
    failed = None
    try:
        for line in process.stdout:
            match = re.match(r"test (\S+) .*\.\.\. FAILED", line)
            if match:
                failed = match.group(1)
                break
    finally:
        end()
        process.stdout.close()
        code = process.wait()
        timer.cancel()
    if failed or late.is_set():
        return failed or "no end"
    return None if code == 0 else f"exit code {code}"
