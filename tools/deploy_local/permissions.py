"""What the functions really asked for, against what their roles allow."""

import json
import time

import gaps
from lab import ROOT, STACK, now_ms, request, until

ROLES = {"HookRole": "hook", "ProvisionRole": "provision", "ScheduleRole": "schedule"}
# Asked for by Lambda and its event source in a role's name, which the emulator does without asking.
BY_THE_PLATFORM = {"logs:CreateLogStream", "logs:PutLogEvents", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
GAP = "sqs:SendMessageBatch"
# Needed, and not provoked by a play.
RARE = {
    # An import that links a user whom another run links at the same moment: the account that was linked before is left.
    "ScheduleRole": {"dynamodb:UpdateItem"},
}


def policies(play, role):
    """A role's only policy: its name and its document."""
    iam = play.lab.client("iam")
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return name, iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]


def measured(play):
    """Permissions: what was asked for in this play, against the roles"""
    resources = play.lab.resources()
    decisions = [of for number, of in enumerate(play.lab.decisions()) if not any(first <= number < last for first, last in play.deliberate)]
    play.check(f"gap: the emulator asks for {GAP}, which AWS does not have", any(of["action"] == GAP for of in decisions))
    for name in ROLES:
        role = resources[name]
        allowed = {action for statement in policies(play, role)[1]["Statement"] for action in gaps.actions(statement)}
        asked = {of["action"] for of in decisions if of["role"] == role}
        as_on_aws = {"sqs:SendMessage" if action == GAP else action for action in asked}
        refused = sorted({of["action"] for of in decisions if of["role"] == role and not of["allowed"]})
        play.check(f"{name} lacks nothing that was asked for", not refused, refused or f"{len(as_on_aws)} actions")
        unused = sorted(allowed - as_on_aws - BY_THE_PLATFORM - {GAP} - RARE.get(name, set()))
        play.check(f"{name} allows nothing that was not asked for", not unused, unused or sorted(as_on_aws))


def without_each(play):
    """Every action is taken out of every role in turn, and the function says which one it lacks"""
    lab, iam, functions = play.lab, play.lab.client("iam"), play.lab.client("lambda")
    resources = lab.resources()
    turn = 0

    def cold(program):
        """A new execution environment, as after a deployment."""
        variables = functions.get_function_configuration(FunctionName=f"{STACK}-{program}")["Environment"]["Variables"]
        functions.update_function_configuration(FunctionName=f"{STACK}-{program}", Environment={"Variables": {**variables, "TURN": str(turn)}})

    def provoke(program):
        """One of everything that the function does."""
        if program == "hook":
            body = json.loads((ROOT / "events/06-user-assigned.json").read_text())["body"].replace("a1f0", f"{turn:04x}")
            return f"HTTP {request('POST', play.url, body, {'authorization': play.secret()})[0]}"
        if program == "schedule":
            answers = [play.run_task(task) for task in ("catch_up", "reconcile")]
            return f"{sum(failed for _, failed in answers)} of 2 tasks failed"
        name = f"turn.{turn}"
        profile = {"login": f"{name}@acme.example", "email": f"{name}@acme.example", "firstName": "Turn", "lastName": str(turn)}
        user = lab.okta.call("POST", "/users?activate=true", {"profile": profile})["id"]
        lab.okta.assign(user, f"turn_{turn}")
        lab.okta.join("00gINTEGRATORS1", user)
        time.sleep(1)
        lab.okta.app_username(user, f"turn_{turn}_renamed")
        time.sleep(1)
        lab.okta.leave("00gINTEGRATORS1", user)
        lab.okta.unassign(user)
        return ""

    for name, program in ROLES.items():
        role = resources[name]
        policy, whole = policies(play, role)
        for index, statement in enumerate(whole["Statement"]):
            for action in gaps.actions(statement):
                if action in BY_THE_PLATFORM | {GAP}:
                    continue
                turn += 1
                gone = {action, GAP} if action == "sqs:SendMessage" else {action}
                part = json.loads(json.dumps(whole))
                left = [of for of in gaps.actions(part["Statement"][index]) if of not in gone]
                if left:
                    part["Statement"][index]["Action"] = left
                else:
                    part["Statement"].pop(index)
                iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(part))
                cold(program)
                since, before = now_ms(), len(lab.decisions())
                note = provoke(program)

                def refused(gone=gone, before=before, role=role):
                    return any(of["role"] == role and of["action"] in gone and not of["allowed"] for of in lab.decisions()[before:])

                seen = until(20, refused, 0.3)
                said = until(5, lambda program=program, since=since, action=action: spoken(lab, program, since, action), 0.3)
                play.check(f"{name} without {action}: it is refused, and the log names it", seen and said, f"{note} {said or 'not named'}"[:160])
                iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(whole))
                cold(program)


def spoken(lab, program, since, action):
    """The function's own words about the missing permission, in its log or, where it did not start, in the emulator's."""
    for line in lab.log_lines(program, since):
        text = json.dumps(line)
        if action in text and "refused" in text:
            begin = text.index(action)
            return text[begin:begin + 110]
    return None
