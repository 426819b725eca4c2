//! Tables without borders, which fit into the terminal that they are read in.
//!
//! Where a table is too wide, its last column, where remarks stand, is broken into lines; where that leaves too little for them,
//! they stand below their row. A command to type and whatever else has no space in it is never broken.

use crate::moment;
use jiff::tz::TimeZone;

/// What lies between two columns, and how far in what stands below its row begins.
const GAP: usize = 2;
const INDENT: usize = 4;
/// With less room than this, remarks are easier to read below their row.
const REMARKS: usize = 28;

/// How many columns the terminal has that is written to; nothing where it is a file, or whatever else reads on.
pub fn room() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// A table: columns as wide as they need, where there is room for that. With no header there is no line of it.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let zone = TimeZone::system();
    // Moments change their width by the wall that they are told for.
    let told = |row: &Vec<String>| row.iter().map(|cell| moment::on_the_wall(cell, &zone)).collect::<Vec<String>>();
    within(header, &rows.iter().map(told).collect::<Vec<_>>(), room())
}

/// The table within so much room.
fn within(header: &[&str], rows: &[Vec<String>], room: Option<usize>) -> String {
    let header: Vec<String> = header.iter().map(ToString::to_string).collect();
    let lines = || std::iter::once(&header).chain(rows);
    let columns = lines().map(Vec::len).max().unwrap_or(0);
    let widest = |measure: &dyn Fn(&str) -> usize| -> Vec<usize> {
        (0..columns)
            .map(|at| lines().filter_map(|row| row.get(at)).map(|cell| measure(cell)).max().unwrap_or(0))
            .collect()
    };
    let (natural, words) = (widest(&wide), widest(&|cell| words(cell).into_iter().map(wide).max().unwrap_or(0)));
    let widths = room.and_then(|room| fitting(&natural, &words, room)).unwrap_or(natural);
    let mut text = Vec::new();
    if !header.is_empty() {
        text.extend(side_by_side(&header, &widths));
    }
    for row in rows {
        text.extend(side_by_side(row, &widths));
        for (at, cell) in row.iter().enumerate().skip(widths.len()).filter(|(_, cell)| !cell.is_empty()) {
            let label = header.get(at).filter(|label| !label.is_empty());
            let cell = label.map_or_else(|| cell.clone(), |label| format!("{label}: {cell}"));
            let lines = wrapped(&cell, room.unwrap_or(usize::MAX).saturating_sub(INDENT));
            text.extend(lines.into_iter().map(|line| format!("{:INDENT$}{line}", "")));
        }
    }
    text.join("\n")
}

/// How wide the columns are that stand side by side within the room; those that are not among them stand below their row. Nothing
/// where all have the room that they need.
fn fitting(natural: &[usize], words: &[usize], room: usize) -> Option<Vec<usize>> {
    let taken = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
    if taken(natural) <= room {
        return None;
    }
    for beside in (1..=natural.len()).rev() {
        let mut widths = natural[..beside].to_vec();
        // Of all that is left the last column gives way first, as long as it is readable; it is the one with the most to say.
        let others = taken(&widths[..beside - 1]) + if beside > 1 { GAP } else { 0 };
        let left = room.saturating_sub(others);
        let last = beside - 1;
        if beside == natural.len() && left >= natural[last].min(REMARKS).max(words[last]) {
            widths[last] = left.min(natural[last]);
            return Some(widths);
        }
        if beside == natural.len() {
            continue;
        }
        // Then every column gives way, the widest first, down to its longest word.
        while taken(&widths) > room {
            let widest = (0..beside).filter(|at| widths[*at] > words[*at]).max_by_key(|at| widths[*at]);
            let Some(widest) = widest else { break };
            widths[widest] -= 1;
        }
        if taken(&widths) <= room || beside == 1 {
            return Some(widths);
        }
    }
    None
}

/// One row, whose cells may have several lines each.
fn side_by_side(row: &[String], widths: &[usize]) -> Vec<String> {
    let cells: Vec<Vec<String>> = row.iter().zip(widths).map(|(cell, width)| wrapped(cell, *width)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(0);
    let line = |at: usize| {
        let cells = cells
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{:<width$}", cell.get(at).map_or("", String::as_str)));
        cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_string()
    };
    // A row that says something below only has no line of its own.
    (0..height).map(line).filter(|line| height > 1 || !line.is_empty() || row.len() <= widths.len()).collect()
}

/// A text in lines of no more than `width`, broken between words; a command in backticks is one word.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words(text) {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if wide(line) + 1 + wide(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

/// What may stand on lines of its own: words, and whole whatever stands between two backticks.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut begin, mut closed) = (0, 0);
    for (at, c) in text.char_indices().filter(|(_, c)| matches!(c, ' ' | '`')) {
        if at < closed {
            continue;
        }
        if c == ' ' {
            words.push(&text[begin..at]);
            begin = at + 1;
        } else if let Some(length) = text[at + 1..].find('`') {
            closed = at + length + 2;
        }
    }
    words.push(&text[begin..]);
    words
}

fn wide(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [&str; 6] = ["application", "audience", "may be deployed", "runs", "since", "waits and notes"];

    fn rows() -> Vec<Vec<String>> {
        let row = |cells: [&str; 6]| cells.map(String::from).to_vec();
        vec![
            row(["web", "test", "1.5.0, 1.4.0, 1.3.2 … (+2)", "1.5.0 on 1/1", "2 h ago", ""]),
            row(["", "prod", "1.4.0", "1.4.0 on 3/3", "19 min ago", "1.5.0 → prod waits for ops; 1.5.0 held out"]),
        ]
    }

    fn longest(text: &str) -> usize {
        text.lines().map(wide).max().unwrap_or(0)
    }

    #[test]
    fn what_is_read_by_a_program_is_as_wide_as_it_needs() {
        let text = within(&HEADER, &rows(), None);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert_eq!(within(&HEADER, &rows(), Some(200)), text);
    }

    #[test]
    fn a_table_fits_into_a_narrow_terminal_and_loses_no_word() {
        let all = |text: &str| {
            let mut words: Vec<String> = text.split_whitespace().map(String::from).collect();
            words.sort_unstable();
            words
        };
        let whole = within(&HEADER[..], &rows(), None);
        for room in [110, 80, 60, 44] {
            let text = within(&HEADER, &rows(), Some(room));
            assert!(longest(&text) <= room, "{room}:\n{text}");
            let missing = all(&whole).into_iter().filter(|word| !text.contains(word.as_str())).collect::<Vec<_>>();
            assert!(missing.is_empty(), "{room}: {missing:?}\n{text}");
        }
        assert_eq!(
            within(&HEADER, &rows(), Some(80)),
            "application  audience  may be deployed             runs          since\n\
             web          test      1.5.0, 1.4.0, 1.3.2 … (+2)  1.5.0 on 1/1  2 h ago\n\
             \u{20}            prod      1.4.0                       1.4.0 on 3/3  19 min ago\n\
             \u{20}   waits and notes: 1.5.0 → prod waits for ops; 1.5.0 held out"
        );
    }

    #[test]
    fn commands_in_backticks_are_never_broken() {
        let text = "web waits; `sortie abort 17`, or `sortie resume 17`: it's a lone ` here";
        let expected = ["web waits;", "`sortie abort 17`,", "or", "`sortie resume 17`:", "it's a lone ` here"];
        assert_eq!(wrapped(text, 18), expected);
        assert_eq!(wrapped("a `b c`", 3), ["a", "`b c`"]);
        let rows = [vec!["17".into(), "`sortie abort 17 --reason late`".into()]];
        assert_eq!(within(&[], &rows, Some(20)), "17\n    `sortie abort 17 --reason late`");
    }

    #[test]
    fn remarks_are_broken_in_their_column_where_there_is_room_and_a_row_may_have_nothing_else() {
        let rows = [
            vec!["2026-11-22".into(), "approved web@1.4.0 → prod, as was asked for".into()],
            vec!["".into(), "sortie-command-that-is-long and more".into()],
        ];
        assert_eq!(
            within(&[], &rows, Some(44)),
            "2026-11-22  approved web@1.4.0 → prod, as\n\
             \u{20}           was asked for\n\
             \u{20}           sortie-command-that-is-long and\n\
             \u{20}           more"
        );
        assert_eq!(
            within(&[], &rows, Some(30)),
            "2026-11-22\n\
             \u{20}   approved web@1.4.0 → prod,\n\
             \u{20}   as was asked for\n\
             \u{20}   sortie-command-that-is-long\n\
             \u{20}   and more"
        );
    }
}
