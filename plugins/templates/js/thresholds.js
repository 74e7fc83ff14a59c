// Nobody is paged within the first moments.

// What users write under `[plugins.PLUGIN_NAME.settings]`, as JSON Schema; monprov checks it
// and fills in what has a default.
const settingsSchema = JSON.stringify({
  type: "object",
  additionalProperties: false,
  properties: {
    minimum_seconds: { type: "number", default: 60, description: "The shortest `for`, in seconds" },
  },
});

export const meta = {
  describe() {
    return { name: "PLUGIN_NAME", version: "0.1.0", homepage: "", settingsSchema };
  },
};

export const thresholds = {
  adjust(settings, alerts, seen, stack) {
    const least = JSON.parse(settings).minimum_seconds;
    return alerts
      .filter((alert) => alert.pendingS < least)
      .map((alert) => ({
        alert: alert.id,
        edit: { tag: "pending-s", val: least },
        reason: `nobody is paged within ${least} seconds`,
      }));
  },
};
