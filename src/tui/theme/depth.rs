//! How many colours a terminal has, and which of them is nearest to one that it has not.

use ratatui::style::Color;

use crate::config::env::Env;

/// How many colours a terminal has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Any.
    #[default]
    True,
    /// A cube of 216, 24 greys, and its own 16.
    Indexed,
    /// Its own 16.
    Sixteen,
}

/// The steps of the cube.
const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];

impl Depth {
    /// What `COLORTERM` and `TERM` tell.
    #[must_use]
    pub fn of(env: &Env) -> Self {
        let term = env.get("TERM").unwrap_or_default();
        match env.get("COLORTERM") {
            Some("truecolor" | "24bit") => Self::True,
            _ if ["-direct", "kitty", "ghostty", "alacritty", "wezterm", "foot"].iter().any(|w| term.contains(w)) => {
                Self::True
            }
            _ if term.contains("256") => Self::Indexed,
            _ => Self::Sixteen,
        }
    }

    /// The colour, or the nearest one that there is.
    #[must_use]
    pub fn fit(self, colour: Color) -> Color {
        match (self, colour) {
            (Self::Indexed, Color::Rgb(red, green, blue)) => Color::Indexed(indexed([red, green, blue])),
            (Self::Sixteen, Color::Rgb(red, green, blue)) => sixteen([red, green, blue]),
            (Self::Sixteen, Color::Indexed(number @ 16..)) => sixteen(of_number(number)),
            _ => colour,
        }
    }
}

fn distance(a: [u8; 3], b: [u8; 3]) -> u32 {
    a.into_iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
}

fn indexed(wanted: [u8; 3]) -> u8 {
    let step =
        |value: u8| (0u8..6).min_by_key(|at| STEPS.get(usize::from(*at)).map_or(255, |step| step.abs_diff(value)));
    let at = wanted.map(|value| step(value).unwrap_or(0));
    let cube = at.map(|at| STEPS.get(usize::from(at)).copied().unwrap_or(0));
    let [red, green, blue] = at;
    let grey = (0u8..24).map(|at| (8 + at * 10, 232 + at)).min_by_key(|(value, _)| distance([*value; 3], wanted));
    match grey {
        Some((value, number)) if distance([value; 3], wanted) < distance(cube, wanted) => number,
        _ => 16 + 36 * red + 6 * green + blue,
    }
}

/// What a number of the cube, or of the greys, stands for.
fn of_number(number: u8) -> [u8; 3] {
    if number >= 232 {
        return [8 + (number - 232) * 10; 3];
    }
    let at = number.saturating_sub(16);
    [at / 36, at / 6 % 6, at % 6].map(|at| STEPS.get(usize::from(at)).copied().unwrap_or(0))
}

fn sixteen(wanted: [u8; 3]) -> Color {
    // As most palettes have them.
    const COLOURS: [(Color, [u8; 3]); 16] = [
        (Color::Black, [0, 0, 0]),
        (Color::DarkGray, [100, 100, 100]),
        (Color::Gray, [190, 190, 190]),
        (Color::White, [255, 255, 255]),
        (Color::Red, [180, 30, 30]),
        (Color::LightRed, [255, 100, 100]),
        (Color::Green, [30, 140, 50]),
        (Color::LightGreen, [120, 220, 120]),
        (Color::Yellow, [160, 120, 0]),
        (Color::LightYellow, [240, 210, 100]),
        (Color::Blue, [30, 80, 180]),
        (Color::LightBlue, [120, 160, 250]),
        (Color::Magenta, [140, 50, 160]),
        (Color::LightMagenta, [200, 150, 250]),
        (Color::Cyan, [0, 130, 140]),
        (Color::LightCyan, [110, 220, 220]),
    ];
    COLOURS.into_iter().min_by_key(|(_, at)| distance(*at, wanted)).map_or(Color::Reset, |(colour, _)| colour)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_that_is_not_there_gives_way_to_the_nearest() {
        let red = Color::Rgb(255, 59, 48);
        assert_eq!(Depth::True.fit(red), red);
        assert_eq!(Depth::Indexed.fit(red), Color::Indexed(203));
        assert_eq!(Depth::Indexed.fit(Color::Rgb(22, 22, 22)), Color::Indexed(233));
        assert_eq!(Depth::Sixteen.fit(Color::Rgb(10, 6, 6)), Color::Black);
        assert_eq!(Depth::Sixteen.fit(Color::Cyan), Color::Cyan);
        // Numbers of the cube and of the greys are no colours there either.
        assert_eq!(Depth::Sixteen.fit(Color::Indexed(196)), Color::Red);
        assert_eq!(Depth::Sixteen.fit(Color::Indexed(232)), Color::Black);
        assert_eq!(Depth::Sixteen.fit(Color::Indexed(231)), Color::White);
        assert_eq!(Depth::Sixteen.fit(Color::Indexed(9)), Color::Indexed(9));
        assert_eq!(Depth::Indexed.fit(Color::Indexed(196)), Color::Indexed(196));
    }

    #[test]
    fn the_terminal_is_asked_by_its_variables() {
        let env = |vars: &[(&str, &str)]| Env {
            vars: vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..Env::default()
        };
        assert_eq!(Depth::of(&env(&[("TERM", "xterm-256color"), ("COLORTERM", "truecolor")])), Depth::True);
        assert_eq!(Depth::of(&env(&[("TERM", "screen-256color")])), Depth::Indexed);
        assert_eq!(Depth::of(&env(&[("TERM", "xterm-kitty")])), Depth::True);
        assert_eq!(Depth::of(&env(&[("TERM", "linux")])), Depth::Sixteen);
    }
}
