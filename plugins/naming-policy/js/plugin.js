// `naming-policy` in JavaScript: required labels, severities and runbooks. See ../README.md.

const words = (description, ...initial) => ({
  type: "array",
  items: { type: "string" },
  default: initial,
  description,
});

const settingsSchema = JSON.stringify({
  type: "object",
  additionalProperties: false,
  properties: {
    required_labels: words("Labels that every alert must have", "severity"),
    severities: words("The severities that there are; empty: any", "critical", "warning", "info"),
    runbook_for: words("Severities whose alerts must have a runbook", "critical"),
    level: { enum: ["advice", "warning", "error"], default: "error", description: "How much a breach weighs" },
  },
});

export const meta = {
  describe: () => ({ name: "naming-policy", version: "1.0.0", homepage: "", settingsSchema }),
};

export const policy = {
  check(text, alerts, stack) {
    const settings = JSON.parse(text);
    const unknown = settings.runbook_for.filter((s) => settings.severities.length && !settings.severities.includes(s));
    if (unknown.length) {
      const problem = (s) => ({ pointer: "/runbook_for", message: `\`${s}\` is none of \`severities\`` });
      throw { tag: "settings", val: unknown.map(problem) };
    }
    return alerts.flatMap((alert) => judge(settings, alert));
  },
};

function judge({ required_labels, severities, runbook_for, level }, alert) {
  const labels = new Map(alert.labels);
  const finding = (code, field, message, help) => ({
    code,
    level,
    path: `${alert.origin}.${field}`,
    message,
    help,
  });
  const findings = required_labels
    .filter((label) => !(labels.get(label) ?? "").trim())
    .map((label) =>
      finding("required-label", `labels.${label}`, `the alert \`${alert.name}\` has no label \`${label}\``),
    );
  const { name, severity } = alert;
  if (severity && severities.length && !severities.includes(severity)) {
    const message = `the alert \`${name}\` has the severity \`${severity}\``;
    findings.push(finding("severity", "labels.severity", message, `there are: ${severities.join(", ")}`));
  }
  if (runbook_for.includes(severity) && !alert.annotations.some(([key]) => key === "runbook_url")) {
    const message = `the alert \`${name}\` is ${severity} and has no runbook`;
    findings.push(finding("runbook", "annotations.runbook_url", message, "write `runbook_url`"));
  }
  return findings;
}
