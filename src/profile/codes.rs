//! M0xx: what can be wrong with the text of a profile.

use crate::diagnostic::Code;

macro_rules! codes {
    ($($id:ident $title:literal $explain:literal)*) => {
        $(pub static $id: Code = Code { id: stringify!($id), title: $title, explain: $explain };)*
        pub static CODES: &[&Code] = &[$(&$id),*];
    };
}

codes! {
    M001 "a layer is not valid TOML"
"The text can't be read at all. The most common causes: a string without quotes, a bracket that
is never closed, a key that stands twice in one table.

    severity = warning      # wrong
    severity = \"warning\"    # right"

    M002 "an unknown key"
"The key is not part of the profile language, so nothing would come of it. `monprov schema` prints
the whole language as a JSON Schema; an editor that knows it completes keys as you type."

    M003 "a value of the wrong type or form"
"The key is known, but it can't have this value: a string where a number belongs, a duration that
Prometheus can't read, a name that is not among the choices.

    for = \"5 minutes\"   # wrong
    for = \"5m\"          # right: ms, s, m, h, d, w, y"

    M004 "a required key is missing"
"The table can't be used without this key, and no layer sets it. Set it here or in a layer that
this profile extends."

    M005 "a layer does not exist"
"A name in `extends` is the file name of another layer in the same folder, without `.toml`:

    extends = [\"base\", \"celery\"]   # base.toml and celery.toml"

    M006 "layers extend each other in a circle"
"A layer can't build on itself, directly or through others. Take the shared part out into a layer of
its own that both extend."

    M008 "`unset` or `_append` without something inherited"
"`unset = [\"labels.team\"]` deletes an inherited value, and `NAME_append` adds to an inherited list.
Where no earlier layer has it, that is most likely a spelling mistake."

    M009 "a final value is changed"
"A layer declared the key as `final`, so that later layers and plugins can't change it. Remove the
change, or the key from `final`."

    M010 "a placeholder that means nothing"
"`${var.NAME}` is a variable declared in `[vars]`, `${secret.NAME}` a secret declared in `[secrets]`,
`${threshold}` the threshold of the alert it stands in, `${file.NAME}` a secret file of the service
it stands in, `${matrix.site}` the name of the site, in a profile with a `[matrix]`. A literal `${` is written `$${`. Every other `$` stays as it is."

    M011 "a variable has no value"
"The variable is declared without a default, so its value must come from the environment or from a
file given with `--env-file`.

    [vars]
    SMTP_HOST = {}                           # required
    SMTP_HOST = { default = \"mail.example\" }  # optional"

    M012 "a secret where everyone could read it"
"Secrets may stand only where monprov can hand them over without writing them down: passwords,
tokens and URLs of channels, a service's `environment` and `secret_files`, Grafana's password.
Everything else lands in the bundle, which holds no secret."

    M013 "a reference to something that does not exist"
"The name is not declared in this profile, or it was removed with `enable = false`."

    M014 "a name that can't be used"
"The name of a profile becomes the name of a store path: letters, digits and `+-._?=`, not starting
with a dot. Names of services become host names: small letters, digits and dashes. Names of channels,
routes and dashboards become parts of file names and URLs: letters, digits and `._-`."

    M015 "a file that can't be read"
"Files that a profile names are taken relative to the folder of the profiles and must lie in the
project: no absolute path, no `..` and no link that leads out of it."

    M016 "a value that contradicts another"
"Two settings of one table exclude each other; the message says which and what to keep."

    M017 "a profile with a matrix is not one bundle"
"A profile with a `[matrix]` is built for each of its sites, and each site has generations of its own.
`build`, `check` and `path` take all of them; every other command takes one, by its full name:

    [matrix.sites.berlin]        # in profiles/prod.toml

    monprov switch prod-berlin"

    M018 "two things with one name"
"A site is called `PROFILE-SITE` wherever a profile is, so no file and no other site may have that name:
the site `berlin` of `prod.toml` and a file `prod-berlin.toml` exclude each other, and so do the site `b-c`
of `a.toml` and the site `c` of `a-b.toml`."

    M019 "a matrix without a site"
"A profile with a `[matrix]` is built for each of its sites, so without one nothing is built of it. Declare a
site, switch one on again, or remove the table."
}
