"""Runs the samples of events/ through `sam local` and checks the answers and the simulated Anypoint; see tools/sam-local.

DynamoDB Local, moto (SQS and Secrets Manager) and this program, as the event source between queue and worker, stand in for AWS.
`okta-anypoint simulate` stands in for Okta and Anypoint. This program changes Okta's state and reads Anypoint's through their APIs.
"""

import argparse
import base64
import contextlib
import hashlib
import json
import os
import pathlib
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import boto3
from botocore.config import Config

from vendors import APP, CLIENT_ID, CLIENT_SECRET, OKTA_TOKEN, ORGANIZATION, Anypoint, Okta, Wrong

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
HOOK_SECRET = "demo-hook-secret"
TABLE, QUEUE = "okta-anypoint", "okta-anypoint.fifo"
FIXED_PORTS = {"okta": 7001, "anypoint": 7002, "aws": 7003, "dynamodb": 7004}  # as in template.yaml and samconfig.toml

# Seconds. Only something that hangs takes longer: a slow computer builds in a fraction of the first, and `sam` itself
# ends a hook at 5 s and a worker at 120 s.
BUILD_LIMIT, INVOKE_LIMIT = 3600, 300
# Seconds in which a message that came back has to be done: a doubt waits 15 s for its second look.
RETURN_LIMIT = 120


STORY = json.loads((ROOT / "events/story.json").read_text())


# --- programs ---------------------------------------------------------------------------------------------------------


def completed(command, limit):
    """Runs a program to its end, at most `limit` seconds. Whatever happens, it does not outlive this call: `sam` is asked
    to end, so that it takes its containers with it."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        out, err = process.communicate(timeout=limit)
    except BaseException:
        stop(process)
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def stop(process):
    process.terminate()  # not SIGINT: a background process of a script may ignore it
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def engine():
    """A Docker engine with a runtime image. One that had to be started is stopped again."""
    with tempfile.NamedTemporaryFile("r", prefix="okta-anypoint-") as started:
        try:
            subprocess.run([ROOT / "tools/sam-local-image"], check=True, env={**os.environ, "ENGINE_PID_FILE": started.name})
            yield
        finally:
            pid = started.read().strip()
            if pid:
                stop_engine(int(pid))


def stop_engine(pid):
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + 60
    while pathlib.Path(f"/proc/{pid}").exists():
        if time.monotonic() > until:
            print(f"sam-local: the Docker engine that was started here (process {pid}) does not end", file=sys.stderr)
            return
        time.sleep(0.1)


# --- the story: events/story.json -------------------------------------------------------------------------------------


def prepare(step, okta, anypoint):
    """Brings both sides into the state before a step, by calls of their APIs."""
    for change in step.get("changes", []):
        if "okta" in change:
            okta.call(*change["okta"].split(" ", 1), change.get("body"))
        if "anypoint" in change:
            method, path = change["anypoint"].split(" ", 1)
            anypoint.call(method, f"/organizations/{ORGANIZATION}{with_ids(path, anypoint)}", change.get("body"))


def with_ids(path, anypoint):
    """Anypoint's ids in the place of {user:NAME} and {team:NAME}."""

    def ident(found):
        kind, name = found.groups()
        if kind == "user":
            return anypoint.users()[name]["id"]
        return next(team["team_id"] for team in anypoint.teams() if team["team_name"] == name)

    return re.sub(r"\{(user|team):([^}]+)\}", ident, path)


def differences(step):
    """Accounts and teams that differ from the step before, in the words of `Anypoint.look`."""
    accounts = {a["username"]: a["name"] + ("" if a["enabled"] else ", disabled") for a in step.get("accounts", [])}
    teams = dict(step.get("teams", {}))
    if "renamed" in step:
        teams[step["renamed"][0]] = None
    return accounts, teams


# --- servers ----------------------------------------------------------------------------------------------------------


def architecture():
    """Lambda's word for the kind of this computer."""
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def reachable_address():
    """An address of this computer that containers reach as `host-gateway`: Docker's bridge, or, where Docker runs in a
    virtual machine of its own, loopback."""
    image = f"public.ecr.aws/lambda/provided:al2023-{architecture()}"
    command = ["docker", "run", "--rm", "--add-host", "here:host-gateway", "--entrypoint", "/bin/cat", image, "/etc/hosts"]
    hosts = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    address = next(line.split()[0] for line in hosts.splitlines() if line.split()[1:] == ["here"])
    try:
        with socket.socket() as probe:
            probe.bind((address, 0))
        return address
    except OSError:
        return "127.0.0.1"


def free_ports(address):
    sockets = [socket.socket() for _ in FIXED_PORTS]
    for probe in sockets:
        probe.bind((address, 0))
    ports = {name: probe.getsockname()[1] for name, probe in zip(FIXED_PORTS, sockets)}
    for probe in sockets:
        probe.close()
    return ports


class Servers:
    """Everything that is started; leaving the block stops it."""

    def __init__(self, ports, address, folder):
        self.ports, self.address, self.folder = ports, address, folder
        self.running = []

    def url(self, name):
        return f"http://{self.address}:{self.ports[name]}"

    def start(self, name, command, **more):
        log = open(self.folder / f"{name}.log", "w")
        self.running.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **more))

    def __enter__(self):
        try:
            self.start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.running:
            stop(process)

    def start_all(self):
        state = self.folder / "state.json"
        state.write_text(json.dumps(STORY["start"]))
        program = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "okta-anypoint"
        at = {name: f"{self.address}:{port}" for name, port in self.ports.items()}
        self.start("simulate", [program, "simulate", "--okta", at["okta"], "--anypoint", at["anypoint"], "--state", state])
        self.start("moto", [TOOLS / "venv/bin/moto_server", "-H", self.address, "-p", str(self.ports["aws"])])
        self.start("dynamodb", ["java", "-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar", "-inMemory", "-sharedDb",
                                "-disableTelemetry", "-port", str(self.ports["dynamodb"])], cwd=TOOLS / "dynamodb-local")
        until = time.monotonic() + 60
        for name, port in self.ports.items():
            while True:
                try:
                    socket.create_connection((self.address, port), 1).close()
                    break
                except OSError:
                    ended = [p.args[0] for p in self.running if p.poll() is not None]
                    if ended or time.monotonic() > until:
                        logs = "\n".join(f"{log.name}: {log.read_text()[:1500]}" for log in self.folder.glob("*.log"))
                        raise Wrong(f"{name} did not start\n{logs}") from None
                    time.sleep(0.1)

    def client(self, service):
        url = self.url("dynamodb" if service == "dynamodb" else "aws")
        return boto3.client(service, endpoint_url=url, region_name="us-east-1", aws_access_key_id="test",
                            aws_secret_access_key="test", config=Config(retries={"max_attempts": 1}))


def furnish(servers):
    """Table, queue and secrets, as the template makes them. Says under which ARNs the secrets are found."""
    servers.client("dynamodb").create_table(
        TableName=TABLE, BillingMode="PAY_PER_REQUEST", AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}])
    # moto deduplicates across groups, where the real queue does it within one; nothing here depends on that.
    servers.client("sqs").create_queue(QueueName=QUEUE, Attributes={"FifoQueue": "true", "VisibilityTimeout": "720"})
    secrets = servers.client("secretsmanager")
    secrets.create_secret(Name="okta-anypoint-hook-secret", SecretString=HOOK_SECRET)
    credentials = {"okta_api_token": OKTA_TOKEN, "anypoint_client_id": CLIENT_ID, "anypoint_client_secret": CLIENT_SECRET}
    secrets.create_secret(Name="okta-anypoint-credentials", SecretString=json.dumps(credentials))


# --- sam --------------------------------------------------------------------------------------------------------------


class Sam:
    """The real `sam`, pointed at the servers."""

    def __init__(self, servers, folder):
        self.folder = folder
        self.architecture = architecture()
        port = servers.ports
        self.parameters = [
            f"Architecture={self.architecture}", "LocalTest=true", f"OktaAppId={APP}", f"AnypointOrgId={ORGANIZATION}",
            f"OktaOrgUrl=http://okta.localhost:{port['okta']}", f"AnypointBaseUrl=http://anypoint.localhost:{port['anypoint']}",
        ]
        shared = {"AWS_ENDPOINT_URL": f"http://aws.localhost:{port['aws']}",
                  "AWS_ENDPOINT_URL_DYNAMODB": f"http://aws.localhost:{port['dynamodb']}",
                  "QUEUE_URL": f"http://aws.localhost:{port['aws']}/123456789012/{QUEUE}"}
        self.variables = folder / "variables.json"
        self.variables.write_text(json.dumps({f: shared for f in ("HookFunction", "ProvisionFunction", "ScheduleFunction")}))

    def local(self, *arguments):
        hosts = [part for name in ("okta", "anypoint", "aws") for part in ("--add-host", f"{name}.localhost:host-gateway")]
        return ["sam", "local", *arguments, "--skip-pull-image", "--env-vars", self.variables, *hosts,
                "--parameter-overrides", *self.parameters]

    def build(self):
        """`sam build` makes one function after the other, each with the command below for one binary. All at once first
        uses every processor, and leaves `sam` with nothing to compile."""
        arm = ["--arm64"] if self.architecture == "arm64" else []
        binaries = [part for name in ("hook", "provision", "schedule") for part in ("--bin", name)]
        for command in (["cargo", "lambda", "build", "--release", *arm, *binaries],
                        ["sam", "build", "--parameter-overrides", f"Architecture={self.architecture}"]):
            began = time.monotonic()
            done = completed(command, BUILD_LIMIT)
            if done.returncode != 0:
                raise Wrong(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}{done.stderr[-6000:]}")
            print(f"      {' '.join(command[:3]):40} {time.monotonic() - began:5.0f} s", flush=True)

    def invoke(self, function, event):
        """One event; the function's answer. `sam` exits 0 whatever the function says, so look."""
        command = self.local("invoke", function, "--event", event)
        done = completed(command, INVOKE_LIMIT)
        answer = done.stdout.strip().splitlines()[-1:] or [""]
        try:
            answer = json.loads(answer[0])
        except ValueError:
            raise Wrong(f"{function} gave no answer\n{done.stdout[-1000:]}{done.stderr[-4000:]}") from None
        if isinstance(answer, dict) and "errorType" in answer:
            raise Wrong(f"{function} failed: {answer}\n{done.stderr[-4000:]}")
        return answer

    def start_api(self, port):
        log = open(self.folder / "start-api.log", "w")
        command = self.local("start-api", "--port", str(port), "--warm-containers", "EAGER")
        return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def drain(servers, sam, folder):
    """What Lambda's event source does: hands the queue's messages to the worker until none is left. Says how many.
    A message may come back, for instance while a doubt waits for its second look, and is handed over again."""
    sqs = servers.client("sqs")
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    url = f"{servers.url('aws')}{urllib.parse.urlparse(url).path}"
    total, until = 0, time.monotonic() + RETURN_LIMIT
    for _ in range(20):
        messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"]).get("Messages", [])
        if not messages:
            return total
        records = [{"messageId": m["MessageId"], "receiptHandle": m["ReceiptHandle"], "body": m["Body"],
                    "attributes": m["Attributes"], "messageAttributes": {}, "md5OfBody": hashlib.md5(m["Body"].encode()).hexdigest(),
                    "eventSource": "aws:sqs", "eventSourceARN": f"arn:aws:sqs:us-east-1:123456789012:{QUEUE}",
                    "awsRegion": "us-east-1"} for m in messages]
        event = folder / "batch.json"
        event.write_text(json.dumps({"Records": records}))
        answer = sam.invoke("ProvisionFunction", event)
        returned = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        if returned and time.monotonic() > until:
            raise Wrong(f"the worker returned messages to the queue: {answer}")
        for message in messages:
            if message["MessageId"] in returned:
                sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
            else:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        total += len(messages) - len(returned)
        time.sleep(10 if returned else 0)
    raise Wrong("the queue does not get empty")


# --- checks -----------------------------------------------------------------------------------------------------------


def changed(before, difference):
    after = {**before, **difference}
    return {key: value for key, value in after.items() if value is not None}


class Run:
    """The story so far, and what was wrong."""

    def __init__(self, okta, anypoint):
        self.okta, self.anypoint = okta, anypoint
        self.accounts, self.teams = {}, {}
        self.failures = 0

    def step(self, name, act, step=None):
        began = time.monotonic()
        accounts, teams = differences(step or {})
        self.accounts, self.teams = changed(self.accounts, accounts), changed(self.teams, teams)
        try:
            prepare(step or {}, self.okta, self.anypoint)
            said = act()
            found = self.anypoint.look()
            if found != (self.accounts, self.teams):
                raise Wrong(f"Anypoint is {found}\n    expected    {(self.accounts, self.teams)}")
            print(f"ok    {name:30} {said:34} {time.monotonic() - began:5.1f} s", flush=True)
        except Exception as wrong:  # whatever it was, the rest of the story is told too
            self.failures += 1
            what = wrong if isinstance(wrong, Wrong) else f"{type(wrong).__name__}: {wrong}"
            print(f"WRONG {name:30} {what}", flush=True)


def answered(sample, event, status, answer):
    if answer.get("statusCode") != status:
        raise Wrong(f"answered {answer}, expected {status}")
    body = answer.get("body") or ""
    if sample == "01-verification":
        challenge = event["headers"]["x-okta-verification-challenge"]
        if json.loads(body) != {"verification": challenge}:
            raise Wrong(f"answered {body}, expected the challenge")
    elif body:
        raise Wrong(f"answered with a body: {body}")


def samples(run, servers, sam, folder):
    """Every sample of the story, each sent to its program."""

    def send(step):
        path = ROOT / "events" / f"{step['sample']}.json"
        if step["sent"] == "batch":
            until = time.monotonic() + RETURN_LIMIT
            while (answer := sam.invoke("ProvisionFunction", path)) != {"batchItemFailures": []}:
                if time.monotonic() > until:
                    raise Wrong(f"answered {answer}")
                time.sleep(10)
            return "no message left"
        if step["sent"] == "task":
            sam.invoke("ScheduleFunction", path)
            return f"{drain(servers, sam, folder)} queued"
        status = step["sent"]["hook"]
        answered(step["sample"], json.loads(path.read_text()), status, sam.invoke("HookFunction", path))
        return f"{status}, {drain(servers, sam, folder)} queued"

    for step in STORY["steps"]:
        run.step(step["sample"], lambda step=step: send(step), step)


def hook_over_http(run, sam):
    """`sam local start-api`, as a client of the API sees it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    api = sam.start_api(port)

    def request(name):
        event = json.loads((ROOT / f"events/{name}.json").read_text())
        body = event.get("body")
        data = None if body is None else base64.b64decode(body) if event["isBase64Encoded"] else body.encode()
        own = ("authorization", "content-type", "x-okta-verification-challenge")
        headers = {key: value for key, value in event["headers"].items() if key in own}
        method = event["requestContext"]["http"]["method"]
        http_request = urllib.request.Request(f"http://127.0.0.1:{port}/okta", data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(http_request, timeout=60) as response:
                return {"statusCode": response.status, "body": response.read().decode()}
        except urllib.error.HTTPError as error:
            return {"statusCode": error.code, "body": error.read().decode()}

    def wait():
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                if api.poll() is not None or time.monotonic() > until:
                    raise Wrong(f"start-api did not start\n{(sam.folder / 'start-api.log').read_text()[-3000:]}") from None
                time.sleep(0.2)

    def send(name, status):
        answered(name, json.loads((ROOT / f"events/{name}.json").read_text()), status, request(name))
        return f"{status} over HTTP"

    try:
        run.step("start-api", lambda: wait() or "listens")
        for name, status in (("01-verification", 200), ("02-wrong-secret", 401), ("06-user-assigned", 204)):
            run.step(f"start-api {name}"[:30], lambda name=name, status=status: send(name, status))
    finally:
        stop(api)


def table_is_settled(servers):
    items = []
    for page in servers.client("dynamodb").get_paginator("scan").paginate(TableName=TABLE, ConsistentRead=True):
        items += page["Items"]
    events = [item for item in items if item["pk"]["S"].startswith("event#")]
    unsettled = [item for item in events if item["status"]["S"] != "done"]
    if not events or unsettled:
        raise Wrong(f"{len(events)} events in the table, not done: {unsettled}")
    return f"{len(events)} events, all done"


# --- what is asked for ------------------------------------------------------------------------------------------------


def serve(servers, until):
    okta, anypoint = Okta(servers.url("okta")), Anypoint(servers.url("anypoint"))
    names = [step["sample"] for step in STORY["steps"]]
    if until not in names:
        raise Wrong(f"no sample {until}; there are {', '.join(names)}")
    for step in STORY["steps"][: names.index(until) + 1]:
        if any("anypoint" in change for change in step.get("changes", [])):
            print(f"(the change in Anypoint before {step['sample']} is yours to make)")
            continue
        prepare(step, okta, anypoint)
    invoke = "sam local invoke --config-env local --skip-pull-image"
    print(f"""
Okta is in the state before {until}.  Okta: {servers.url('okta')}  Anypoint: {servers.url('anypoint')}
In another terminal (with .tools/bin and .tools/sam/bin in PATH), after `sam build --parameter-overrides Architecture=...`:

    {invoke} HookFunction -e events/{until if until[0].isdigit() else '06-user-assigned'}.json
    {invoke} ProvisionFunction -e events/provision-batch.json
    {invoke} ScheduleFunction -e events/schedule-reconcile.json

Ctrl-C stops the servers.""", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        pass


def main():
    parser = argparse.ArgumentParser(prog="tools/sam-local")
    parser.add_argument("--no-build", action="store_true", help="run what the last `sam build` made")
    parser.add_argument("--serve", nargs="?", const="06-user-assigned", metavar="SAMPLE", help="only start the servers")
    wish = parser.parse_args()
    with engine():
        return tell(wish)


def tell(wish):
    """The whole story, or only the servers; the exit code."""
    address = reachable_address()
    ports = FIXED_PORTS if wish.serve else free_ports(address)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="okta-anypoint-") as folder:
        folder = pathlib.Path(folder)
        with Servers(ports, address, folder) as servers:
            furnish(servers)
            if wish.serve:
                serve(servers, wish.serve)
                return 0
            sam = Sam(servers, folder)
            if not wish.no_build:
                sam.build()
            run = Run(Okta(servers.url("okta")), Anypoint(servers.url("anypoint")))
            samples(run, servers, sam, folder)
            hook_over_http(run, sam)
            run.step("the table", lambda: table_is_settled(servers))
    verdict = "all as it should be" if not run.failures else f"{run.failures} steps went wrong"
    print(f"\nsam local: {verdict}, {time.monotonic() - began:.0f} s")
    return 1 if run.failures else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except Wrong as wrong:
        sys.exit(f"sam-local: {wrong}")
