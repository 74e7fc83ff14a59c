//! A bundle that was changed on disk, made what its name says again.

use super::{Failure, Options, evaluate, load, record};
use crate::project::Project;
use crate::store::{Store, StorePath};

/// How a changed bundle was mended, or why not.
#[derive(Debug)]
pub enum Mended {
    /// All its files were still whole.
    FromItself,
    FromProfile,
    Not(String),
}

/// Mends a changed or missing bundle: from its own files where those that it should have are
/// whole, else by building its profile again, if that still gives the same files.
pub fn mend(
    project: &Project,
    store: &Store,
    path: &StorePath,
    options: &Options,
) -> Result<Mended, Failure> {
    if let Some(tree) = store.salvage(path)
        && store.mend(path, &tree, &serde_json::Value::Null)?
    {
        return Ok(Mended::FromItself);
    }
    let profile = path.name().name();
    let evaluated =
        load(project, profile, &options.environment).and_then(|loaded| evaluate(project, loaded, options));
    match evaluated {
        Ok(evaluation) if store.mend(path, &evaluation.tree, &record(&evaluation))? => {
            Ok(Mended::FromProfile)
        }
        Ok(evaluation) => Ok(Mended::Not(format!(
            "`{profile}` builds {} now: put its files and variables back to what they were",
            evaluation.name
        ))),
        Err(Failure::Refused(_)) => {
            Ok(Mended::Not(format!("`{profile}` can't be built: see `monprov check {profile}`")))
        }
        Err(failed) => Err(failed),
    }
}
