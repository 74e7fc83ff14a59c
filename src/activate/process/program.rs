//! Finding a program, as a shell would.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// PATH, with its folders named from the root: programs start in another directory.
pub(super) fn search_path() -> std::io::Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> =
        std::env::split_paths(&path).filter_map(|folder| std::path::absolute(folder).ok()).collect();
    let path = std::env::join_paths(folders).map_err(std::io::Error::other)?;
    Ok(path.to_string_lossy().into_owned())
}

/// A program by its name on `path`, or where it says itself, relative to `directory`.
pub(super) fn find(program: &str, path: &str, directory: &Path) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(directory.join(program)).filter(|file| is_executable(file));
    }
    // The relay is this very program, of this version, and need not be on PATH.
    let own = std::env::current_exe().ok().filter(|own| own.file_name() == Some(program.as_ref()));
    own.or_else(|| {
        let folders = std::env::split_paths(path);
        folders.map(|folder| directory.join(folder).join(program)).find(|file| is_executable(file))
    })
}

fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_where_a_shell_finds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = format!("{}/none:{}", folder.path().display(), folder.path().display());
        std::fs::write(folder.path().join("tool"), "").unwrap();
        assert_eq!(find("tool", &path, folder.path()), None, "it is not executable");
        std::fs::set_permissions(folder.path().join("tool"), PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(find("tool", &path, Path::new("/")), Some(folder.path().join("tool")));
        assert_eq!(find("./tool", "", folder.path()), Some(folder.path().join("./tool")));
        assert_eq!(find("", &path, Path::new("/")), None);
    }
}
