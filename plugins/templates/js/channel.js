// Alerts to a chat that takes JSON with a text.

// What users write under `[channels.NAME.plugin.settings]`, as JSON Schema; monprov checks it
// and fills in what has a default.
const settingsSchema = JSON.stringify({
  type: "object",
  additionalProperties: false,
  properties: {
    most: { type: "integer", minimum: 1, default: 50, description: "The most alerts in one message" },
  },
});

export const meta = {
  describe() {
    return { name: "PLUGIN_NAME", version: "0.1.0", homepage: "", settingsSchema };
  },
};

const text = (val) => ({ tag: "text", val });
// A secret is put in by the host; the plugin only says where.
const secret = (name) => ({ tag: "secret", val: { name, escape: "none" } });

function line(event) {
  const one = (pairs, name) => pairs.find(([key]) => key === name)?.[1];
  const state = event.firing ? (one(event.labels, "severity") ?? "firing") : "resolved";
  return `${state}: ${one(event.annotations, "summary") ?? one(event.labels, "alertname")}`;
}

export const channel = {
  // Alertmanager has no integration for it: through the relay.
  receiver(settings) {
    return undefined;
  },

  // As many requests as it takes. `covers` says which events a request delivers: each must be in one.
  deliver(settings, group, nowMs) {
    const { most } = JSON.parse(settings);
    const requests = [];
    for (let start = 0; start < group.events.length; start += most) {
      const events = group.events.slice(start, start + most);
      requests.push({
        key: `message-${requests.length + 1}`,
        covers: events.map((_, index) => start + index),
        endpoint: "chat",
        method: "POST",
        pathQuery: [text("/messages")],
        headers: [
          ["Authorization", [text("Bearer "), secret("token")]],
          ["Content-Type", [text("application/json")]],
        ],
        body: [text(JSON.stringify({ text: events.map(line).join("\n") }))],
      });
    }
    return requests;
  },

  // By its status; a chat that answers errors with 200 needs a look into the body.
  judge(settings, requestKey, response) {
    const { status } = response;
    if (status >= 200 && status < 300) return { tag: "delivered" };
    if (status === 408 || status === 429 || status >= 500) return { tag: "retry", val: undefined };
    return { tag: "rejected", val: `HTTP ${status}` };
  },
};
