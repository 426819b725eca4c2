//! The `sortie.toml` that a command is about.

use crate::failure::{Failure, OrMisused};
use depot::project::{FILE_NAME, Project, parse};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A `sortie.toml` and where it lies.
#[derive(Clone, Debug)]
pub struct Located {
    /// The folder that holds it.
    pub folder: PathBuf,
    /// What it says.
    pub project: Project,
    /// Its text, and what it is called; nothing where there is none.
    pub text: Option<(String, String)>,
}

/// Reads the `sortie.toml` in `folder`, if there is one.
pub fn read(folder: &Path) -> Result<Option<Located>, Failure> {
    let path = folder.join(FILE_NAME);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::failed(format!("cannot read {}: {error}", path.display()))),
    };
    let name = path.display().to_string();
    let project = parse(&text, &name).or_misused()?;
    Ok(Some(Located { folder: folder.to_path_buf(), project, text: Some((text, name)) }))
}

/// The project of `app` that is nearest to `from`: in the folder itself, above it up to the top of the repository, or
/// the only one of that name below it.
pub fn find(from: &Path, app: Option<&str>) -> Result<Option<Located>, Failure> {
    let fits = |located: &Located| app.is_none_or(|app| located.project.app.as_str() == app);
    let from = from.canonicalize().unwrap_or_else(|_| from.to_path_buf());
    let top = crate::git::top(&from).and_then(|top| top.canonicalize().ok());
    for folder in from.ancestors() {
        if let Some(located) = read(folder)?
            && fits(&located)
        {
            return Ok(Some(located));
        }
        // Without a repository only the folder itself is looked at: what lies above it is somebody else's.
        if top.as_deref().is_none_or(|top| top == folder) {
            break;
        }
    }
    let Some(top) = top else { return Ok(None) };
    let listed = crate::git::run(&top, &["ls-files", "--cached", "--others", "--exclude-standard", "-z"])?;
    let names = listed.split('\0').filter(|name| *name == FILE_NAME || name.ends_with(&format!("/{FILE_NAME}")));
    let mut found = Vec::new();
    for name in names {
        let folder = top.join(name).parent().map(Path::to_path_buf).unwrap_or_else(|| top.clone());
        found.extend(read(&folder)?.filter(&fits));
    }
    match found.len() {
        0 | 1 => Ok(found.pop()),
        _ => {
            let names: Vec<&str> = found.iter().map(|located| located.project.app.as_str()).collect();
            Err(Failure::misused(format!("there are several applications here: {}", names.join(", ")))
                .next(format!("sortie push --app {}", names[0])))
        }
    }
}
