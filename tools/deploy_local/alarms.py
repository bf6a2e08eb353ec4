"""Evaluates the alarms on the metric lines that the functions really wrote.

The emulator accepts alarms and knows no metrics of functions. So this reads the lines as CloudWatch does (embedded metric format),
and evaluates an alarm as CloudWatch does (statistic by period, datapoints to alarm, missing data).
"""

import collections

Point = collections.namedtuple("Point", "key at value")  # key: namespace, metric, dimensions; at: seconds

# Metrics that AWS writes, by namespace, with the one dimension they are watched under here (its user guides).
OF_AWS = {
    "AWS/SQS": ("QueueName", {"ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible", "ApproximateAgeOfOldestMessage"}),
    "AWS/Lambda": ("FunctionName", {"Errors", "Throttles", "Invocations", "Duration"}),
    "AWS/ApiGateway": ("ApiId", {"4xx", "5xx", "Count", "Latency", "IntegrationLatency"}),
}


def points(lines):
    """The datapoints in log lines, one for each set of dimensions."""
    for line in lines:
        for block in line.get("_aws", {}).get("CloudWatchMetrics", []):
            for metric in block["Metrics"]:
                values = line[metric["Name"]]
                for names in block["Dimensions"]:
                    key = (block["Namespace"], metric["Name"], tuple(sorted((name, line[name]) for name in names)))
                    for value in values if isinstance(values, list) else [values]:
                        yield Point(key, line["_aws"]["Timestamp"] / 1000, value)


def key(alarm):
    return alarm["Namespace"], alarm["MetricName"], tuple(sorted((of["Name"], of["Value"]) for of in alarm["Dimensions"]))


def state(alarm, found, at):
    """OK, ALARM or INSUFFICIENT_DATA at a time, by the whole periods before it."""
    period, wanted = alarm["Period"], key(alarm)
    end = at // period * period
    breaching = 0
    known = 0
    for number in range(alarm["EvaluationPeriods"]):
        begin = end - (number + 1) * period
        values = [point.value for point in found if point.key == wanted and begin <= point.at < begin + period]
        if not values:
            missing = alarm.get("TreatMissingData", "missing")
            known += missing in ("breaching", "notBreaching")
            breaching += missing == "breaching"
            continue
        known += 1
        value = {"Sum": sum, "Maximum": max, "Minimum": min}[alarm["Statistic"]](values)
        breaching += {"GreaterThanThreshold": value > alarm["Threshold"], "LessThanThreshold": value < alarm["Threshold"],
                      "GreaterThanOrEqualToThreshold": value >= alarm["Threshold"]}[alarm["ComparisonOperator"]]
    if breaching >= alarm.get("DatapointsToAlarm", alarm["EvaluationPeriods"]):
        return "ALARM"
    return "OK" if known else "INSUFFICIENT_DATA"


def first_ring(alarm, found, begin, end):
    """How many seconds after `begin` the alarm rings, asked every minute as CloudWatch does; nothing if it does not before `end`."""
    at = begin
    while at <= end:
        if state(alarm, found, at) == "ALARM":
            return at - begin
        at += 60
    return None


def not_of_aws(alarm, ours):
    """What is wrong with an alarm on a metric of AWS; `ours`: the names of this stack's queues, functions and API."""
    dimension, metrics = OF_AWS.get(alarm["Namespace"], (None, set()))
    if alarm["MetricName"] not in metrics:
        return f"AWS writes no {alarm['MetricName']} in {alarm['Namespace']}"
    wrong = [of for of in alarm["Dimensions"] if of["Name"] != dimension or of["Value"] not in ours]
    return f"no such thing in this stack: {wrong}" if wrong else None
