//! What commands answer.

use serde_json::Value;

/// What a command answered.
#[derive(Debug)]
pub struct Output {
    /// Who typed what, for messages.
    pub line: String,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that.
    pub stderr: String,
    /// Its exit code.
    pub exit: i32,
}

impl Output {
    /// Both streams, for those who look for words.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Fails unless the answer says `words`, in capitals or not.
    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        let found = self.text().to_lowercase().contains(&words.to_lowercase());
        assert!(found, "it should have said {words:?}\n{self}");
        self
    }

    /// Fails if the answer says `words`.
    #[track_caller]
    pub fn lacks(&self, words: &str) -> &Self {
        let found = self.text().to_lowercase().contains(&words.to_lowercase());
        assert!(!found, "it should not have said {words:?}\n{self}");
        self
    }

    /// The first word that begins with `start`: `web#` finds `web#3fa9c1`.
    #[track_caller]
    pub fn word(&self, start: &str) -> String {
        let text = self.text();
        let found = text.split_whitespace().find(|word| word.len() > start.len() && word.starts_with(start));
        let word = found.unwrap_or_else(|| panic!("it named no {start}…\n{self}"));
        word.trim_end_matches([',', '.', ':', ';', ')']).to_string()
    }

    /// The command that it proposes, without the program's name.
    #[track_caller]
    pub fn next(&self) -> String {
        let text = self.text();
        let line = text.lines().find_map(|line| line.strip_prefix("next: sortie "));
        line.unwrap_or_else(|| panic!("it proposed nothing\n{self}")).to_string()
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("it printed no JSON: {error}\n{self}"))
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}{}(exit {})", self.line, self.stdout, self.stderr, self.exit)
    }
}
