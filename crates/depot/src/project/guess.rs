//! A first `sortie.toml` for a folder, for `sortie init`: what can be seen is written down, and what was guessed is said.

use super::{FILE_NAME, parse, words::quote_word};
use std::{
    fs,
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use trust::AppName;

/// The most of any file that is looked at, in bytes: a guess is not worth more.
const LOOK_BYTES: u64 = 256 << 10;
/// Folders that build tools write their result to, the likeliest first.
const OUTPUT_FOLDERS: [&str; 5] = ["dist", "build", "out", "_site", "public"];

/// A guessed `sortie.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// The file's text. It always parses.
    pub text: String,
    /// What was guessed and from what, one sentence each.
    pub guesses: Vec<String>,
    /// What a person should check, as in "health (guessed /healthz)".
    pub check: Option<String>,
    /// The number of the line that `check` speaks of, from 1.
    pub check_line: Option<usize>,
}

/// What was seen in the folder.
#[derive(Default)]
struct Seen {
    files: String,
    build: Option<&'static str>,
    /// The words of the command; none for a site that some other server serves.
    run: Vec<String>,
    guesses: Vec<String>,
    check_files: Option<&'static str>,
}

/// Guesses a `sortie.toml` for `folder`. What cannot be read is simply not seen.
pub fn init_guess(folder: &Path) -> Guess {
    let full = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let name = full.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let app = app_name(&name);
    let mut seen = look(folder);
    if app != name {
        seen.guesses.insert(0, format!("app = {app}, from the folder's name"));
    }
    let guess = write(&app, seen);
    if parse(&guess.text, FILE_NAME).is_ok() {
        return guess;
    }
    // A file name that a manifest cannot carry: the plainest file is better than one that does not read.
    write(&app, Seen { files: ".".into(), check_files: Some("nothing else was recognised"), ..Seen::default() })
}

/// The folder's name made a valid one: `My Shop (2)` becomes `my-shop-2`.
fn app_name(folder: &str) -> String {
    let mut name = String::new();
    for c in folder.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' => name.push(c),
            '0'..='9' if !name.is_empty() => name.push(c),
            _ if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            _ => {}
        }
    }
    name.truncate(63);
    let name = name.trim_end_matches('-');
    AppName::new(name).map_or_else(|_| "app".to_owned(), |name| name.to_string())
}

fn look(folder: &Path) -> Seen {
    look_for_output_program(folder)
        .or_else(|| look_for_cargo(folder))
        .or_else(|| look_for_node(folder))
        .or_else(|| look_for_site(folder))
        .or_else(|| look_for_program(folder))
        .unwrap_or_else(|| Seen {
            files: ".".into(),
            check_files: Some("nothing was recognised, so it is the whole folder"),
            ..Seen::default()
        })
}

/// An output folder with one program in it.
fn look_for_output_program(folder: &Path) -> Option<Seen> {
    OUTPUT_FOLDERS.iter().find_map(|output| {
        let program = only_program(&folder.join(output))?;
        Some(Seen {
            files: (*output).into(),
            build: build_command(folder),
            guesses: vec![format!("files = {output}/, which holds the program {program}")],
            run: vec![format!("./{program}"), "--port".into(), "$PORT".into()],
            ..Seen::default()
        })
    })
}

/// A Rust package with a binary: the one file that cargo leaves, not the folder of everything else it leaves there.
fn look_for_cargo(folder: &Path) -> Option<Seen> {
    let manifest: toml::Table = read_start(&folder.join("Cargo.toml"))?.parse().ok()?;
    let named_bin = manifest
        .get("bin")
        .and_then(|bins| bins.as_array())
        .and_then(|bins| bins.first())
        .and_then(|bin| bin.get("name"));
    let package = manifest.get("package").and_then(|package| package.get("name"));
    let bin = named_bin.or_else(|| package.filter(|_| folder.join("src/main.rs").is_file()))?.as_str()?;
    let main = read_start(&folder.join("src/main.rs")).unwrap_or_default();
    let by_variable = !main.contains("--port") && main.contains("\"PORT\"");
    let program = format!("./{bin}");
    let (run, how) = match by_variable {
        true => (vec!["env".into(), "PORT=$PORT".into(), program], "src/main.rs reads the variable PORT"),
        false => (vec![program, "--port".into(), "$PORT".into()], "the way to say the port is a guess"),
    };
    Some(Seen {
        files: format!("target/release/{bin}"),
        build: Some("cargo build --release"),
        run,
        guesses: vec![format!("files = target/release/{bin}, the binary of Cargo.toml"), format!("run: {how}")],
        ..Seen::default()
    })
}

/// A Node program with a start script or a server file.
fn look_for_node(folder: &Path) -> Option<Seen> {
    let package = read_start(&folder.join("package.json"))?;
    let has_start = has_script(&package, "start");
    let server = ["server.js", "index.js", "app.js", "server.mjs"].into_iter().find(|name| folder.join(name).is_file());
    if !has_start && (server.is_none() || site_folder(folder).is_some()) {
        return None;
    }
    let (command, why) = match server.filter(|_| !has_start) {
        Some(server) => (vec!["node".to_owned(), server.to_owned()], format!("run: node {server}, which stands here")),
        None => (vec!["npm".to_owned(), "start".to_owned()], "run: npm start, the script in package.json".to_owned()),
    };
    Some(Seen {
        files: ".".into(),
        build: build_command(folder),
        run: ["env".to_owned(), "PORT=$PORT".to_owned()].into_iter().chain(command).collect(),
        guesses: vec![why, "files = . with node_modules, which the program needs".into()],
        ..Seen::default()
    })
}

/// A static site: files alone, without a process.
fn look_for_site(folder: &Path) -> Option<Seen> {
    let (files, place) = match site_folder(folder) {
        Some(output) => (output, format!("{output}/index.html")),
        None if folder.join("index.html").is_file() => (".", "index.html".to_owned()),
        None => return None,
    };
    Some(Seen {
        files: files.into(),
        build: build_command(folder),
        guesses: vec![format!("a site of files without a process, because there is {place}")],
        check_files: Some("a site of files without a process"),
        ..Seen::default()
    })
}

/// A program lying in the folder itself.
fn look_for_program(folder: &Path) -> Option<Seen> {
    let program = only_program(folder)?;
    Some(Seen {
        guesses: vec![format!("files = {program}, the one program here")],
        run: vec![format!("./{program}"), "--port".into(), "$PORT".into()],
        files: program,
        ..Seen::default()
    })
}

fn site_folder(folder: &Path) -> Option<&'static str> {
    OUTPUT_FOLDERS.into_iter().find(|output| folder.join(output).join("index.html").is_file())
}

fn build_command(folder: &Path) -> Option<&'static str> {
    if folder.join("Cargo.toml").is_file() {
        return Some("cargo build --release");
    }
    has_script(&read_start(&folder.join("package.json"))?, "build").then_some("npm run build")
}

/// Whether `package.json` has such a script. JSON is TOML's neighbour, not its kin, so this looks for the text; a wrong
/// guess is corrected by the person it is shown to.
fn has_script(package: &str, script: &str) -> bool {
    let Some((_, scripts)) = package.split_once("\"scripts\"") else { return false };
    let scripts = scripts.split_once('}').map_or(scripts, |(inside, _)| inside);
    scripts.contains(&format!("\"{script}\""))
}

/// The name of the only executable file directly in `folder`; scripts by which people build or install do not count.
fn only_program(folder: &Path) -> Option<String> {
    const NOT_PROGRAMS: [&str; 7] = ["build.sh", "install.sh", "configure", "gradlew", "mvnw", "setup.sh", "test.sh"];
    let is_program = |path: &PathBuf| {
        fs::symlink_metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    let programs = fs::read_dir(folder).ok()?.take(10_000).flatten().map(|item| item.path()).filter(is_program);
    let mut names = programs
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .filter(|name| !name.starts_with('.') && !NOT_PROGRAMS.contains(&name.as_str()));
    names.next().filter(|_| names.next().is_none())
}

fn read_start(path: &Path) -> Option<String> {
    let (file, _) = crate::disk::open_regular(path).ok()?;
    let mut bytes = Vec::new();
    file.take(LOOK_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(app: &str, mut seen: Seen) -> Guess {
    let quoted = |text: &str| toml::Value::from(text).to_string();
    let mut text = String::from("# What this application is and how it runs. It is part of every build.\n");
    text.push_str(&format!("app   = {}\n", quoted(app)));
    let files_line = text.matches('\n').count() + 1;
    text.push_str(&format!("files = {}   # its contents become the working folder\n", quoted(&seen.files)));
    if let Some(build) = seen.build {
        text.push_str(&format!("build = {}   # how to build it: recorded, never run by itself\n", quoted(build)));
    }
    if seen.run.is_empty() {
        let check = seen.check_files.map(|why| format!("files ({why})"));
        return Guess { text, guesses: seen.guesses, check_line: check.as_ref().map(|_| files_line), check };
    }
    let command = seen.run.iter().map(|word| quote_word(word)).collect::<Vec<_>>().join(" ");
    text.push_str(&format!("\n[process.{app}]\nrun    = {}   # $PORT is a free port\n", quoted(&command)));
    let health_line = text.matches('\n').count() + 1;
    text.push_str("health = { http = \"/healthz\", within = \"30s\" }\n");
    seen.guesses.push("health: GET /healthz answers well".into());
    Guess {
        text,
        guesses: seen.guesses,
        check: Some("health (guessed /healthz)".into()),
        check_line: Some(health_line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::Builder::new().prefix("My Shop-").tempdir().unwrap();
        for (path, content) in files {
            let full = folder.path().join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(&full, content).unwrap();
            let mode = if content.starts_with("#!") { 0o755 } else { 0o644 };
            fs::set_permissions(&full, fs::Permissions::from_mode(mode)).unwrap();
        }
        folder
    }

    fn guessed(files: &[(&str, &str)]) -> (super::super::Project, Guess) {
        let guess = init_guess(folder(files).path());
        (parse(&guess.text, "sortie.toml").unwrap(), guess)
    }

    fn run_of(project: &super::super::Project) -> Option<String> {
        project.run.processes.values().next().map(|process| process.run.join(" "))
    }

    #[test]
    fn what_is_recognised() {
        let start = r#"{"scripts": {"start": "node x", "build": "vite"}}"#;
        let build = r#"{"scripts": {"build": "vite"}, "start": 1}"#;
        let cargo = "[package]\nname = \"shop\"";
        type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, Option<&'a str>, Option<&'a str>);
        let cases: [Case<'_>; 12] = [
            (&[("dist/web", "#!")], "dist", Some("./web --port $PORT"), None),
            (
                &[("Cargo.toml", cargo), ("src/main.rs", "--port")],
                "target/release/shop",
                Some("./shop --port $PORT"),
                Some("cargo build --release"),
            ),
            (
                &[("Cargo.toml", cargo), ("src/main.rs", "var(\"PORT\")")],
                "target/release/shop",
                Some("env PORT=$PORT ./shop"),
                Some("cargo build --release"),
            ),
            (
                &[("Cargo.toml", "[[bin]]\nname = \"b\"")],
                "target/release/b",
                Some("./b --port $PORT"),
                Some("cargo build --release"),
            ),
            (&[("package.json", start)], ".", Some("env PORT=$PORT npm start"), Some("npm run build")),
            (&[("package.json", "{}"), ("server.js", "")], ".", Some("env PORT=$PORT node server.js"), None),
            (&[("package.json", build), ("dist/index.html", "")], "dist", None, Some("npm run build")),
            (&[("public/index.html", "")], "public", None, None),
            (&[("index.html", "")], ".", None, None),
            (&[("server", "#!"), ("README", "")], "server", Some("./server --port $PORT"), None),
            (&[("one", "#!"), ("two", "#!")], ".", None, None),
            (&[], ".", None, None),
        ];
        for (files, expected, run, recipe) in cases {
            let (project, guess) = guessed(files);
            assert_eq!(project.files, expected, "{files:?}");
            assert_eq!(run_of(&project).as_deref(), run, "{files:?}");
            assert_eq!(project.build.as_deref(), recipe, "{files:?}");
            assert!(project.app.as_str().starts_with("my-shop-"), "{}", project.app);
            let line = guess.text.lines().nth(guess.check_line.unwrap() - 1).unwrap();
            let field = guess.check.unwrap();
            assert!(line.starts_with(field.split(' ').next().unwrap()), "{line} is not about {field}");
        }
    }

    #[test]
    fn a_library_is_not_taken_for_a_program() {
        let (project, _) = guessed(&[("Cargo.toml", "[package]\nname = \"lib\""), ("src/lib.rs", "")]);
        assert!(project.run.processes.is_empty());
    }

    #[test]
    fn a_folder_that_is_not_there_still_gives_a_file_that_reads() {
        parse(&init_guess(Path::new("/nowhere/at all")).text, "sortie.toml").unwrap();
        parse(&init_guess(Path::new("/")).text, "sortie.toml").unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Whatever the folder and the program in it are called, the file reads.
        #[test]
        fn it_always_reads(name in "[^/\0]{1,60}", program in "[^/\0]{1,60}", bin in "[^/\0]{0,20}") {
            let outer = tempfile::tempdir().unwrap();
            let inner = outer.path().join(&name);
            prop_assume!(name != "." && name != ".." && fs::create_dir(&inner).is_ok());
            let file = inner.join(&program);
            if fs::write(&file, "#!").is_ok() {
                fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
            }
            parse(&init_guess(&inner).text, "sortie.toml").unwrap();
            let cargo = format!("[[bin]]\nname = {}", toml::Value::from(bin.as_str()));
            fs::write(inner.join("Cargo.toml"), cargo).unwrap();
            parse(&init_guess(&inner).text, "sortie.toml").unwrap();
        }

        #[test]
        fn any_name_becomes_an_applications_name(name in ".*") {
            AppName::new(&app_name(&name)).unwrap();
        }
    }
}
