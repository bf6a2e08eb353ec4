"""Which parameters a deployment of template.yaml accepts, and which it refuses before it makes anything; for template-check.

It judges as CloudFormation does: allowed patterns and values, bounds of numbers, and the template's rules.
"""

import re

# Values that a deployment accepts, and values that it refuses before it creates anything.
GOOD = {
    "OktaOrgUrl": "https://acme.okta.com",
    "OktaAppId": "0oa1b2c3d4e5f6g7h8i9",
    "AnypointOrgId": "11111111-2222-4333-8444-555555555555",
}
ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:hook-AbCdEf"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/0a0e51b0-0000-4000-8000-0000000000aa"
ALSO_GOOD = [
    {"OktaOrgUrl": "https://login.acme.example/"},
    {"AnypointBaseUrl": "https://eu1.anypoint.mulesoft.com"},
    {"AnypointBaseUrl": "https://ca1.platform.mulesoft.com"},
    {"HookSecretArn": ARN, "CredentialsSecretArn": ARN, "SecretsKmsKeyArn": KEY},
    {"HookSecretArn": ARN.replace("secretsmanager:eu-central-1", "secretsmanager:cn-north-1").replace("arn:aws:", "arn:aws-cn:")},
    {"ExistingTableName": "okta-anypoint-Table-1A2B3C4D5E6F7", "ProtectTable": "false"},
    {"ConfirmSeconds": "60"},
    {"Changes": "pause"},
    {"Changes": "report", "MaxRemovalsPerHour": "off", "AuditDays": "30"},
    {"MaxRemovalsPerHour": "50"},
    {"RolePath": "/provisioning/okta/", "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/teams/boundary"},
    {"Attributes": "first_name=app.firstName,last_name=user.familyName,phone=app.mobilePhone"},
    {"PushGroups": "ids:00g1a2b3,00gZ"},
    {"PushGroups": "name:Anypoint *"},
    {"MaxDeactivations": "50"},
    {"CatchUpSchedule": "off", "ReconcileSchedule": "cron(0 3 * * ? *)"},
    {"ImportSchedule": "rate(1 day)", "ImportMode": "link"},
]
BAD = [
    {"OktaOrgUrl": "http://acme.okta.com"},
    {"OktaOrgUrl": "https://acme.okta.com/app"},
    {"OktaOrgUrl": ""},
    {"OktaAppId": "00u1b2c3d4e5f6g7h8i9"},
    {"AnypointOrgId": "acme"},
    {"AnypointBaseUrl": "https://anypoint.mulesoft.example"},
    {"AnypointBaseUrl": "http://anypoint.mulesoft.com"},
    {"HookAuthHeader": "Authorization: Basic"},
    {"HookSecretArn": "hook-secret"},
    {"CredentialsSecretArn": ARN.replace("secretsmanager", "ssm")},
    # Without the six characters that Secrets Manager puts at the end: no role would match the secret.
    {"HookSecretArn": ARN.removesuffix("-AbCdEf")},
    {"HookSecretArn": ARN.replace("hook-AbCdEf", "okta-anypoint-hook-secret")},
    {"CredentialsSecretArn": ARN.removesuffix("-AbCdEf")},
    {"CredentialsSecretArn": ARN + ":password::"},
    {"ExistingTableName": "arn:aws:dynamodb:eu-central-1:123456789012:table/people"},
    {"ProtectTable": "yes"},
    {"ConfirmSeconds": "0"},
    {"Changes": "stop"},
    {"MaxRemovalsPerHour": "101%"},
    {"AuditDays": "0"},
    {"ConfirmSeconds": "61"},
    {"RolePath": "provisioning"},
    {"PermissionsBoundaryArn": "boundary"},
    {"HookSecretArn": ARN, "SecretsKmsKeyArn": "alias/secrets"},
    {"SecretsKmsKeyArn": KEY},
    {"UsernamePolicy": "lenient"},
    {"Adopt": "always"},
    {"DefaultPhone": "call me"},
    {"Attributes": "email=app.email"},
    {"Attributes": "first_name"},
    {"Attributes": "first_name=firstName"},
    {"PushGroups": "some"},
    {"PushGroups": "ids:"},
    {"MaxDeactivations": "101%"},
    {"MaxDeactivations": "-1"},
    {"CatchUpSchedule": "5 minutes"},
    {"ReconcileSchedule": "rate(0 hours)"},
    {"ImportSchedule": "daily"},
    {"ImportSchedule": "rate(1 day)", "ImportMode": "off"},
    {"WorkerConcurrency": "1"},
    {"EventTtlDays": "0"},
    {"LogRetentionDays": "42"},
    {"AlarmTopicArn": "alarms"},
    {"LocalTest": "true"},
]


def holds(expression, values):
    """The value of a condition of the template."""
    if not isinstance(expression, dict):
        return expression
    ((function, inner),) = expression.items()
    if function == "Ref":
        return values[inner]
    parts = [holds(part, values) for part in inner]
    return {"Fn::Equals": lambda: parts[0] == parts[1], "Fn::Not": lambda: not parts[0], "Fn::Or": lambda: any(parts),
            "Fn::And": lambda: all(parts)}[function]()


def refused(template, given):
    """Why CloudFormation would refuse these parameters before it makes anything; nothing if it would not."""
    values, reasons = {}, []
    for name, parameter in template["Parameters"].items():
        value = values[name] = str(given.get(name, parameter.get("Default", "")))
        allowed = [str(of) for of in parameter.get("AllowedValues", [value])]
        fits = value in allowed and re.fullmatch(parameter.get("AllowedPattern", ".*"), value)
        if parameter["Type"] == "Number":
            fits = fits and parameter.get("MinValue", 0) <= int(value) <= parameter.get("MaxValue", int(value))
        if not fits:
            reasons.append(name)
    for name, rule in template["Rules"].items():
        if holds(rule.get("RuleCondition", True), values) and not all(holds(a["Assert"], values) for a in rule["Assertions"]):
            reasons.append(name)
    return reasons


def wrongly_taken_or_refused(template):
    """Which of the values above the template judges otherwise."""
    for values in [{}, *ALSO_GOOD]:
        if reasons := refused(template, GOOD | values):
            yield f"a deployment with {values} is refused: {reasons}"
    for values in BAD:
        if not refused(template, GOOD | values):
            yield f"a deployment with {values} is not refused"
