//! What the parser of TOML complains of, in words that say what to write instead.

/// What is wrong with a text and where, in a line: `line 5, column 1: …`.
pub fn located(text: &str, error: &toml::de::Error) -> String {
    let (line, column) = place(text, error);
    format!("line {line}, column {column}: {}", in_words(error.message()))
}

/// The line and the column, in characters, where something is wrong, both counted from 1.
pub fn place(text: &str, error: &toml::de::Error) -> (usize, usize) {
    let offset = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = &text[..text.floor_char_boundary(offset)];
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// One line of what the parser said.
pub fn in_words(said: &str) -> String {
    match said {
        said if said.contains("cannot extend value of type inline table") => {
            "this adds to a table that stands above in braces, { … }, where nothing is added to it: write it inside those \
             braces, or the whole table under a heading of its own, [like.this]"
                .into()
        }
        "duplicate key" => "this stands in the file already, further up: a key or a table is written once".into(),
        said => said.replace('\n', ", "),
    }
}

#[cfg(test)]
mod tests {
    use super::{in_words, located};

    #[test]
    fn a_complaint_is_one_line_that_says_where() {
        let said = |text: &str| located(text, &toml::from_str::<toml::Table>(text).unwrap_err());
        assert_eq!(
            said("[traffic]\nweb = 1\nweb = 2\n"),
            "line 3, column 1: this stands in the file already, further up: a key or a table is written once"
        );
        assert!(said("ä = \"ü\" x\n").starts_with("line 1, column 9: "), "{}", said("ä = \"ü\" x\n"));
        assert!(!said("a = [\n").contains('\n'));
    }

    #[test]
    fn a_table_in_braces_that_is_added_to_says_where_to_write_it() {
        let said = |text: &str| in_words(toml::from_str::<toml::Table>(text).unwrap_err().message());
        let both = "prod = { class = \"live\" }\n";
        for more in ["[prod.rollout]\ncanary = 1", "prod.canary = 1"] {
            let words = said(&format!("{both}{more}"));
            assert!(words.contains("inside those braces"), "{more}: {words}");
        }
        assert!(said(&format!("{both}[prod]\ncanary = 1")).contains("further up"));
        assert!(!said("a = ").contains("braces"));
    }
}
