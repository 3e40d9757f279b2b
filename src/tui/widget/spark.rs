//! A line of figures as a line of blocks.

/// From nothing to all.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// The newest figures at the right; where there is none, a blank. `most`: what fills a block.
#[must_use]
pub fn draw(values: &[Option<f64>], most: f64, width: usize, ascii: bool) -> String {
    let blocks = if ascii { ASCII } else { BLOCKS };
    let shown = values.get(values.len().saturating_sub(width)..).unwrap_or_default();
    let blank = std::iter::repeat_n(' ', width - shown.len());
    blank.chain(shown.iter().map(|value| value.map_or(' ', |value| block(value, most, blocks)))).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
fn block(value: f64, most: f64, blocks: [char; 8]) -> char {
    let share = if most > 0.0 && value.is_finite() { (value / most).clamp(0.0, 1.0) } else { 0.0 };
    let at = (share * 8.0).ceil() as usize;
    blocks.get(at.saturating_sub(1)).copied().unwrap_or(' ')
}

/// `512 B`, `1.5 GiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    let mut tenths = u128::from(count) * 10;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for next in units {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    if tenths < 100 && unit != "B" {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    } else {
        format!("{} {unit}", tenths / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stands_at_the_right() {
        let values = [Some(0.0), None, Some(50.0), Some(100.0), Some(900.0), Some(f64::NAN)];
        assert_eq!(draw(&values, 100.0, 8, false), "  ▁ ▄██▁");
        assert_eq!(draw(&values, 100.0, 3, true), "##_");
        assert_eq!(draw(&values, 0.0, 2, true), "__");
        assert_eq!(draw(&[], 1.0, 0, false), "");
    }

    #[test]
    fn bytes_have_two_digits_at_least_and_three_at_most_before_the_unit() {
        let cases = [
            (0, "0 B"),
            (7, "7 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (1_048_575, "1023 KiB"),
            (7 << 30, "7.0 GiB"),
        ];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
    }
}
