//! How amounts of bytes are said to people.

/// What memory and disks are counted in, in bytes.
pub const MEBIBYTE: u64 = 1 << 20;

/// A length in bytes, to two or three digits: `48 kB`, `4.1 MB`.
pub fn length(bytes: u64) -> String {
    let (mut value, mut unit) = (bytes as f64, "B");
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    if unit == "B" || value >= 9.95 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// Memory or room on a disk, in the units people ask for it: `512 MiB`, `4 GiB`, `15.9 GiB`. Never more than there is.
pub fn room(bytes: u64) -> String {
    for (unit, name) in [(MEBIBYTE << 30, "PiB"), (MEBIBYTE << 20, "TiB"), (MEBIBYTE << 10, "GiB")] {
        let whole = bytes / unit;
        if whole > 0 && bytes.is_multiple_of(unit) {
            return format!("{whole} {name}");
        }
        if whole >= 10 {
            return format!("{whole}.{} {name}", bytes % unit / unit.div_ceil(10));
        }
    }
    format!("{} MiB", bytes / MEBIBYTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_two_or_three_digits() {
        let said = [0, 512, 999, 1_000, 48_000, 999_600, 4_100_000, 22_600_000, u64::MAX].map(length);
        assert_eq!(said, ["0 B", "512 B", "999 B", "1.0 kB", "48 kB", "1.0 MB", "4.1 MB", "23 MB", "18446744 TB"]);
    }

    #[test]
    fn room_is_never_said_to_be_more_than_there_is() {
        let said = [0, 512 << 20, 3_998 << 20, 4 << 30, (16 << 30) - 1, 900_000 << 30].map(room);
        assert_eq!(said, ["0 MiB", "512 MiB", "3998 MiB", "4 GiB", "15.9 GiB", "878.9 TiB"]);
    }
}
