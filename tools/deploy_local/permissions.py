"""Compares the actions that the functions really used with those that their roles allow."""

import json
import time

import gaps
from lab import ROOT, STACK, now_ms, request, until
from vendors import ADA, APP, INTEGRATORS

ROLES = {"HookRole": "hook", "ProvisionRole": "provision", "ScheduleRole": "schedule"}
# Lambda and its event source use these in a role's name. The emulator does so without asking IAM.
BY_THE_PLATFORM = {"logs:CreateLogStream", "logs:PutLogEvents", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
GAP = "sqs:SendMessageBatch"


# Opens the connection to the table in advance. The function works without it, and logs nothing.
SILENT = {("ProvisionRole", "dynamodb:GetItem")}


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
        unused = sorted(allowed - as_on_aws - BY_THE_PLATFORM - {GAP})
        play.check(f"{name} allows nothing that was not asked for", not unused, unused or sorted(as_on_aws))


def without_each(play):
    """Each action is removed from each role in turn, and the function names the missing one"""
    lab, iam, functions = play.lab, play.lab.client("iam"), play.lab.client("lambda")
    resources = lab.resources()
    turn = 0

    def cold(program):
        """A new execution environment, as after a deployment. The schedule's imports write."""
        variables = functions.get_function_configuration(FunctionName=f"{STACK}-{program}")["Environment"]["Variables"]
        more = {"TURN": str(turn), **({"IMPORT_MODE": "create"} if program == "schedule" else {})}
        functions.update_function_configuration(FunctionName=f"{STACK}-{program}", Environment={"Variables": {**variables, **more}})

    def provoke(program, action):
        """One of everything that the function does."""
        if program == "hook":
            body = json.loads((ROOT / "events/06-user-assigned.json").read_text())["body"].replace("a1f0", f"{turn:04x}")
            return f"HTTP {request('POST', play.url, body, {'authorization': play.secret()})[0]}"
        if program == "schedule":
            lab.anypoint.add_user(f"import_{turn}", "Import", f"Turn{turn}")
            answers = [play.run_task(task) for task in ("catch_up", "reconcile", "import")]
            return f"{sum(failed for _, failed in answers)} of 3 tasks failed"
        name = f"turn.{turn}"
        profile = {"login": f"{name}@acme.example", "email": f"{name}@acme.example", "firstName": "Turn", "lastName": str(turn)}
        user = lab.okta.call("POST", "/users?activate=true", {"profile": profile})["id"]
        if action == "sqs:ChangeMessageVisibility":  # only what may heal goes back to the queue
            play.event_source(False)
            lab.okta.assign(user, f"turn_{turn}")
            lab.stop("simulate")
            play.event_source(True)
            time.sleep(10)
            lab.start_vendors()
            return "while both remotes are down"
        if action == "sqs:SendMessage":  # a group with somebody who is assigned and has no link
            play.tool("unlink", ADA)
            lab.okta.rename_group(INTEGRATORS, f"Integrators {turn}")
            return "a group's run"
        lab.okta.assign(user, f"turn_{turn}")
        lab.okta.join(INTEGRATORS, user)
        time.sleep(1)
        lab.okta.call("POST", f"/apps/{APP}/users/{user}", {"credentials": {"userName": f"turn_{turn}_renamed"}})
        lab.okta.leave(INTEGRATORS, user)
        lab.okta.unassign(user)
        return "a user's runs"

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
                since, before, log = now_ms(), len(lab.decisions()), (lab.folder / "emulator.log").stat().st_size
                note = provoke(program, action)

                def refused(gone=gone, before=before, role=role):
                    return any(of["role"] == role and of["action"] in gone and not of["allowed"] for of in lab.decisions()[before:])

                seen = until(20, refused, 0.3)
                said = until(5, lambda program=program, since=since, action=action, log=log: spoken(lab, program, since, action, log), 0.3)
                silent = (name, action) in SILENT
                play.check(f"{name} without {action}: it is refused, and {'the function does without' if silent else 'the log names it'}",
                           seen and bool(said) != silent, f"{note}: {said or 'not named'}"[:200])
                iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(whole))
                cold(program)


def spoken(lab, program, since, action, log):
    """The function's text about the missing permission, from its log, or from the emulator's if it did not start."""
    with open(lab.folder / "emulator.log") as file:
        file.seek(log)
        stopped = [line for line in file if "the program stops" in line]
    for text in [*map(json.dumps, lab.log_lines(program, since)), *stopped]:
        if action in text and "refused" in text:
            begin = text.index(action)
            return text[begin:begin + 120]
    return None
