"""The emulator's template: the built one, with one edit for each thing that the emulator cannot do or does otherwise.

Each edit names its gap, and fails when it finds nothing to edit. The play checks that the gap is still there, so that an edit
goes when the emulator no longer needs it. Nothing else changes.
"""

import copy
import json
import re

from samcli.yamlhelper import yaml_parse

from vendors import Wrong


def no_metric_math(template):
    """Alarms over an expression: the stack is rolled back. Asked in "a first deployment that fails"."""
    found = [name for name, of in template["Resources"].items() if of["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in of["Properties"]]
    for name in found:
        del template["Resources"][name]
    return found


def no_tls(template):
    """The queue's policy refuses what does not come over TLS, and the functions trust public roots only, so that no emulator can
    be reached by TLS. The policy itself is played in "AWS's own reason"."""
    return [template["Resources"].pop("QueuePolicy", None)]


def reference_of_a_secret(template):
    """`Ref` of a secret gives its name, on AWS its ARN. Asked by the probe."""
    secrets = [name for name, of in template["Resources"].items() if of["Type"] == "AWS::SecretsManager::Secret"]
    found = []

    def walk(value):
        if isinstance(value, dict):
            if value.get("Ref") in secrets:
                found.append(value["Ref"])
                value["Fn::GetAtt"] = [value.pop("Ref"), "Id"]
            for inner in list(value.values()):
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(template["Resources"])
    walk(template["Outputs"])
    return found


def send_message_batch(template):
    """Asks for `sqs:SendMessageBatch`, an action that AWS does not have. Asked in "permissions"."""
    found = []
    for name, of in template["Resources"].items():
        for policy in of["Properties"].get("Policies", []) if of["Type"] == "AWS::IAM::Role" else []:
            for statement in policy["PolicyDocument"]["Statement"]:
                if "sqs:SendMessage" in actions(statement):
                    statement["Action"] = [*actions(statement), "sqs:SendMessageBatch"]
                    found.append(name)
    return found


def addresses_on_loopback(template):
    """Not the emulator's: the simulated vendors are on loopback, and the template takes https only."""
    found = []
    for name in ("OktaOrgUrl", "AnypointBaseUrl"):
        parameter = template["Parameters"][name]
        if not re.fullmatch(parameter["AllowedPattern"], "http://127.0.0.1:8081"):
            parameter["AllowedPattern"] = rf"^http://127\.0\.0\.1:[0-9]+$|{parameter['AllowedPattern']}"
            found.append(name)
    return found


EDITS = [no_metric_math, no_tls, reference_of_a_secret, send_message_batch, addresses_on_loopback]


def actions(statement):
    action = statement.get("Action", [])
    return [action] if isinstance(action, str) else list(action)


def parsed(text):
    """The template without what the Serverless Application Repository reads: its paths do not hold where a copy lies."""
    template = copy.deepcopy(yaml_parse(text))
    template.get("Metadata", {}).pop("AWS::ServerlessRepo::Application", None)
    return template


def derived(text, without=()):
    """The template as JSON, edited; `without` leaves edits out."""
    template = parsed(text)
    for edit in EDITS:
        if edit not in without and not any(edit(template)):
            raise Wrong(f"{edit.__name__}: nothing in the template needs this edit any more; take it out of tools/deploy_local/gaps.py")
    return json.dumps(template)


def with_code(text, folder):
    """The template with the functions that `sam build` put into a folder."""
    template = parsed(text)
    for name in ("HookFunction", "ProvisionFunction", "ScheduleFunction"):
        template["Resources"][name]["Properties"]["CodeUri"] = str(folder / name)
    return json.dumps(template)


# A separate stack shows what the emulator's CloudFormation does differently, and what the play fixes by hand after a deployment.
PROBE = json.dumps({
    "Resources": {
        "Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"SecretString": "{}"}},
        "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {
            "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True}}},
    },
    "Outputs": {"Secret": {"Value": {"Ref": "Secret"}}, "Table": {"Value": {"Ref": "Table"}}},
})
