//! The lines in which two texts differ.

/// The lines that go and come, with two lines around them; nothing where the texts are the same.
pub fn line_diff(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same_start = old.iter().zip(&new).take_while(|(one, other)| one == other).count();
    let rest = old.len().min(new.len()) - same_start;
    let same_end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(one, other)| one == other).count();
    let (middle_old, middle_new) = (&old[same_start..old.len() - same_end], &new[same_start..new.len() - same_end]);
    if middle_old.is_empty() && middle_new.is_empty() {
        return Vec::new();
    }
    let mut lines: Vec<String> =
        old[same_start.saturating_sub(2)..same_start].iter().map(|line| format!("  {line}")).collect();
    lines.extend(middle_diff(middle_old, middle_new));
    let end = old.len() - same_end;
    lines.extend(old[end..(end + 2).min(old.len())].iter().map(|line| format!("  {line}")));
    lines
}

/// The longest common subsequence, by the textbook's table; charters are small, and a huge difference is shown whole.
fn middle_diff(old: &[&str], new: &[&str]) -> Vec<String> {
    let minus = |line: &&str| format!("- {line}");
    let plus = |line: &&str| format!("+ {line}");
    if old.len().saturating_mul(new.len()) > 4_000_000 {
        return old.iter().map(minus).chain(new.iter().map(plus)).collect();
    }
    let mut longest = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for (i, one) in old.iter().enumerate().rev() {
        for (j, other) in new.iter().enumerate().rev() {
            longest[i][j] =
                if one == other { longest[i + 1][j + 1] + 1 } else { longest[i + 1][j].max(longest[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            lines.push(format!("  {}", old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || (i < old.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            lines.push(minus(&old[i]));
            i += 1;
        } else {
            lines.push(plus(&new[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::line_diff;

    #[test]
    fn lines_come_with_those_around_them() {
        assert_eq!(line_diff("a\nb\nc\nd", "a\nb\nx\nd"), ["  a", "  b", "- c", "+ x", "  d"]);
        assert_eq!(line_diff("a", "a"), Vec::<String>::new());
        assert_eq!(line_diff("", "a\nb"), ["+ a", "+ b"]);
    }
}
