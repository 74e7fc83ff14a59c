//! A changed bundle put right.

#![expect(clippy::disallowed_methods, reason = "the store is an edge")]

use std::os::unix::fs::MetadataExt as _;

use super::record::Record;
use super::scratch::Scratch;
use super::{Store, StoreError, StorePath, write};
use crate::bundle::{StoreName, Tree};

impl Store {
    /// The files of a changed bundle, where only modes and times were changed or something was
    /// added: then what its record lists is all there and has the hash in the name.
    pub fn salvage(&self, path: &StorePath) -> Option<Tree> {
        let record = self.record(path).ok()??;
        let mut tree = Tree::new();
        for (name, listed) in &record.files.0 {
            let file = path.path().join(name);
            // Neither a link nor a pipe is opened.
            let metadata = std::fs::symlink_metadata(&file).ok().filter(std::fs::Metadata::is_file)?;
            let mut content = Vec::with_capacity(usize::try_from(metadata.size()).ok()?);
            std::io::Read::read_to_end(&mut std::fs::File::open(&file).ok()?, &mut content).ok()?;
            match listed.executable {
                true => tree.insert_executable(name.as_str(), content),
                false => tree.insert(name.as_str(), content),
            }
        }
        has_name(&tree, path.name()).then_some(tree)
    }

    /// Puts the files in the place of a changed or missing bundle, in one step. False if they
    /// are not those of the bundle: then nothing is changed.
    pub fn mend(&self, path: &StorePath, tree: &Tree, build: &serde_json::Value) -> Result<bool, StoreError> {
        if !has_name(tree, path.name()) {
            return Ok(false);
        }
        let _hold = self.hold()?;
        let steps = tree.walk()?;
        // How it was made once stays; the list of files may have been changed as well.
        let known = self.record(path).ok().flatten().map(|record| record.build);
        let record = Record::of(tree, known.unwrap_or_else(|| build.clone()));
        let bundle = Scratch::directory(&self.bundles())?;
        write::tree(bundle.path(), &steps)?;
        let scratch = record.write(&self.bundles())?;
        write::sync_all(bundle.path(), &steps, scratch.path())?;
        bundle.replace(path.path())?;
        self.publish_record(scratch, path)?;
        write::sync(&self.bundles())?;
        Ok(true)
    }
}

fn has_name(tree: &Tree, name: &StoreName) -> bool {
    tree.nar_hash().is_ok_and(|hash| StoreName::of(&hash, name.name()).as_ref() == Ok(name))
}
