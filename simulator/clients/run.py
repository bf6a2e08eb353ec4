"""Starts the simulators and the terminator, runs every story at once, and prints a table: run.py INSTALLED PROGRAM

Each story has a world of its own. The exit code is 1 if a call did not end as in recordings of the live services, unless
`known.json` gives the reason, or if a reason there is not needed any more.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).parent
INSTALLED, PROGRAM = pathlib.Path(sys.argv[1]), sys.argv[2]
NODE = INSTALLED / "node" / "node_modules"


def python(name):
    return str(INSTALLED / name / "bin" / "python")


OWN = python("okta-python-3")


def version_of(name):
    lock = (HERE / f"{name}.in").read_text()
    return lock.strip().split("==")[1]


def node_version_of(name):
    return json.loads((HERE / "package.json").read_text())["dependencies"][name]


STORIES = [
    ("okta (Python 3.x)", version_of("okta-python-3"), [OWN, HERE / "okta_python_3.py"]),
    ("okta (Python 2.x)", version_of("okta-python-2"), [python("okta-python-2"), HERE / "okta_python_2.py"]),
    ("@okta/okta-sdk-nodejs", node_version_of("@okta/okta-sdk-nodejs"), ["node", HERE / "okta_node.js"]),
    ("okta-cli", version_of("okta-cli"), [OWN, HERE / "command_lines.py", "okta-cli", INSTALLED / "okta-cli" / "bin" / "okta-cli"]),
    ("anypoint-cli-v4", node_version_of("anypoint-cli-v4"), [OWN, HERE / "command_lines.py", "anypoint-cli", NODE / ".bin" / "anypoint-cli-v4"]),
]


class World:
    """A pair of simulators with TLS before them."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        log = self.start([PROGRAM, "--json", "simulate", "--okta", "127.0.0.1:0", "--anypoint", "127.0.0.1:0"])
        self.settings = json.loads(log.readline())["settings"]
        self.undocumented = []
        threading.Thread(target=self.watch, args=(log,), daemon=True).start()
        okta, anypoint = self.settings["OKTA_ORG_URL"], self.settings["ANYPOINT_BASE_URL"]
        ports = [f"OKTA={okta.rsplit(':', 1)[1]}", f"ANYPOINT={anypoint.rsplit(':', 1)[1]}"]
        log = self.start([OWN, HERE / "terminator.py", folder, *ports])
        self.addresses = dict(log.readline().strip().split("=", 1) for _ in range(3))
        subprocess.run([OWN, HERE / "keys.py", okta, folder], check=True)

    def start(self, command):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process.stdout

    def watch(self, log):
        for line in log:
            self.undocumented += json.loads(line).get("unexpected", [])

    def environment(self):
        authority = str(self.folder / "ca.pem")
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder),
            "NODE_PATH": str(NODE),
            # Each client looks for the authority in another place.
            "SSL_CERT_FILE": authority,
            "REQUESTS_CA_BUNDLE": authority,
            "NODE_EXTRA_CA_CERTS": authority,
            "OKTA": self.addresses["OKTA"],
            "HOOK": self.addresses["HOOK"],
            "APP": self.settings["OKTA_APP_ID"],
            "TOKEN": self.settings["OKTA_API_TOKEN"],
            "CLIENT": "0oaSERVICE",
            "DPOP_CLIENT": "0oaSERVICEDPOP",
            "KEY": (self.folder / "service.jwk").read_text(),
            "KEY_FILE": str(self.folder / "service.pem"),
            "ANYPOINT_HOST": self.addresses["ANYPOINT"].removeprefix("https://"),
            "ANYPOINT_ORG": self.settings["ANYPOINT_ORG_ID"],
            "ANYPOINT_CLIENT_ID": self.settings["ANYPOINT_CLIENT_ID"],
            "ANYPOINT_CLIENT_SECRET": self.settings["ANYPOINT_CLIENT_SECRET"],
        }

    def stop(self):
        for process in self.processes:
            process.terminate()
            process.wait(10)


def play(story, results):
    """Runs one story to its end and keeps its calls, and what stopped it before its end."""
    name, _, command = story
    with tempfile.TemporaryDirectory() as folder:
        world = World(pathlib.Path(folder))
        began = time.monotonic()
        try:
            ran = subprocess.run(command, env=world.environment(), capture_output=True, text=True, timeout=150)
            calls = [json.loads(line) for line in ran.stdout.splitlines()]
            broken = None if ran.returncode == 0 and calls else (ran.stderr.strip() or "no call")[-800:]
        except subprocess.TimeoutExpired:
            calls, broken = [], "did not end within 150 s"
        finally:
            world.stop()
        results[name] = (calls, broken, time.monotonic() - began, world.undocumented)


def main():
    known = json.loads((HERE / "known.json").read_text())
    results = {}
    threads = [threading.Thread(target=play, args=(story, results)) for story in STORIES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong, differences = [], []
    print(f"{'client':<24}{'version':<10}{'calls':>6}{'as recorded':>13}{'time':>8}")
    for name, version, _ in STORIES:
        if name not in results:
            wrong.append(f"{name}: its simulators did not start")
            continue
        calls, broken, seconds, undocumented = results[name]
        reasons = dict(known.get(name, {}))
        good = sum(call["trouble"] is None for call in calls)
        print(f"{name:<24}{version:<10}{len(calls):>6}{good:>13}{seconds:>6.1f} s")
        if broken:
            wrong.append(f"{name} stopped: {broken}")
        for call in calls:
            if call["trouble"] is None:
                continue
            reason = reasons.pop(call["call"], None)
            if reason:
                differences.append(f"{name}, {call['call']}: {reason}")
            else:
                wrong.append(f"{name}, {call['call']}: {call['trouble']}")
        wrong += [f"{name}, {call}: ended as recorded; take it out of known.json" for call in reasons]
        for request in sorted(set(undocumented)):
            differences.append(f"{name} asks outside the vendor's documents: {request}")
    for title, lines in (("Differences left", differences), ("Wrong", wrong)):
        if lines:
            print(f"\n{title}:")
            print("\n".join(f"- {line}" for line in lines))
    sys.exit(1 if wrong else 0)


main()
