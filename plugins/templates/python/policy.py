"""Every alert says whose it is."""

import json

from wit_world import exports
from wit_world.exports.meta import Info
from wit_world.exports.policy import Finding, Level

# What users write under `[plugins.PLUGIN_NAME.settings]`, as JSON Schema; monprov checks it
# and fills in what has a default.
SETTINGS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "label": {"type": "string", "default": "team", "description": "The label that every alert must have"},
    },
}


class Meta(exports.Meta):
    def describe(self):
        return Info("PLUGIN_NAME", "0.1.0", "", json.dumps(SETTINGS))


class Policy(exports.Policy):
    def check(self, settings, alerts, stack):
        label = json.loads(settings)["label"]
        return [
            Finding(
                code="required-label",
                level=Level.WARNING,
                path=f"{alert.origin}.labels.{label}",
                message=f"the alert `{alert.name}` has no label `{label}`",
                help="say whose it is",
            )
            for alert in alerts
            if label not in dict(alert.labels)
        ]
