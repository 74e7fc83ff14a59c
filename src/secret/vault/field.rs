//! The one field of a secret that a source names. One that is not there is a mistake and not a
//! secret that lies elsewhere, so a later source counts only with a warning.

use super::answer::{Data, Field};
use super::messages;
use crate::secret::{Answer, Found, Trouble};
use crate::stack::VaultField;

pub(super) fn pick(data: &Data, wanted: &VaultField, warning: impl FnOnce() -> Option<Trouble>) -> Answer {
    let names: Vec<&str> = data.fields.keys().map(String::as_str).collect();
    let name = match (&wanted.field, names.as_slice()) {
        (Some(name), _) => name.as_str(),
        (None, [only]) => only,
        (None, _) => return Answer::Failed(messages::which_field(&wanted.path, &names)),
    };
    match data.fields.get(name) {
        None => Answer::Failed(messages::no_field(&wanted.path, name, &names)),
        Some(Field::Unfit(what)) => Answer::Failed(messages::unfit(&wanted.path, name, what)),
        Some(Field::Value(secret)) if secret.expose().is_empty() => {
            Answer::Failed(messages::empty(&wanted.path, name))
        }
        Some(Field::Value(secret)) => {
            Answer::Found(Found { secret: secret.clone(), version: data.version, warning: warning() })
        }
    }
}
