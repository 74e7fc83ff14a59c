// Every alert says whose it is.

// What users write under `[plugins.PLUGIN_NAME.settings]`, as JSON Schema; monprov checks it
// and fills in what has a default.
const settingsSchema = JSON.stringify({
  type: "object",
  additionalProperties: false,
  properties: {
    label: { type: "string", default: "team", description: "The label that every alert must have" },
  },
});

export const meta = {
  describe() {
    return { name: "PLUGIN_NAME", version: "0.1.0", homepage: "", settingsSchema };
  },
};

export const policy = {
  check(settings, alerts, stack) {
    const { label } = JSON.parse(settings);
    return alerts
      .filter((alert) => !alert.labels.some(([name]) => name === label))
      .map((alert) => ({
        code: "required-label",
        level: "warning",
        path: `${alert.origin}.labels.${label}`,
        message: `the alert \`${alert.name}\` has no label \`${label}\``,
        help: "say whose it is",
      }));
  },
};
