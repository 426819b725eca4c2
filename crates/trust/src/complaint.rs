//! What the parser of TOML complains of, in words that say what to write instead.

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
    use super::in_words;

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
