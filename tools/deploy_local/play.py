"""The play: what an operator does with the stack, in order, and what has to follow."""

import json
import re
import sys
import time
import uuid

import alarms
import gaps
from lab import ACCOUNT, CREDENTIALS, FUNCTIONS, REGION, ROOT, STACK, now_ms, request, until
from vendors import APP, GRACE, INTEGRATORS, KATHERINE, MALLORY, ORGANIZATION, Wrong, http

sys.path.append(str(ROOT / "tools"))
from template_parameters import BAD, GOOD  # noqa: E402

# Every parameter with another value than its default: what the functions must be given.
OTHER_VALUES = {
    "HookAuthHeader": "x-okta-hook", "UsernamePolicy": "sanitize", "Adopt": "username", "SuspendedUsers": "keep", "ResetEmail": "false",
    "DefaultPhone": "+1 555 0100", "PushGroups": "ids:00gINTEGRATORS1", "TeamNamePolicy": "strict", "TeamRemoval": "keep",
    "ReconcileMode": "report", "MaxDeactivations": "7", "ImportMode": "create", "ImportSchedule": "rate(1 day)", "EventTtlDays": "9",
    "ConfirmSeconds": "3", "MaxRemovalsPerHour": "0", "AuditDays": "30", "ExcludeUsers": "robot-*@acme.example", "ExcludeGroups": "Robots*",
    "LogLevel": "DEBUG",
}
ALARM_LIMIT = 30 * 60  # seconds: an alarm rings within this in an outage of either remote


class Play:
    """The stack as it is now, and what was wrong so far."""

    def __init__(self, lab, built, is_over_at_first=False):
        self.lab, self.built, self.is_over_at_first = lab, built, is_over_at_first
        self.template = lab.folder / "template.json"
        self.began = time.monotonic()
        self.failures = []
        self.url, self.out = None, {}
        self.deliberate = []  # decisions from and to: refusals that a chapter brought about

    def say(self, text):
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def check(self, what, holds, detail=""):
        if not holds:
            self.failures.append(what)
        self.say(f"{'ok   ' if holds else 'WRONG'} {what}{f'  ({detail})' if detail != '' else ''}")
        if self.is_over:
            raise Wrong("the rest is not played")
        return bool(holds)

    @property
    def is_over(self):
        return self.is_over_at_first and bool(self.failures)

    def chapter(self, act):
        self.say(f"--- {act.__doc__.splitlines()[0]}")
        try:
            act(self)
        except Exception as wrong:  # whatever it was, the rest is played too
            self.failures.append(act.__name__)
            self.say(f"WRONG {wrong if isinstance(wrong, Wrong) else f'{type(wrong).__name__}: {wrong}'}")

    # --- the vocabulary of the play

    def account(self, name, enabled=True):
        found = self.lab.anypoint.users().get(name)
        return found if found and found["enabled"] == enabled else None

    def tool(self, *arguments, fails=False):
        """The command line, with the settings of the README's last step."""
        env = {"OKTA_ORG_URL": self.lab.okta_url, "OKTA_APP_ID": APP, "ANYPOINT_BASE_URL": self.lab.anypoint_url, "ANYPOINT_ORG_ID": ORGANIZATION,
               "CREDENTIALS_SECRET_ARN": self.out["CredentialsSecretArn"], "HOOK_SECRET_ARN": self.out["HookSecretArn"],
               "TABLE_NAME": self.out["TableName"], "QUEUE_URL": self.out["QueueUrl"]}
        return self.lab.run(self.lab.program, *arguments, fails=fails, **env)

    def secret(self):
        return self.lab.run("bash", "-c", self.out["ShowHookSecret"]).stdout.strip()

    def verify(self, secret):
        """Okta's verification, with a secret; the status."""
        return request("GET", self.url, headers={"authorization": secret, "x-okta-verification-challenge": "challenge"})[0]

    def deliver(self, event_type, user, minutes_old):
        """A delivery with one event about a user; the status."""
        body = json.loads(json.loads((ROOT / "events/06-user-assigned.json").read_text())["body"])
        event = body["data"]["events"][0]
        published = time.gmtime(time.time() - minutes_old * 60)
        event.update(uuid=str(uuid.uuid4()), eventType=event_type, published=time.strftime("%Y-%m-%dT%H:%M:%S.000Z", published),
                     target=[{"id": user, "type": "User"}])
        return request("POST", self.url, json.dumps(body), {"authorization": self.secret()})[0]

    def run_task(self, task):
        """A scheduled task by hand: what the function answers, and whether it failed."""
        answer = self.lab.client("lambda").invoke(FunctionName=f"{STACK}-schedule", Payload=json.dumps({"task": task}).encode())
        return json.loads(answer["Payload"].read()), "FunctionError" in answer

    def event_source(self, enabled):
        """Switches the worker's event source on or off, and waits until it is."""
        functions = self.lab.client("lambda")
        source = functions.list_event_source_mappings(FunctionName=f"{STACK}-provision")["EventSourceMappings"][0]["UUID"]
        functions.update_event_source_mapping(UUID=source, Enabled=enabled)
        state = "Enabled" if enabled else "Disabled"
        until(10, lambda: functions.get_event_source_mapping(UUID=source)["State"] == state)
        time.sleep(0 if enabled else 1.5)  # a poll that is under way ends

    def pauses(self, since):
        """The visibility time-outs that the worker asked for: receipt handle and seconds, in order."""
        key = [{"AttributeKey": "EventName", "AttributeValue": "ChangeMessageVisibility"}]
        found = self.lab.client("cloudtrail").lookup_events(LookupAttributes=key)["Events"]
        asked = []
        for event in reversed(found):
            said = json.loads(event["CloudTrailEvent"])["requestParameters"]
            by_a_function = event["AccessKeyId"].startswith("ASIA")
            if by_a_function and event["EventTime"].timestamp() * 1000 >= since:
                asked.append((said["ReceiptHandle"], int(said["VisibilityTimeout"])))
        return asked

    def after_deployment(self):
        """Makes by hand what the emulator's CloudFormation leaves out. Each step fails if the result already exists."""
        self.out = {of["OutputKey"]: of["OutputValue"] for of in self.lab.stack()["Outputs"]}
        api = self.out["HookUrl"].removeprefix("https://").split(".")[0]
        gateway = self.lab.client("apigatewayv2")
        routes = [route["RouteKey"] for route in gateway.get_routes(ApiId=api)["Items"]]
        if self.url is None:
            self.check("gap: the emulator does not read the API's OpenAPI body, so that its route is made by hand", not routes, routes or "")
        if not routes:
            function = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.lab.resources()['HookFunction']}"
            made = gateway.create_integration(
                ApiId=api, IntegrationType="AWS_PROXY", PayloadFormatVersion="2.0", IntegrationMethod="POST", TimeoutInMillis=5000,
                IntegrationUri=f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations")
            gateway.create_route(ApiId=api, RouteKey="$default", Target=f"integrations/{made['IntegrationId']}")
        self.url = f"{self.lab.aws}/_aws/execute-api/{api}/$default/okta"

    def time_to_live(self, table):
        specification = {"AttributeName": "expires_at", "Enabled": True}
        self.lab.client("dynamodb").update_time_to_live(TableName=table, TimeToLiveSpecification=specification)


# --- chapters -------------------------------------------------------------------------------------------------------------------------


def refused_parameters(play):
    """Parameters that a deployment refuses before it makes anything"""
    s3, formation = play.lab.client("s3"), play.lab.client("cloudformation")
    s3.create_bucket(Bucket="templates", CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket="templates", Key="template.json", Body=gaps.derived(play.built))
    taken = []
    for number, values in enumerate(BAD):
        given = [{"ParameterKey": name, "ParameterValue": value} for name, value in {**GOOD, **values}.items()]
        try:
            formation.create_change_set(
                StackName=f"refused-{number}", ChangeSetName="first", ChangeSetType="CREATE", Parameters=given,
                Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"], TemplateURL=f"{play.lab.aws}/templates/template.json")
            made = until(20, lambda stack=f"refused-{number}": decided(formation, stack))
            if made != "FAILED":
                taken.append(values)
        except formation.exceptions.ClientError:
            pass
    play.check(f"{len(BAD)} sets of parameters are refused", not taken, taken or "")
    play.template.write_text(gaps.derived(play.built))
    done = play.lab.deploy(play.template, {"LocalTest": "true"}, fails=True)
    play.check("sam deploy says why", done.returncode and "LocalTest" in done.stdout + done.stderr, (done.stdout + done.stderr)[-300:])


def decided(formation, stack):
    status = formation.describe_change_set(StackName=stack, ChangeSetName="first")["Status"]
    return status if status.endswith(("COMPLETE", "FAILED")) else None


def failing_first_deployment(play):
    """A first deployment that fails leaves nothing"""
    # The alarm with an expression, which the emulator does not know, is the cause.
    template = play.lab.folder / "failing.json"
    template.write_text(gaps.derived(play.built, without=[gaps.no_metric_math]))
    done = play.lab.deploy(template, stack="first-try", fails=True)
    events = play.lab.client("cloudformation").describe_stack_events(StackName="first-try")["StackEvents"]
    failed = {event["LogicalResourceId"] for event in events if event["ResourceStatus"] == "CREATE_FAILED"}
    play.check("gap: the emulator rolls back a stack with metric math in an alarm", done.returncode and "ThrottlesAlarm" in failed, failed)
    tables = play.lab.client("dynamodb").list_tables()["TableNames"]
    play.check("no table is left", not tables, tables or "")
    if done.returncode:
        play.lab.client("cloudformation").delete_stack(StackName="first-try")


def deployment(play):
    """sam deploy, and what it printed"""
    probe = play.lab.client("cloudformation")
    probe.create_stack(StackName="probe", TemplateBody=gaps.PROBE)
    play.template.write_text(gaps.derived(play.built))
    play.lab.deploy(play.template)
    stack = play.lab.stack()
    play.check("the stack is created", stack["StackStatus"] == "CREATE_COMPLETE", f"{len(play.lab.resources())} resources")
    play.after_deployment()

    out = {of["OutputKey"]: of["OutputValue"] for of in until(20, lambda: play.lab.stack("probe").get("Outputs"))}
    play.check("gap: Ref of a secret is its name", not out["Secret"].startswith("arn:"), "")
    time_to_live = play.lab.client("dynamodb").describe_time_to_live(TableName=out["Table"])["TimeToLiveDescription"]
    play.check("gap: CloudFormation leaves the time to live out, so that it is set by hand", time_to_live["TimeToLiveStatus"] == "DISABLED")
    probe.delete_stack(StackName="probe")
    play.time_to_live(play.out["TableName"])

    ringing = [alarm["AlarmName"] for alarm in play.lab.client("cloudwatch").describe_alarms()["MetricAlarms"]
               if alarms.state(alarm, [], time.time()) == "ALARM"]
    play.check("no alarm rings before credentials are stored", not ringing, ringing or "")
    table = play.lab.client("dynamodb").describe_table(TableName=play.out["TableName"])["Table"]
    play.check("the table is protected from deletion", table.get("DeletionProtectionEnabled"))


def hand_over(play):
    """The README's steps four and five, with the commands that were printed"""
    file = play.lab.folder / "credentials.json"
    file.write_text(json.dumps(CREDENTIALS))
    play.lab.run("bash", "-c", play.out["StoreCredentials"])
    file.unlink()
    secret = play.secret()
    play.check("StoreCredentials and ShowHookSecret work as printed", len(secret) == 48, f"a secret of {len(secret)} characters")
    status, body = request("POST", play.url, "{}")
    play.check("a request without the secret is refused", (status, body) == (401, ""), f"{status} {body!r}")
    printed = play.out["RegisterHook"]
    expected = f"okta-anypoint hook register --url {play.out['HookUrl']}"
    play.check("RegisterHook names the API", printed == expected, printed)
    done = play.tool("hook", "register", "--url", play.url, fails=True)
    play.check("hook register: VERIFIED through API and function", done.returncode == 0 and "VERIFIED" in done.stdout, done.stderr[-300:])
    done = play.tool("doctor", fails=True)
    wrong = [line.strip() for line in done.stdout.splitlines() if "FAILED" in line]
    play.check("doctor: all is well", done.returncode == 0 and not wrong, wrong or "")


def events(play):
    """Events: assigned, suspended, unsuspended, into a group, a group renamed"""
    okta = play.lab.okta
    began = time.monotonic()
    okta.assign(GRACE, "grace_hopper")
    found = until(20, lambda: play.account("grace_hopper"), 0.05)
    play.check("an assignment in Okta is an account in Anypoint", found, f"{time.monotonic() - began:.2f} s later")
    okta.lifecycle(GRACE, "suspend")
    play.check("a suspension disables it", until(20, lambda: play.account("grace_hopper", enabled=False)))
    okta.lifecycle(GRACE, "unsuspend")
    play.check("and its end enables it", until(20, lambda: play.account("grace_hopper")))
    okta.join(INTEGRATORS, GRACE)
    play.check("a member of the group is in the team", until(20, lambda: "grace_hopper" in play.lab.anypoint.look()[1].get("Integrators", [])))
    # Ada is in that group and has no account yet: the group's run queues a change of hers.
    okta.rename_group(INTEGRATORS, "Integration Engineers")
    play.check("a renamed group renames its team, and a member without an account gets one",
               until(20, lambda: len(play.lab.anypoint.look()[1].get("Integration Engineers", [])) == 2))


def permanent_failure(play):
    """A permanent failure, fixed and replayed"""
    play.lab.okta.assign(KATHERINE, "katherine.johnson@acme.example")
    failed = until(20, lambda: re.search(r"okta-anypoint replay (\S+)", play.tool("events", "--failed").stdout), 0.5)
    play.check("a bad app username is a recorded failure", failed)
    play.lab.okta.app_username(KATHERINE, "katherine_johnson")
    done = failed and play.tool("replay", failed.group(1), fails=True)
    play.check("fixed in Okta and replayed", done and done.returncode == 0 and until(20, lambda: play.account("katherine_johnson")))


def rotation(play):
    """The hook's secret is rotated while its function is warm"""
    old = play.secret()
    new = "n" * 20 + old[20:]
    play.lab.client("secretsmanager").put_secret_value(SecretId=play.out["HookSecretArn"], SecretString=new)
    play.check("the old secret is still accepted, before Okta has the new one", play.verify(old) == 200)
    play.check("the new secret is accepted at once", play.verify(new) == 200)
    play.check("any other secret is refused", play.verify(new[:-1]) == 401)
    done = play.tool("hook", "register", "--url", play.url, fails=True)
    play.check("hook register hands the new one to Okta", done.returncode == 0 and "VERIFIED" in done.stdout)
    play.lab.okta.profile(GRACE, lastName="Murray Hopper")
    play.check("events arrive under the new secret", until(20, lambda: (play.account("grace_hopper") or {}).get("lastName") == "Murray Hopper"))


def outage(play):
    """Both remotes are out of reach: alarms report it, and the changes are applied later"""
    lab = play.lab
    play.event_source(False)
    lab.okta.assign(MALLORY, "mallory_malone")
    play.check("the change waits in the queue", until(10, lambda: lab.waiting(play.out["QueueUrl"])[0]))
    lab.stop("simulate")
    since = now_ms()
    for task in ("catch_up", "reconcile"):
        _, failed = play.run_task(task)
        play.check(f"{task} fails", failed)
    play.event_source(True)
    # Reads each pause that the worker asks for and cuts it short. Shifts the times in its output by the cut.
    lost, shifted, seen = 0.0, [], 0
    for _ in range(6):
        asked = until(60, lambda: play.pauses(since)[seen:], 0.3)
        if not asked:
            break
        lines = [point for point in alarms.points(lab.log_lines("provision", since))]
        shifted += [point._replace(at=point.at + lost) for point in lines[len(shifted):]]
        seen += len(asked)
        receipt, pause = asked[-1]
        lost += pause
        if lost > ALARM_LIMIT:
            break
        lab.client("sqs").change_message_visibility(QueueUrl=play.out["QueueUrl"], ReceiptHandle=receipt, VisibilityTimeout=0)
    shifted += list(alarms.points(lab.log_lines("schedule", since)))
    play.check("the worker gives the change back with growing pauses", seen >= 3, f"{seen} times in {lost / 60:.0f} minutes")
    begin = since / 1000
    rings = {}
    for alarm in lab.client("cloudwatch").describe_alarms()["MetricAlarms"]:
        after = alarms.first_ring(alarm, shifted, begin, begin + ALARM_LIMIT) if alarm["Namespace"] == "OktaAnypoint" else None
        if after is not None:
            rings[alarm["AlarmName"].removeprefix(f"{STACK}-").split("-")[0]] = f"{after / 60:.0f} min"
    play.check("the worker's alarm rings within half an hour of the outage", "RetriesAlarm" in rings, rings)
    play.check("and the catch-up's", "CatchUpStoppedAlarm" in rings)
    lab.start_vendors()
    for receipt, _ in play.pauses(since)[-1:]:
        lab.client("sqs").change_message_visibility(QueueUrl=play.out["QueueUrl"], ReceiptHandle=receipt, VisibilityTimeout=0)
    play.check("when they are back, the worker applies the change", until(60, lambda: play.account("mallory_malone"), 0.3))


def refused(play):
    """Each side refuses the credentials: the metrics name the side, and a removal that waits for it"""
    lab = play.lab
    for side, url, path, task in (("okta", lab.okta_url, "/api/v1/", "catch_up"), ("anypoint", lab.anypoint_url, "/organizations/", "reconcile")):
        http("POST", f"{url}/_simulator/faults", {"path": path, "kind": {"refused": "credentials"}})
        since = now_ms()
        _, failed = play.run_task(task)
        play.check(f"{side} refuses: {task} fails", failed)
        status = play.deliver("user.lifecycle.suspend", GRACE, minutes_old=11)
        expected = {("SideRefuses", "Side", side): None, ("RemovalLate", "Cause", "refused"): None}

        def missing(since=since, expected=expected):
            lines = lab.log_lines("provision", since)
            return [key for key in expected if not any(line.get(key[0]) and line.get(key[1]) == key[2] for line in lines)]

        play.check(f"the worker reports {', '.join(key[0] for key in expected)}", status == 204 and until(30, lambda: not missing(), 0.3), missing())
        http("DELETE", f"{url}/_simulator/faults")
        for receipt, _ in play.pauses(since)[-1:]:
            lab.client("sqs").change_message_visibility(QueueUrl=play.out["QueueUrl"], ReceiptHandle=receipt, VisibilityTimeout=0)
    play.check("nobody lost access or a change", until(60, lambda: play.account("grace_hopper") and not sum(lab.waiting(play.out["QueueUrl"])), 0.5))


def dead_letters(play):
    """A change that always fails becomes a dead letter, and is redriven"""
    lab, sqs = play.lab, play.lab.client("sqs")
    queue, dead = play.out["QueueUrl"], play.out["DeadLetterQueueUrl"]
    policy = json.loads(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"])
    play.check("the queue gives up after a hundred tries", int(policy["maxReceiveCount"]) == 100)
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": json.dumps({**policy, "maxReceiveCount": "1"})})
    play.event_source(False)
    lab.okta.lifecycle(MALLORY, "suspend")
    until(10, lambda: lab.waiting(queue)[0])
    lab.stop("simulate")
    since = now_ms()
    play.event_source(True)
    until(60, lambda: play.pauses(since), 0.3)
    for receipt, _ in play.pauses(since)[-1:]:
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=receipt, VisibilityTimeout=0)
    play.check("the change is in the dead-letter queue", until(60, lambda: lab.waiting(dead)[0] == 1, 0.5))
    lab.start_vendors()
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": json.dumps(policy)})
    try:
        sqs.start_message_move_task(SourceArn=policy["deadLetterTargetArn"])
        play.check("gap: the emulator has no StartMessageMoveTask, so that the message is moved by hand", False, "it has")
    except sqs.exceptions.ClientError:
        play.check("gap: the emulator has no StartMessageMoveTask, so that the message is moved by hand", True)
        for message in sqs.receive_message(QueueUrl=dead, AttributeNames=["All"])["Messages"]:
            group, duplicate = (message["Attributes"][name] for name in ("MessageGroupId", "MessageDeduplicationId"))
            sqs.send_message(QueueUrl=queue, MessageBody=message["Body"], MessageGroupId=group, MessageDeduplicationId=f"{duplicate}-again")
            sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
    play.check("a redrive brings it back, and the worker applies it", until(30, lambda: play.account("mallory_malone", enabled=False), 0.3))


def schedules(play):
    """The scheduler's own catch-up, and a reconcile"""
    def completed():
        return any(line.get("RunCompleted") and line.get("Task") == "catch_up" for line in play.lab.log_lines("schedule"))

    play.check("the scheduler itself ran a catch-up", until(75, completed, 1))
    answer, failed = play.run_task("catch_up")
    play.check("and one by hand is well", not failed, answer.get("errorMessage", ""))
    play.lab.anypoint.disable("grace_hopper")
    answer, failed = play.run_task("reconcile")
    play.check("a reconcile is well", not failed, answer.get("errorMessage", answer.get("outcome", "")))
    play.check("it repairs the drift through the queue", until(30, lambda: play.account("grace_hopper")))


def own_reason(play):
    """AWS's own reason: the queue's policy refuses what does not come over TLS"""
    policy = json.loads(gaps.derived(play.built, without=[gaps.no_tls]))["Resources"]["QueuePolicy"]["Properties"]["PolicyDocument"]
    sqs, queue = play.lab.client("sqs"), play.out["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for statement in policy["Statement"]:
        # Narrowed to the hook's actions, because otherwise nobody could remove the policy again.
        statement.update(Resource=arn, Action=["sqs:SendMessage", "sqs:SendMessageBatch"])
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps(policy)})
    since, first = now_ms(), len(play.lab.decisions())
    body = json.loads((ROOT / "events/06-user-assigned.json").read_text())["body"]
    status, _ = request("POST", play.url, body, {"authorization": play.secret()})
    said = " ".join(line.get("message", "") + str(line.get("fields", "")) for line in play.lab.log_lines("hook", since))
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": ""})
    play.deliberate.append((first, len(play.lab.decisions())))
    play.check("gap: the emulator does no TLS, so that the policy refuses everybody", status == 503, status)
    play.check("the log says that a policy of the queue forbids it, and does not send anybody to the role", "explicit deny" in said, said[-400:])


def update(play):
    """A stack update: every parameter is handed over, an import brings a user back, a pause"""
    lab = play.lab
    lab.anypoint.add_user("only_in_anypoint", "Only", "There")
    lab.deploy(play.template, OTHER_VALUES)
    play.after_deployment()
    declared = json.loads(gaps.derived(play.built))
    everybody = declared["Globals"]["Function"]["Environment"]["Variables"]
    wrong, handed = [], set()
    for program, logical in FUNCTIONS.items():
        names = {**everybody, **declared["Resources"][logical]["Properties"]["Environment"]["Variables"]}
        has = lab.client("lambda").get_function_configuration(FunctionName=f"{STACK}-{program}")["Environment"]["Variables"]
        for name in names:
            parameter = "".join(part.capitalize() for part in name.split("_"))
            if parameter in OTHER_VALUES:
                handed.add(parameter)
                if has.get(name) != OTHER_VALUES[parameter]:
                    wrong.append(f"{program}: {name}={has.get(name)}")
    wrong += [f"nobody has {name}" for name in set(OTHER_VALUES) - handed - {"LogLevel", "ImportSchedule"}]
    play.check(f"{len(handed)} parameters are handed to the functions", not wrong, wrong or "")
    answer, failed = play.run_task("import")
    play.check("an import runs", not failed, answer.get("errorMessage", answer.get("outcome", "")))
    found = lab.okta.call("GET", "/users?limit=200")
    play.check("and Okta has the user", any(user["profile"]["login"].startswith("only.there@") for user in found))
    # Parameters that are not named keep their values.
    defaults = {name: declared["Parameters"][name].get("Default") for name in OTHER_VALUES}
    lab.deploy(play.template, {**defaults, "Changes": "pause"})
    play.after_deployment()
    sources = lab.client("lambda").list_event_source_mappings(FunctionName=f"{STACK}-provision")["EventSourceMappings"]
    scheduler = lab.client("scheduler")
    states = {scheduler.get_schedule(Name=of["Name"], GroupName=of["GroupName"])["State"] for of in scheduler.list_schedules()["Schedules"]}
    play.check("Changes=pause: the event source and the schedules rest", sources[0]["State"] in ("Disabled", "Disabling") and
               states == {"DISABLED"}, f"{sources[0]['State']}, {states}")
    lab.okta.profile(GRACE, lastName="Hopper")
    play.check("and an event waits in the queue", until(10, lambda: lab.waiting(play.out["QueueUrl"])[0]))
    lab.deploy(play.template, {"Changes": "apply", "MaxRemovalsPerHour": "0"})
    play.after_deployment()
    play.check("until changes are applied again", until(20, lambda: (play.account("grace_hopper") or {}).get("lastName") == "Hopper"))
    lab.okta.unassign(KATHERINE)
    held = until(20, lambda: KATHERINE in play.tool("held").stdout, 0.5)
    play.check("MaxRemovalsPerHour=0: the brake holds an unassigned user, who keeps the account", held and play.account("katherine_johnson"))
    play.tool("approve", KATHERINE)
    play.check("after the approval the account is disabled", until(20, lambda: play.account("katherine_johnson", enabled=False)))


def alarms_and_metrics(play):
    """Each alarm watches a metric that is really written"""
    lab, resources = play.lab, play.lab.resources()
    written = {point.key for program in FUNCTIONS for point in alarms.points(lab.log_lines(program))}
    ours = {resources[name] for name in [*FUNCTIONS.values(), "HookApi"]}
    ours |= {resources[name].rsplit("/", 1)[-1] for name in ("Queue", "DeadLetters")}
    for alarm in sorted(lab.client("cloudwatch").describe_alarms()["MetricAlarms"], key=lambda of: of["AlarmName"]):
        name = alarm["AlarmName"].removeprefix(f"{STACK}-").split("-")[0]
        dimensions = ", ".join(f"{of['Name']} {of['Value']}" for of in alarm["Dimensions"])
        if alarm["Namespace"] == "OktaAnypoint":
            play.check(f"{name}: {alarm['MetricName']} by {dimensions}", alarms.key(alarm) in written)
        else:
            wrong = alarms.not_of_aws(alarm, ours)
            play.check(f"{name}: {alarm['MetricName']} by {dimensions}, of AWS", wrong is None, wrong or "")


def end(play):
    """The table is restored, the stack deleted, and made again with the restored table"""
    lab, dynamodb = play.lab, play.lab.client("dynamodb")
    table = play.out["TableName"]
    before = play.account("grace_hopper")
    play.lab.run("aws", "dynamodb", "restore-table-to-point-in-time", "--source-table-name", table, "--target-table-name", "restored",
                 "--use-latest-restorable-time")
    play.time_to_live("restored")
    lab.run("sam", "delete", "--no-prompts", "--stack-name", STACK, "--region", REGION)
    functions = lab.client("lambda").list_functions()["Functions"]
    play.check("sam delete leaves the table, and nothing else", table in dynamodb.list_tables()["TableNames"] and not functions)
    lab.deploy(play.template, {"ExistingTableName": "restored"})
    play.url = None
    play.after_deployment()
    play.check("a stack on the restored table makes none of its own", play.out["TableName"] == "restored" and
               sorted(dynamodb.list_tables()["TableNames"]) == sorted([table, "restored"]), dynamodb.list_tables()["TableNames"])
    (lab.folder / "credentials.json").write_text(json.dumps(CREDENTIALS))
    lab.run("bash", "-c", play.out["StoreCredentials"])
    play.tool("hook", "register", "--url", play.url)
    lab.okta.lifecycle(GRACE, "suspend")
    found = until(30, lambda: play.account("grace_hopper", enabled=False))
    play.check("its links are known: the same account is disabled", found and found["id"] == before["id"])
    lab.run("sam", "delete", "--no-prompts", "--stack-name", STACK, "--region", REGION)
    play.check("and the restored table stays, too", "restored" in dynamodb.list_tables()["TableNames"])
