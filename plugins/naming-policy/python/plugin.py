"""`naming-policy` in Python: required labels, severities and runbooks. See ../README.md."""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.meta import Info
from wit_world.exports.policy import Finding, Level
from wit_world.imports.types import Failure_Settings, Problem


def words(description, *initial):
    return {"type": "array", "items": {"type": "string"}, "default": initial, "description": description}


SETTINGS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "required_labels": words("Labels that every alert must have", "severity"),
        "severities": words("The severities that there are; empty: any", "critical", "warning", "info"),
        "runbook_for": words("Severities whose alerts must have a runbook", "critical"),
        "level": {
            "enum": ["advice", "warning", "error"],
            "default": "error",
            "description": "How much a breach weighs",
        },
    },
}


class Meta(exports.Meta):
    def describe(self):
        return Info("naming-policy", "1.0.0", "", json.dumps(SETTINGS))


class Policy(exports.Policy):
    def check(self, settings, alerts, stack):
        settings = json.loads(settings)
        severities = settings["severities"]
        unknown = [s for s in settings["runbook_for"] if severities and s not in severities]
        if unknown:
            problems = [Problem("/runbook_for", f"`{s}` is none of `severities`") for s in unknown]
            raise Err(Failure_Settings(problems))
        return [finding for alert in alerts for finding in judge(settings, alert)]


def judge(settings, alert):
    level = Level[settings["level"].upper()]
    labels, annotations = dict(alert.labels), dict(alert.annotations)

    def finding(code, field, message, help=None):
        return Finding(code, level, f"{alert.origin}.{field}", message, help)

    for label in settings["required_labels"]:
        if not labels.get(label, "").strip():
            message = f"the alert `{alert.name}` has no label `{label}`"
            yield finding("required-label", f"labels.{label}", message)
    severity, severities = alert.severity, settings["severities"]
    if severity and severities and severity not in severities:
        message = f"the alert `{alert.name}` has the severity `{severity}`"
        yield finding("severity", "labels.severity", message, f"there are: {', '.join(severities)}")
    if severity in settings["runbook_for"] and "runbook_url" not in annotations:
        message = f"the alert `{alert.name}` is {severity} and has no runbook"
        yield finding("runbook", "annotations.runbook_url", message, "write `runbook_url`")
