// Tries what no plugin gets, and says what came of it.
const attempt = (what, work) => {
  try {
    return `${what}: ${work()}`;
  } catch (error) {
    return `${what}: ${error.name}`;
  }
};

export const meta = {
  describe: () => ({ name: "denied", version: "0.1.0", homepage: "", settingsSchema: "" }),
};

export const policy = {
  check(settings, alerts, stack) {
    return [
      attempt("clock", () => Date.now()),
      attempt("date", () => new Date().toISOString()),
      attempt("timer", () => performance.now()),
      attempt("chance", () => Math.random()),
      attempt("crypto", () => crypto.getRandomValues(new Uint8Array(4)).join()),
      attempt("file", () => require("fs").readFileSync("/etc/passwd")),
      attempt("environment", () => process.env.HOME),
      attempt("socket", () => new WebSocket("ws://127.0.0.1")),
      attempt("network", () => fetch("http://127.0.0.1")),
    ].map((message) => ({ code: "tried", level: "advice", path: "", message }));
  },
};
