"""Alerts to a chat that takes JSON with a text."""

import json

from wit_world import exports
from wit_world.exports.channel import (
    Escape,
    Piece_Secret,
    Piece_Text,
    Request,
    Slot,
    Verdict_Delivered,
    Verdict_Rejected,
    Verdict_Retry,
)
from wit_world.exports.meta import Info

# What users write under `[channels.NAME.plugin.settings]`, as JSON Schema; monprov checks it
# and fills in what has a default.
SETTINGS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "most": {"type": "integer", "minimum": 1, "default": 50, "description": "The most alerts in one message"},
    },
}


class Meta(exports.Meta):
    def describe(self):
        return Info("PLUGIN_NAME", "0.1.0", "", json.dumps(SETTINGS))


def line(event):
    labels, annotations = dict(event.labels), dict(event.annotations)
    state = labels.get("severity", "firing") if event.firing else "resolved"
    return f"{state}: {annotations.get('summary') or labels.get('alertname')}"


class Channel(exports.Channel):
    def receiver(self, settings):
        """Alertmanager has no integration for it: through the relay."""
        return None

    def deliver(self, settings, group, now_ms):
        """As many requests as it takes. `covers` says which events a request delivers: each must be in one."""
        most = json.loads(settings)["most"]
        requests = []
        for start in range(0, len(group.events), most):
            events = group.events[start : start + most]
            body = json.dumps({"text": "\n".join(line(event) for event in events)}, ensure_ascii=False)
            # A secret is put in by the host; the plugin only says where.
            token = Piece_Secret(Slot("token", Escape.NONE))
            requests.append(
                Request(
                    key=f"message-{len(requests) + 1}",
                    covers=list(range(start, start + len(events))),
                    endpoint="chat",
                    method="POST",
                    path_query=[Piece_Text("/messages")],
                    headers=[
                        ("Authorization", [Piece_Text("Bearer "), token]),
                        ("Content-Type", [Piece_Text("application/json")]),
                    ],
                    body=[Piece_Text(body)],
                )
            )
        return requests

    def judge(self, settings, request_key, response):
        """By its status; a chat that answers errors with 200 needs a look into the body."""
        if 200 <= response.status < 300:
            return Verdict_Delivered()
        if response.status in (408, 429) or response.status >= 500:
            return Verdict_Retry(None)
        return Verdict_Rejected(f"HTTP {response.status}")
