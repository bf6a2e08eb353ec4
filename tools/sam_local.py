"""Runs the samples of events/ through `sam local` and checks the answers and the simulated Anypoint; see tools/sam-local.

What stands in for AWS: DynamoDB Local, moto (SQS and Secrets Manager), and this program for the event source between
queue and worker. What stands in for Okta and Anypoint: `okta-anypoint simulate`. Okta's state is changed through its own
API, Anypoint's is read through its own.
"""

import argparse
import base64
import contextlib
import hashlib
import json
import os
import pathlib
import platform
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

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
APP, ORGANIZATION = "0oaANYPOINT1demo", "0a0e51b0-0000-4000-8000-0000000000aa"
ADA, GRACE, KATHERINE, MALLORY = "00uADA0000000001", "00uGRACE00000002", "00uKATHERINE0003", "00uMALLORY000004"
INTEGRATORS, OPERATIONS = "00gINTEGRATORS1", "00gOPERATIONS02"
OKTA_TOKEN, CLIENT_ID, CLIENT_SECRET = "simulated-okta-token", "simulated-client", "simulated-secret"
HOOK_SECRET = "demo-hook-secret"
TABLE, QUEUE = "okta-anypoint", "okta-anypoint.fifo"
FIXED_PORTS = {"okta": 7001, "anypoint": 7002, "aws": 7003, "dynamodb": 7004}  # as in template.yaml and samconfig.toml

# Seconds. Only something that hangs takes longer: a slow computer builds in a fraction of the first, and `sam` itself
# ends a hook at 5 s and a worker at 120 s.
BUILD_LIMIT, INVOKE_LIMIT = 3600, 300


class Wrong(Exception):
    """Something is not as it should be; the text says what."""


def first_state():
    """Okta before the first sample. Whoever the story creates later is there already, staged and unassigned: to Anypoint
    that is the same, and the ids are those of the samples."""

    def user(ident, first, last, status, password):
        login = f"{first}.{last}@acme.example".lower()
        profile = {"login": login, "email": login, "firstName": first, "lastName": last}
        return {"id": ident, "status": status, "created": 1772442000000, "activated": None, "status_changed": None,
                "last_updated": 1772442000000, "has_password": password, "profile": profile}

    def group(ident, name):
        return {"id": ident, "kind": "OKTA_GROUP", "profile": {"name": name}, "created": 1772442000000,
                "last_updated": 1772442000000, "last_membership_updated": 1772442000000, "members": []}

    users = [user(ADA, "Ada", "Lovelace", "STAGED", True), user(GRACE, "Grace", "Hopper", "STAGED", False),
             user(KATHERINE, "Katherine", "Johnson", "STAGED", True), user(MALLORY, "Mallory", "Malone", "ACTIVE", True)]
    groups = [group(INTEGRATORS, "Integrators"), group(OPERATIONS, "Operations")]
    app = {"id": APP, "name": "saml_anypoint", "label": "Anypoint Platform", "active": True,
           "username_template": "login_prefix", "stored_credentials": False, "created": 1772442000000,
           "last_updated": 1772442000000, "users": {}, "groups": {}, "set_aside": {}}
    okta = {"users": {u["id"]: u for u in users}, "groups": {g["id"]: g for g in groups}, "apps": {APP: app}}
    anypoint = {"org_id": ORGANIZATION, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    return {"okta": okta, "anypoint": anypoint}


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


# --- the simulated vendors --------------------------------------------------------------------------------------------


def http(method, url, body=None, headers=None):
    """One JSON request; the answer's JSON, or None. Fails on 4xx and 5xx."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"accept": "application/json", "content-type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            text = response.read()
    except urllib.error.HTTPError as error:
        raise Wrong(f"{method} {url} was answered with {error.code}: {error.read().decode()[:300]}") from error
    return json.loads(text) if text else None


class Okta:
    """What an administrator does in Okta."""

    def __init__(self, base):
        self.base = base

    def call(self, method, path, body=None):
        return http(method, f"{self.base}/api/v1{path}", body, {"authorization": f"SSWS {OKTA_TOKEN}"})

    def lifecycle(self, user, verb):
        self.call("POST", f"/users/{user}/lifecycle/{verb}?sendEmail=false")

    def profile(self, user, **attributes):
        self.call("POST", f"/users/{user}", {"profile": attributes})

    def assign(self, user, username):
        self.call("POST", f"/apps/{APP}/users", {"id": user, "scope": "USER", "credentials": {"userName": username}})

    def unassign(self, user):
        self.call("DELETE", f"/apps/{APP}/users/{user}")

    def app_username(self, user, username):
        self.call("POST", f"/apps/{APP}/users/{user}", {"credentials": {"userName": username}})

    def assign_group(self, group):
        self.call("PUT", f"/apps/{APP}/groups/{group}", {})

    def unassign_group(self, group):
        self.call("DELETE", f"/apps/{APP}/groups/{group}")

    def join(self, group, user):
        self.call("PUT", f"/groups/{group}/users/{user}")

    def leave(self, group, user):
        self.call("DELETE", f"/groups/{group}/users/{user}")

    def rename_group(self, group, name):
        self.call("PUT", f"/groups/{group}", {"profile": {"name": name}})

    def delete_group(self, group):
        self.call("DELETE", f"/groups/{group}")

    def delete_user(self, user):
        self.call("DELETE", f"/users/{user}")


class Anypoint:
    """What an administrator sees, and does, in Anypoint."""

    def __init__(self, base):
        self.base = base
        self.token = None
        self.others = set()
        self.others = set(self.users())
        self.root_teams = {team["team_name"] for team in self.teams()}

    def call(self, method, path, body=None):
        if self.token is None:
            grant = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
            self.token = http("POST", f"{self.base}/accounts/api/v2/oauth2/token", grant)["access_token"]
        return http(method, f"{self.base}/accounts/api{path}", body, {"authorization": f"bearer {self.token}"})

    def users(self):
        users = self.call("GET", f"/organizations/{ORGANIZATION}/users?limit=500&offset=0")["data"]
        return {user["username"]: user for user in users if user["username"] not in self.others}

    def teams(self):
        return self.call("GET", f"/organizations/{ORGANIZATION}/teams?limit=500&offset=0")["data"]

    def look(self):
        """Accounts and teams in the words of the story below."""
        users = self.users()
        names = {user["id"]: name for name, user in users.items()}
        accounts = {name: f"{u['firstName']} {u['lastName']}" + ("" if u["enabled"] else ", disabled") for name, u in users.items()}
        teams = {}
        for team in self.teams():
            if team["team_name"] not in self.root_teams:
                path = f"/organizations/{ORGANIZATION}/teams/{team['team_id']}/members?limit=500&offset=0"
                members = self.call("GET", path)["data"]
                teams[team["team_name"]] = sorted(names.get(m["id"], m["id"]) for m in members)
        return accounts, teams

    def disable(self, username):
        self.call("PUT", f"/organizations/{ORGANIZATION}/users/{self.users()[username]['id']}", {"enabled": False})

    def rename_team(self, old, new):
        team = next(team["team_id"] for team in self.teams() if team["team_name"] == old)
        self.call("PATCH", f"/organizations/{ORGANIZATION}/teams/{team}", {"team_name": new})

    def add_user(self, username, first, last):
        user = {"username": username, "firstName": first, "lastName": last, "email": f"{first}.{last}@acme.example".lower(),
                "password": "Only4TheSample"}
        self.call("POST", f"/organizations/{ORGANIZATION}/users", user)


# --- the story: events/README.md, in the same order -------------------------------------------------------------------


def nothing(_okta, _anypoint):
    """Okta stays as it is."""


def grace_is_hired(okta, _):
    okta.lifecycle(GRACE, "activate")
    okta.assign(GRACE, "grace_hopper")
    okta.lifecycle(GRACE, "reactivate")


def katherine_is_hired(okta, _):
    okta.lifecycle(KATHERINE, "activate")
    okta.assign(KATHERINE, "katherine_johnson")
    okta.assign_group(OPERATIONS)
    okta.join(OPERATIONS, KATHERINE)
    okta.join(INTEGRATORS, GRACE)


def the_group_comes_back(okta, _):
    okta.join(INTEGRATORS, KATHERINE)
    okta.assign_group(INTEGRATORS)
    okta.profile(ADA, lastName="King")


def anypoint_drifts(_, anypoint):
    anypoint.disable("ada_king")
    anypoint.rename_team("Integration Engineers", "Old name")


# sample, what happens first, the hook's answer, accounts and teams that differ from before
HOOK_STORY = [
    ("01-verification", nothing, 200, {}, {}),
    ("02-wrong-secret", nothing, 401, {}, {}),
    ("03-console-preview", nothing, 204, {}, {}),
    ("04-user-created", nothing, 204, {}, {}),
    ("05-user-activated", lambda o, _: o.lifecycle(ADA, "activate"), 204, {}, {}),
    ("06-user-assigned", lambda o, _: o.assign(ADA, "ada_lovelace"), 204, {"ada_lovelace": "Ada Lovelace"}, {}),
    ("07-duplicate", nothing, 204, {}, {}),
    ("08-profile-updated", lambda o, _: o.profile(ADA, firstName="Augusta Ada"), 204, {"ada_lovelace": "Augusta Ada Lovelace"}, {}),
    ("09-app-username-changed", lambda o, _: o.app_username(ADA, "ada_king"), 204,
     {"ada_lovelace": "Augusta Ada Lovelace, disabled", "ada_king": "Augusta Ada Lovelace"}, {}),
    ("10-user-suspended", lambda o, _: o.lifecycle(ADA, "suspend"), 204, {"ada_king": "Augusta Ada Lovelace, disabled"}, {}),
    ("11-user-unsuspended", lambda o, _: o.lifecycle(ADA, "unsuspend"), 204, {"ada_king": "Augusta Ada Lovelace"}, {}),
    ("12-user-unassigned", lambda o, _: o.unassign(ADA), 204, {"ada_king": "Augusta Ada Lovelace, disabled"}, {}),
    ("13-user-assigned-again", lambda o, _: o.assign(ADA, "ada_king"), 204, {"ada_king": "Augusta Ada Lovelace"}, {}),
    ("14-user-reactivated", grace_is_hired, 204, {"grace_hopper": "Grace Hopper"}, {}),
    ("15-group-created", nothing, 204, {}, {}),
    ("16-group-assigned", lambda o, _: o.assign_group(INTEGRATORS), 204, {}, {"Integrators": []}),
    ("17-member-added", lambda o, _: o.join(INTEGRATORS, ADA), 204, {}, {"Integrators": ["ada_king"]}),
    ("18-several-events", katherine_is_hired, 204, {"katherine_johnson": "Katherine Johnson"},
     {"Operations": ["katherine_johnson"], "Integrators": ["ada_king", "grace_hopper"]}),
    ("19-group-assignment-updated", nothing, 204, {}, {}),
    ("20-group-renamed", lambda o, _: o.rename_group(INTEGRATORS, "Integration Engineers"), 204, {},
     {"Integrators": None, "Integration Engineers": ["ada_king", "grace_hopper"]}),
    ("21-member-removed", lambda o, _: o.leave(INTEGRATORS, GRACE), 204, {}, {"Integration Engineers": ["ada_king"]}),
    ("22-base64-body", lambda o, _: o.profile(GRACE, lastName="Murray Hopper"), 204, {"grace_hopper": "Grace Murray Hopper"}, {}),
    ("23-user-deactivated", lambda o, _: o.lifecycle(GRACE, "deactivate"), 204, {"grace_hopper": "Grace Murray Hopper, disabled"}, {}),
    ("24-user-deleted", lambda o, _: o.delete_user(GRACE), 204, {}, {}),
    ("25-group-unassigned", lambda o, _: o.unassign_group(INTEGRATORS), 204, {}, {"Integration Engineers": []}),
    ("26-group-deleted", lambda o, _: o.delete_group(OPERATIONS), 204, {}, {"Operations": []}),
    ("27-forged", nothing, 204, {}, {}),
    ("28-another-app", nothing, 204, {}, {}),
    ("29-unknown-type", nothing, 204, {}, {}),
]
BATCH = ("provision-batch", the_group_comes_back, {"ada_king": "Augusta Ada King"}, {"Integration Engineers": ["ada_king", "katherine_johnson"]})
SCHEDULE_STORY = [
    ("schedule-catch-up", lambda o, _: o.app_username(KATHERINE, "kjohnson"),
     {"katherine_johnson": "Katherine Johnson, disabled", "kjohnson": "Katherine Johnson"}, {"Integration Engineers": ["ada_king", "kjohnson"]}),
    ("schedule-reconcile", anypoint_drifts, {}, {}),
    ("schedule-import", lambda _, a: a.add_user("alan_turing", "Alan", "Turing"), {"alan_turing": "Alan Turing"}, {}),
]
CHANGES = [(s[0], s[1]) for s in [*HOOK_STORY, BATCH, *SCHEDULE_STORY]]


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
        state.write_text(json.dumps(first_state()))
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
    """What Lambda's event source does: hands the queue's messages to the worker until none is left. Says how many."""
    sqs = servers.client("sqs")
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    url = f"{servers.url('aws')}{urllib.parse.urlparse(url).path}"
    total = 0
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
        if answer.get("batchItemFailures") != []:
            raise Wrong(f"the worker returned messages to the queue: {answer}")
        for message in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        total += len(messages)
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

    def step(self, name, change, act, accounts, teams):
        began = time.monotonic()
        self.accounts, self.teams = changed(self.accounts, accounts), changed(self.teams, teams)
        try:
            change(self.okta, self.anypoint)
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


def hook_samples(run, servers, sam, folder):
    for sample, change, status, accounts, teams in HOOK_STORY:
        path = ROOT / "events" / f"{sample}.json"

        def send(sample=sample, path=path, status=status):
            answered(sample, json.loads(path.read_text()), status, sam.invoke("HookFunction", path))
            return f"{status}, {drain(servers, sam, folder)} queued"

        run.step(sample, change, send, accounts, teams)


def other_samples(run, servers, sam, folder):
    def batch():
        answer = sam.invoke("ProvisionFunction", ROOT / "events/provision-batch.json")
        if answer != {"batchItemFailures": []}:
            raise Wrong(f"answered {answer}")
        return "no message returned"

    name, change, accounts, teams = BATCH
    run.step(name, change, batch, accounts, teams)
    for name, change, accounts, teams in SCHEDULE_STORY:

        def task(name=name):
            sam.invoke("ScheduleFunction", ROOT / "events" / f"{name}.json")
            return f"{drain(servers, sam, folder)} queued"

        run.step(name, change, task, accounts, teams)


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
        run.step("start-api", nothing, lambda: wait() or "listens", {}, {})
        for name, status in (("01-verification", 200), ("02-wrong-secret", 401), ("06-user-assigned", 204)):
            run.step(f"start-api {name}"[:30], nothing, lambda name=name, status=status: send(name, status), {}, {})
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
    names = [name for name, _ in CHANGES]
    if until not in names:
        raise Wrong(f"no sample {until}; there are {', '.join(names)}")
    for name, change in CHANGES[: names.index(until) + 1]:
        if name.startswith("schedule-") and name != "schedule-catch-up":
            print(f"(the change in Anypoint before {name} is yours to make)")
            continue
        change(okta, anypoint)
    invoke = "sam local invoke --config-env local --skip-pull-image"
    print(f"""
Okta is in the state before {until}.  Okta: {servers.url('okta')}  Anypoint: {servers.url('anypoint')}
In another terminal (with .tools/sam/bin in PATH), after `sam build --parameter-overrides Architecture=...`:

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
            hook_samples(run, servers, sam, folder)
            other_samples(run, servers, sam, folder)
            hook_over_http(run, sam)
            run.step("the table", nothing, lambda: table_is_settled(servers), {}, {})
    verdict = "all as it should be" if not run.failures else f"{run.failures} steps went wrong"
    print(f"\nsam local: {verdict}, {time.monotonic() - began:.0f} s")
    return 1 if run.failures else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(main())
    except Wrong as wrong:
        sys.exit(f"sam-local: {wrong}")
