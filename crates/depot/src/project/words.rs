//! The small notations inside values: command lines, durations, sizes, lists of labels.

use std::collections::BTreeMap;

/// Splits a command line as a shell does, with quotes and backslashes, and nothing else a shell does: `$NAME` stays as
/// it is, `*` is a star. What would need a shell is refused, because it would silently become an argument.
pub fn split_command(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            c if c.is_whitespace() => end_word(&mut words, word.take(), quoted)?,
            '\'' | '"' => {
                quoted = true;
                read_quoted(c, &mut characters, word.get_or_insert_default())?;
                continue;
            }
            '\\' => {
                quoted = true;
                let next = characters.next().ok_or("it ends in a backslash")?;
                word.get_or_insert_default().push(next);
                continue;
            }
            '`' => return Err(needs_shell("`")),
            '$' if characters.peek() == Some(&'(') => return Err(needs_shell("$(")),
            c => word.get_or_insert_default().push(c),
        }
        if word.is_none() {
            quoted = false;
        }
    }
    end_word(&mut words, word, quoted)?;
    Ok(words)
}

fn end_word(words: &mut Vec<String>, word: Option<String>, quoted: bool) -> Result<(), String> {
    const OPERATORS: [&str; 9] = ["&&", "||", "|", ";", "&", ">", ">>", "<", "2>&1"];
    let Some(word) = word else { return Ok(()) };
    if !quoted && OPERATORS.contains(&word.as_str()) {
        return Err(needs_shell(&word));
    }
    words.push(word);
    Ok(())
}

fn needs_shell(operator: &str) -> String {
    format!("it uses '{operator}', which needs a shell, and there is none; write it as: sh -c '…'")
}

fn read_quoted(quote: char, characters: &mut impl Iterator<Item = char>, word: &mut String) -> Result<(), String> {
    while let Some(c) = characters.next() {
        match c {
            c if c == quote => return Ok(()),
            '\\' if quote == '"' => {
                let next = characters.next().unwrap_or('\\');
                if !matches!(next, '"' | '\\' | '$' | '`') {
                    word.push('\\');
                }
                word.push(next);
            }
            c => word.push(c),
        }
    }
    Err(format!("a quote {quote} is not closed"))
}

/// The name of the variable that is mentioned behind a `$`, and what follows; an empty name where none is.
pub fn variable(behind: &str) -> (&str, &str) {
    let named = |text: &str| text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    match behind.strip_prefix('{') {
        Some(braced) => match braced.split_at(named(braced)) {
            (name, rest) if rest.starts_with('}') => (name, &rest[1..]),
            _ => ("", behind),
        },
        None => behind.split_at(named(behind)),
    }
}

/// One word as [`split_command`] reads it back.
pub fn quote_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+$".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Reads a duration, `30s`, `5m`, `4h` or `1d`, as seconds.
pub fn duration_seconds(text: &str) -> Result<u32, String> {
    let wrong = || "a duration is written 30s, 5m, 4h or 1d".to_owned();
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    let digits = text[..text.len() - 1].trim_end();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    digits.parse::<u32>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(|| "the duration is too long".to_owned())
}

/// Reads a size, `512 MiB`, `1 GiB` or `10 MB`, as bytes.
pub fn size_bytes(text: &str) -> Result<u64, String> {
    let wrong = || "a size is written 512 MiB, 1 GiB or 10 MB".to_owned();
    let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (digits, unit) = text.split_at(at);
    let unit: u64 = match unit.trim_start() {
        "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err(wrong()),
    };
    if digits.is_empty() {
        return Err(wrong());
    }
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(|| "the size is too large".to_owned())
}

/// Reads labels, `role=web, zone=eu`. Keys and values are letters, digits and `-_./`; an empty text is no labels.
pub fn labels(text: &str) -> Result<BTreeMap<String, String>, String> {
    let plain = |part: &str| {
        !part.is_empty() && part.len() <= 63 && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
    };
    let mut labels = BTreeMap::new();
    if text.trim().is_empty() {
        return Ok(labels);
    }
    for label in text.split(',') {
        let (key, value) = label
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
            .filter(|(key, value)| plain(key) && plain(value))
            .ok_or_else(|| format!("'{}' is no label; labels are written role=web, zone=eu", label.trim()))?;
        if labels.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("the label {key} stands twice"));
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn command_lines_split_as_in_a_shell() {
        let cases: [(&str, &[&str]); 9] = [
            ("./web --port $PORT", &["./web", "--port", "$PORT"]),
            ("nginx -g 'daemon off;'", &["nginx", "-g", "daemon off;"]),
            (r#"a "b \"c\" $X" d\ e"#, &["a", "b \"c\" $X", "d e"]),
            (r#"a '' "" x'y'"z""#, &["a", "", "", "xyz"]),
            ("  a\t\nb  ", &["a", "b"]),
            ("find *.rs ~ ${HOME}", &["find", "*.rs", "~", "${HOME}"]),
            (r"'a\b' \'", &[r"a\b", "'"]),
            ("a '&&' \\| \"x\"", &["a", "&&", "|", "x"]),
            ("", &[]),
        ];
        for (line, words) in cases {
            assert_eq!(split_command(line).unwrap(), words, "{line}");
        }
    }

    #[test]
    fn what_needs_a_shell_is_refused() {
        for line in ["a && b", "a | b", "a > b", "'x' ; y", "a `b`", "a $(b)", "a &"] {
            assert!(split_command(line).unwrap_err().contains("needs a shell"), "{line}");
        }
        assert!(split_command("a 'b").unwrap_err().contains("not closed"));
        assert!(split_command("a \\").unwrap_err().contains("backslash"));
    }

    #[test]
    fn variables_are_mentioned_as_in_a_shell() {
        let cases = [
            ("PORT/x", ("PORT", "/x")),
            ("{PORT}x", ("PORT", "x")),
            ("{PORT", ("", "{PORT")),
            (" x", ("", " x")),
            ("", ("", "")),
        ];
        for (text, expected) in cases {
            assert_eq!(variable(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_and_sizes() {
        assert_eq!(["30s", "5m", "4h", "1d", "0s"].map(|t| duration_seconds(t).unwrap()), [30, 300, 14_400, 86_400, 0]);
        for wrong in ["", "s", "30", "-1s", "1.5h", "30 seconds", "99999999999s", "99999d", "+1s", "ü"] {
            assert!(duration_seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            ["512 MiB", "1GiB", "10 MB", "0 B"].map(|t| size_bytes(t).unwrap()),
            [512 << 20, 1 << 30, 10_000_000, 0]
        );
        for wrong in ["", "512", "MiB", "-1 MiB", "1.5 GiB", "1 mib", "99999999999 TiB", "1 GiB x"] {
            assert!(size_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_are_pairs() {
        assert_eq!(labels("role=web, zone=eu").unwrap().len(), 2);
        assert!(labels("").unwrap().is_empty());
        for wrong in ["role", "role=", "=web", "a=b,", "a=b,a=c", "a=b=c", "a=\u{1b}"] {
            assert!(labels(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn quoted_words_read_back(words in proptest::collection::vec("[^\0]{0,12}", 0..6)) {
            let line = words.iter().map(|word| quote_word(word)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(split_command(&line).unwrap(), words);
        }

        #[test]
        fn nothing_panics(text in ".*") {
            let _ = (split_command(&text), duration_seconds(&text), size_bytes(&text), labels(&text));
        }
    }
}
