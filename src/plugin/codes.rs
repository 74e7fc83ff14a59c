//! What can be wrong about plugins.

use crate::diagnostic::Code;

pub static M701: Code = Code {
    id: "M701",
    title: "a plugin that is not pinned, or has changed since",
    explain:
        "A plugin runs only as the file that somebody looked at: `monprov.lock`, which is checked in, holds
its digest.

    monprov plugin add plugins/naming-policy.wasm      # pin it, after a look at what it is
    monprov plugin update plugins/naming-policy.wasm   # take a changed file over

A plugin stands in the profile by its file, relative to the project:

    [plugins.naming]
    file = \"plugins/naming-policy.wasm\"",
};

pub static M702: Code = Code {
    id: "M702",
    title: "a file that is no plugin of this release",
    explain:
        "A plugin is a WebAssembly component (or a core module made by wit-bindgen, or component text) that
exports `meta` and one interface per role of `monprov:plugin`, and imports no function: no file, no
network, no environment, no clock. `monprov plugin inspect FILE` shows what a file has.",
};

pub static M703: Code = Code {
    id: "M703",
    title: "a plugin that gave no answer",
    explain:
        "The plugin crashed, or needed more than it may use. Fuel, which counts instructions, is the limit
that is the same on every machine; memory, tables, stack and output are bounded too.

    [plugins.naming]
    file = \"plugins/naming-policy.wasm\"
    limits = { fuel = 20000000000, memory = \"128MiB\" }

What the plugin printed is shown by `monprov plugin run PROFILE NAME`.",
};

pub static M704: Code = Code {
    id: "M704",
    title: "settings that a plugin does not take",
    explain: "Settings are held against the JSON Schema that the plugin brings: `monprov plugin inspect FILE`.",
};

pub static M705: Code = Code {
    id: "M705",
    title: "a change that a plugin may not make",
    explain: "A plugin changes `threshold` and `for` of alerts. More has to be granted:

    [plugins.hours]
    file = \"plugins/business-hours.wasm\"
    may = [\"threshold\", \"for\", \"keep_firing_for\", \"expr\", \"label\", \"severity\", \"annotation\", \"add\", \"disable\"]

What the profile marked `final` no plugin changes, and every change needs a reason.",
};

pub static M706: Code = Code {
    id: "M706",
    title: "two plugins that change the same value",
    explain:
        "Both saw the stack as it was before either, and the later one wins: `order`, then the name. Where
one is to build on the other, say so:

    [plugins.hours]
    file = \"plugins/business-hours.wasm\"
    after = [\"adaptive\"]",
};

pub static M707: Code = Code {
    id: "M707",
    title: "what a policy plugin found",
    explain:
        "The policy, and what it demands, is the plugin's own: the message names the plugin and its rule.
A finding of the level `error` stops the build.",
};

pub static M708: Code = Code {
    id: "M708",
    title: "a receiver that a plugin can't make",
    explain:
        "A channel plugin may leave delivery to an integration of Alertmanager's own. It can set the options
that `[channels.NAME.KIND]` has, name endpoints that the profile gives it, and secrets that are granted
for it:

    [channels.ops.plugin.grants.token]
    secret = \"${secret.bot_token}\"
    endpoint = \"api\"
    use = \"value\"
    place = \"receiver\"",
};

pub static CODES: &[&Code] = &[&M701, &M702, &M703, &M704, &M705, &M706, &M707, &M708];
