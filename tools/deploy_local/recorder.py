"""Runs ministack with a record of every IAM decision; the emulator's own Python runs it.

    recorder.py FILE      one JSON line a decision: who asked, for which action on what, and whether it was allowed

The emulator's CloudTrail keeps the newest fifty calls and no decisions. This records at the one place that makes all of them.
"""

import json
import sys
import threading

from ministack import app
from ministack.core import iam_evaluator

FILE = open(sys.argv.pop(1), "a", buffering=1)
asked = threading.local()
evaluate, enforce = iam_evaluator.evaluate, iam_evaluator.enforce


def evaluated(context, *policies):
    asked.principal = context.principal_arn
    return evaluate(context, *policies)


def enforced(access_key_id, iam_action, service, region, resource_arn="*", **more):
    asked.principal = None
    refusal = enforce(access_key_id, iam_action, service, region, resource_arn=resource_arn, **more)
    if asked.principal and ":assumed-role/" in asked.principal:
        line = {"role": asked.principal.split("/")[-2], "action": iam_action, "resource": resource_arn, "allowed": refusal is None}
        FILE.write(json.dumps(line) + "\n")
    return refusal


iam_evaluator.evaluate, iam_evaluator.enforce = evaluated, enforced
app.main()
