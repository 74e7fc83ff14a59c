"""Nobody is paged within the first moments."""

import json

from wit_world import exports
from wit_world.exports.meta import Info
from wit_world.exports.thresholds import Change, Edit_PendingS

# What users write under `[plugins.PLUGIN_NAME.settings]`, as JSON Schema; monprov checks it
# and fills in what has a default.
SETTINGS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "minimum_seconds": {"type": "number", "default": 60, "description": "The shortest `for`, in seconds"},
    },
}


class Meta(exports.Meta):
    def describe(self):
        return Info("PLUGIN_NAME", "0.1.0", "", json.dumps(SETTINGS))


class Thresholds(exports.Thresholds):
    def adjust(self, settings, alerts, seen, stack):
        least = json.loads(settings)["minimum_seconds"]
        reason = f"nobody is paged within {least} seconds"
        return [Change(alert.id, Edit_PendingS(least), reason) for alert in alerts if alert.pending_s < least]
