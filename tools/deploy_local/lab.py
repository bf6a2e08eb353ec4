"""Starts the emulator and the simulated vendors, talks to them, and ends everything that it started."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import boto3
from botocore.config import Config

from vendors import APP, CLIENT_ID, CLIENT_SECRET, OKTA_TOKEN, ORGANIZATION, Anypoint, Okta, Wrong

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOOLS = ROOT / ".tools"
STACK, REGION, ACCOUNT = "okta-anypoint", "eu-central-1", "123456789012"
FUNCTIONS = {"hook": "HookFunction", "provision": "ProvisionFunction", "schedule": "ScheduleFunction"}
CREDENTIALS = {"okta_api_token": OKTA_TOKEN, "anypoint_client_id": CLIENT_ID, "anypoint_client_secret": CLIENT_SECRET}


def until(seconds, probe, pause=0.1):
    """What `probe` gives, once it gives something; nothing if it gives nothing for so long."""
    end = time.monotonic() + seconds
    while True:
        found = probe()
        if found or time.monotonic() > end:
            return found
        time.sleep(pause)


def now_ms():
    return int(time.time() * 1000)


def request(method, url, body=None, headers=None):
    """Status and text of one HTTP request, whatever the status."""
    data = body if body is None else body.encode()
    call = urllib.request.Request(url, data=data, method=method, headers={"content-type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(call, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Lab:
    """One run: its folder, its ports, its programs."""

    def __init__(self, folder, program):
        self.folder, self.program = folder, program
        self.programs = {}
        self.logs = []
        sockets = [socket.socket() for _ in range(3)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        self.aws, self.okta_url, self.anypoint_url = (f"http://127.0.0.1:{probe.getsockname()[1]}" for probe in sockets)
        for probe in sockets:
            probe.close()
        for name in ("aws-config", "aws-credentials"):
            (folder / name).touch()
        self.env = {
            "PATH": f"{program.parent}:{TOOLS / 'sam/bin'}:{TOOLS / 'emulator/bin'}:{os.environ['PATH']}", "HOME": os.environ["HOME"],
            "LANG": "C.UTF-8", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": self.aws, "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "",
            "AWS_CONFIG_FILE": str(folder / "aws-config"), "AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws-credentials"),
            "SAM_CLI_TELEMETRY": "0",
        }
        self.clients = {}

    # --- programs

    def start(self, name, command, **more):
        log = open(self.folder / f"{name}.log", "a")
        self.logs.append(log)
        env = {**self.env, **more}
        self.programs[name] = subprocess.Popen([str(part) for part in command], cwd=self.folder, env=env, stdout=log, stderr=subprocess.STDOUT,
                                               stdin=subprocess.DEVNULL, start_new_session=True)

    def stop(self, name):
        """Ends a program and what it started itself: the emulator runs the functions as its children."""
        process = self.programs.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def stop_all(self):
        for name in list(self.programs):
            self.stop(name)
        for log in self.logs:
            log.close()

    def left_over(self):
        """Processes that run from, or in, this run's folder."""
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                places = [os.readlink(process / "exe"), os.readlink(process / "cwd")]
            except OSError:
                continue
            if any(place.startswith(str(self.folder)) for place in places):
                found.append(int(process.name))
        return found

    def start_emulator(self):
        scratch = self.folder / "tmp"
        scratch.mkdir()
        self.start(
            "emulator", [TOOLS / "emulator/bin/python", ROOT / "tools/deploy_local/recorder.py", self.folder / "decisions.jsonl"],
            AUTH="true", BIND_HOST="127.0.0.1", GATEWAY_PORT=self.aws.rsplit(":", 1)[1], MINISTACK_REGION=REGION, MINISTACK_ACCOUNT_ID=ACCOUNT,
            LAMBDA_EXECUTOR="local", CLOUDTRAIL_RECORDING="1", SFTP_ENABLED="0", IOT_MTLS_ENABLED="0", TMPDIR=str(scratch),
            STATE_DIR=str(self.folder / "state"), S3_DATA_DIR=str(self.folder / "s3"))
        self.wait_for("emulator", f"{self.aws}/_ministack/health", 60)

    def start_vendors(self):
        at = {name: url.removeprefix("http://") for name, url in (("okta", self.okta_url), ("anypoint", self.anypoint_url))}
        self.start("simulate", [self.program, "simulate", "--okta", at["okta"], "--anypoint", at["anypoint"], "--state", self.folder / "world.json"])
        self.wait_for("simulate", f"{self.okta_url}/", 20)
        self.okta, self.anypoint = Okta(self.okta_url), Anypoint(self.anypoint_url)
        self.anypoint.others = set()

    def wait_for(self, name, url, seconds):
        def answers():
            if self.programs[name].poll() is not None:
                raise Wrong(f"{name} ended: {(self.folder / f'{name}.log').read_text()[-2000:]}")
            try:
                return bool(request("GET", url)[0])
            except OSError:
                return False

        if not until(seconds, answers):
            raise Wrong(f"{name} does not answer: {(self.folder / f'{name}.log').read_text()[-2000:]}")

    def run(self, *command, fails=False, **more):
        """A program that ends. One that should not fail, and does, ends everything."""
        done = subprocess.run([str(part) for part in command], cwd=self.folder, env={**self.env, **more}, text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=600)
        if done.returncode and not fails:
            raise Wrong(f"{' '.join(map(str, command))[:200]} failed ({done.returncode}):\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done

    # --- AWS

    def client(self, name):
        if name not in self.clients:
            self.clients[name] = boto3.client(
                name, endpoint_url=self.aws, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test",
                config=Config(retries={"total_max_attempts": 1}))
        return self.clients[name]

    def log_lines(self, function, since=0):
        """What a function wrote, as values where it is JSON."""
        found = self.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{STACK}-{function}", startTime=since)
        lines = []
        for event in (event for page in found for event in page["events"]):
            try:
                lines.append(json.loads(event["message"]))
            except ValueError:
                lines.append({"message": event["message"]})
        return [line for line in lines if isinstance(line, dict)]

    def decisions(self):
        """Every permission that a role asked for so far."""
        return [json.loads(line) for line in (self.folder / "decisions.jsonl").read_text().splitlines()]

    def waiting(self, queue):
        """How many messages a queue holds: to be received, and received and not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        return tuple(int(found[name]) for name in names)

    def stack(self, name=STACK):
        return self.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]

    def resources(self):
        """Physical ids by logical id."""
        found = self.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
        return {of["LogicalResourceId"]: of["PhysicalResourceId"] for of in found}

    def deploy(self, template, parameters=(), stack=STACK, fails=False):
        """The real `sam deploy`, with the project's own samconfig.toml."""
        values = {"Architecture": "x86_64" if os.uname().machine == "x86_64" else "arm64", "OktaOrgUrl": self.okta_url,
                  "AnypointBaseUrl": self.anypoint_url, "OktaAppId": APP, "AnypointOrgId": ORGANIZATION, "CatchUpSchedule": "rate(1 minute)"}
        values.update(parameters)
        shutil.copy(ROOT / "samconfig.toml", self.folder)
        return self.run("sam", "deploy", "--template-file", template, "--stack-name", stack, "--no-confirm-changeset", "--no-progressbar",
                        "--region", REGION, "--parameter-overrides", *[f"{name}='{value}'" for name, value in values.items()], fails=fails)
