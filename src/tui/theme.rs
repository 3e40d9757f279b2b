//! Colours as data: scopes with parent fallback, from TOML.

mod depth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

/// The themes that are compiled in.
const BUILT_IN: &[(&str, &str)] = &[
    ("default", include_str!("../../themes/default.toml")),
    ("dark", include_str!("../../themes/dark.toml")),
    ("light", include_str!("../../themes/light.toml")),
    ("hal", include_str!("../../themes/hal.toml")),
    ("high-contrast", include_str!("../../themes/high-contrast.toml")),
];

/// Every scope that the dashboard draws with. What a theme names beside these is an error.
const SCOPES: &[&str] = &[
    "ui",
    "ui.dim",
    "ui.header",
    "ui.header.name",
    "ui.border",
    "ui.border.focused",
    "ui.title",
    "ui.title.focused",
    "ui.selected",
    "ui.selected.inactive",
    "ui.mark",
    "ui.tab",
    "ui.tab.active",
    "ui.tile",
    "ui.tile.active",
    "ui.key",
    "ui.hint",
    "ui.chip",
    "ui.banner",
    "ui.overlay",
    "ui.overlay.border",
    "ui.overlay.title",
    "ui.button",
    "ui.button.active",
    "ui.input",
    "ui.match",
    "ui.selection",
    "ui.attention",
    "ui.mode",
    "state",
    "state.running",
    "state.warm",
    "state.creating",
    "state.exited",
    "state.failed",
    "state.cut-off",
    "state.unknown",
    "link",
    "link.up",
    "link.connecting",
    "link.away",
    "toast",
    "toast.good",
    "toast.note",
    "toast.bad",
    "log",
    "log.time",
    "log.stderr",
    "log.note",
    "log.match",
    "log.match.current",
    "log.field",
    "log.level",
    "log.level.error",
    "log.level.warn",
    "log.level.info",
    "log.level.debug",
    "log.level.trace",
    "log.source",
    "log.source.1",
    "log.source.2",
    "log.source.3",
    "log.source.4",
    "log.source.5",
    "log.source.6",
];

pub use depth::Depth;

/// How many themes may stand behind one another.
const MAX_INHERITED: usize = 8;

/// Styles by scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    styles: BTreeMap<String, Style>,
    colourless: bool,
    depth: Depth,
}

/// Why a theme can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThemeError {
    /// Neither compiled in nor in the user's directory.
    #[error("there is no theme {name:?}: it is not one of {}, and {} does not exist", built_in(), file.display())]
    Unknown {
        /// The name.
        name: String,
        /// Where it was looked for.
        file: PathBuf,
    },
    /// The name would leave the directory.
    #[error("{0:?} can't be a theme's name: use letters, digits, '-' and '_'")]
    Name(String),
    /// The file can't be read.
    #[error("theme {name:?}: {file}: {why}", file = file.display())]
    Read {
        /// The theme.
        name: String,
        /// Its file.
        file: PathBuf,
        /// The system's words.
        why: String,
    },
    /// It is no TOML, or not of this shape.
    #[error("theme {name:?}: {why}")]
    Shape {
        /// The theme.
        name: String,
        /// The parser's words, with the line.
        why: String,
    },
    /// A scope that nothing is drawn with.
    #[error("theme {name:?}: there is no scope {scope:?}{}", nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
    Scope {
        /// The theme.
        name: String,
        /// The scope.
        scope: String,
        /// The nearest one.
        nearest: Option<String>,
    },
    /// A colour that can't be read.
    #[error(
        "theme {name:?}: {scope}: {colour:?} is no colour: write default, a name like \"cyan\" or \"bright-red\", 0 to 255, \"#rrggbb\", or a name under [palette]"
    )]
    Colour {
        /// The theme.
        name: String,
        /// The scope.
        scope: String,
        /// The text.
        colour: String,
    },
    /// A modifier that can't be read.
    #[error(
        "theme {name:?}: {scope}: {word:?} is no modifier: use bold, dim, italic, underlined, reversed or crossed-out"
    )]
    Modifier {
        /// The theme.
        name: String,
        /// The scope.
        scope: String,
        /// The text.
        word: String,
    },
    /// It inherits from itself.
    #[error("theme {0:?} inherits from itself, or through more than 8 others")]
    Circle(String),
}

fn built_in() -> String {
    BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    inherits: Option<String>,
    #[serde(default)]
    palette: BTreeMap<String, Paint>,
    #[serde(default)]
    scopes: BTreeMap<String, Entry>,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Paint {
    Number(u8),
    Text(String),
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Entry {
    Colour(Paint),
    Style(Look),
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    fg: Option<Paint>,
    bg: Option<Paint>,
    #[serde(default)]
    modifiers: Vec<String>,
}

impl Theme {
    /// Finds a theme: the user's own in `directory` first, then those compiled in.
    ///
    /// # Errors
    /// [`ThemeError`] names the theme, the scope and what would be right.
    pub fn load(name: &str, directory: &Path, colourless: bool) -> Result<Self, ThemeError> {
        let mut files = Vec::new();
        let mut next = Some(name.to_owned());
        while let Some(name) = next {
            if files.len() == MAX_INHERITED {
                return Err(ThemeError::Circle(name));
            }
            let text = read(&name, directory)?;
            let file: File = toml::from_str(&text)
                .map_err(|error| ThemeError::Shape { name: name.clone(), why: error.to_string() })?;
            let inherits = file.inherits.clone();
            files.push((name, file));
            next = inherits;
        }
        let mut theme = Self { styles: BTreeMap::new(), colourless, depth: Depth::default() };
        // The palette of the theme that was asked for holds for those it inherits from, too.
        let mut palette = BTreeMap::new();
        for (_, file) in files.iter().rev() {
            palette.extend(file.palette.clone());
        }
        for (name, file) in files.iter().rev() {
            for (scope, entry) in &file.scopes {
                let style = Reader { name, scope, palette: &palette }.style(entry)?;
                theme.styles.insert(scope.clone(), style);
            }
        }
        Ok(theme)
    }

    /// The theme that is always there.
    #[must_use]
    pub fn built_in(colourless: bool) -> Self {
        // A test holds that it can be read; without it everything is drawn plain.
        Self::load("default", Path::new(""), colourless).unwrap_or_default()
    }

    /// The style of a scope: its own laid over its parents'.
    #[must_use]
    pub fn style(&self, scope: &str) -> Style {
        let mut style = scope.rsplit_once('.').map_or_else(Style::default, |(parent, _)| self.style(parent));
        if let Some(own) = self.styles.get(scope) {
            style = style.patch(*own);
        }
        if self.colourless {
            return Style { fg: None, bg: None, underline_color: None, ..style };
        }
        Style {
            fg: style.fg.map(|colour| self.depth.fit(colour)),
            bg: style.bg.map(|colour| self.depth.fit(colour)),
            ..style
        }
    }

    /// The same, with no more colours than the terminal has.
    #[must_use]
    pub fn at(self, depth: Depth) -> Self {
        Self { depth, ..self }
    }

    /// Every theme that can be used, by name: the compiled ones, and those of the user's directory.
    #[must_use]
    pub fn all(directory: &Path, colourless: bool) -> Vec<(String, Self)> {
        let own = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let own =
            own.filter_map(|entry| entry.file_name().into_string().ok()?.strip_suffix(".toml").map(str::to_owned));
        let mut names: Vec<String> = BUILT_IN.iter().map(|(name, _)| (*name).to_owned()).collect();
        let mut fresh: Vec<String> = own.filter(|name| !names.contains(name)).collect();
        fresh.sort();
        names.extend(fresh);
        // One that can't be read is no choice; asked for by the configuration, it is an error that says why.
        names
            .into_iter()
            .filter_map(|name| Some((name.clone(), Self::load(&name, directory, colourless).ok()?)))
            .collect()
    }

    /// How many colours what a program wrote may have; `None`: colours are to be left out (`NO_COLOR`).
    #[must_use]
    pub fn colours(&self) -> Option<Depth> {
        (!self.colourless).then_some(self.depth)
    }
}

fn read(name: &str, directory: &Path) -> Result<String, ThemeError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || !name.chars().all(plain) {
        return Err(ThemeError::Name(name.to_owned()));
    }
    let file = directory.join(format!("{name}.toml"));
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => BUILT_IN
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, text)| (*text).to_owned())
            .ok_or(ThemeError::Unknown { name: name.to_owned(), file }),
        Err(error) => Err(ThemeError::Read { name: name.to_owned(), file, why: error.to_string() }),
    }
}

struct Reader<'a> {
    name: &'a str,
    scope: &'a str,
    palette: &'a BTreeMap<String, Paint>,
}

impl Reader<'_> {
    fn style(&self, entry: &Entry) -> Result<Style, ThemeError> {
        if !SCOPES.contains(&self.scope) {
            let nearest = SCOPES
                .iter()
                .map(|known| (strsim::jaro_winkler(self.scope, known), *known))
                .filter(|(score, _)| *score >= 0.8)
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, known)| known.to_owned());
            return Err(ThemeError::Scope { name: self.name.to_owned(), scope: self.scope.to_owned(), nearest });
        }
        let look = match entry.clone() {
            Entry::Colour(paint) => Look { fg: Some(paint), bg: None, modifiers: Vec::new() },
            Entry::Style(look) => look,
        };
        let mut style = Style { fg: self.paint(look.fg)?, bg: self.paint(look.bg)?, ..Style::default() };
        for word in &look.modifiers {
            style = style.add_modifier(self.modifier(word)?);
        }
        Ok(style)
    }

    fn paint(&self, paint: Option<Paint>) -> Result<Option<Color>, ThemeError> {
        let text = match paint {
            None => return Ok(None),
            Some(Paint::Number(number)) => return Ok(Some(Color::Indexed(number))),
            Some(Paint::Text(text)) => text,
        };
        let found = match self.palette.get(&text) {
            Some(Paint::Number(number)) => Some(Color::Indexed(*number)),
            Some(Paint::Text(named)) => colour(named),
            None => colour(&text),
        };
        let wrong =
            || ThemeError::Colour { name: self.name.to_owned(), scope: self.scope.to_owned(), colour: text.clone() };
        found.map(Some).ok_or_else(wrong)
    }

    fn modifier(&self, word: &str) -> Result<Modifier, ThemeError> {
        Ok(match word {
            "bold" => Modifier::BOLD,
            "dim" => Modifier::DIM,
            "italic" => Modifier::ITALIC,
            "underlined" => Modifier::UNDERLINED,
            "reversed" => Modifier::REVERSED,
            "crossed-out" => Modifier::CROSSED_OUT,
            _ => {
                return Err(ThemeError::Modifier {
                    name: self.name.to_owned(),
                    scope: self.scope.to_owned(),
                    word: word.to_owned(),
                });
            }
        })
    }
}

fn colour(text: &str) -> Option<Color> {
    Some(match text {
        "default" => Color::Reset,
        "white" => Color::Gray,
        "bright-black" => Color::DarkGray,
        "bright-white" => Color::White,
        _ if text.starts_with('#') && text.len() == 7 => Color::from_str(text).ok()?,
        _ => {
            const NAMED: [(&str, Color, Color); 6] = [
                ("red", Color::Red, Color::LightRed),
                ("green", Color::Green, Color::LightGreen),
                ("yellow", Color::Yellow, Color::LightYellow),
                ("blue", Color::Blue, Color::LightBlue),
                ("magenta", Color::Magenta, Color::LightMagenta),
                ("cyan", Color::Cyan, Color::LightCyan),
            ];
            if text == "black" {
                return Some(Color::Black);
            }
            let (bright, bare) = text.strip_prefix("bright-").map_or((false, text), |bare| (true, bare));
            let (_, plain, light) = NAMED.iter().find(|(name, ..)| *name == bare)?;
            if bright { *light } else { *plain }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Theme, ThemeError> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("mine.toml"), text).unwrap();
        Theme::load("mine", directory.path(), false)
    }

    #[test]
    fn what_is_compiled_in_can_be_read() {
        for (name, _) in BUILT_IN {
            Theme::load(name, Path::new("/nowhere"), false).unwrap();
        }
        assert_eq!(Theme::built_in(false).style("ui.border.focused").fg, Some(Color::Cyan));
    }

    #[test]
    fn a_scope_falls_back_to_its_parents() {
        let theme = load("[scopes]\n\"ui\" = { fg = \"white\", bg = 4 }\n\"ui.border\" = \"#102030\"\n").unwrap();
        let style = theme.style("ui.border.focused");
        assert_eq!((style.fg, style.bg), (Some(Color::Rgb(16, 32, 48)), Some(Color::Indexed(4))));
    }

    #[test]
    fn one_inherits_and_the_palette_is_its_own() {
        let theme = load("inherits = \"default\"\n[palette]\naccent = \"magenta\"\n").unwrap();
        assert_eq!(theme.style("ui.key").fg, Some(Color::Magenta));
        assert_eq!(load("inherits = \"mine\"\n").unwrap_err(), ThemeError::Circle("mine".to_owned()));
    }

    #[test]
    fn no_color_leaves_attributes_only() {
        let style = Theme::built_in(true).style("ui.banner");
        assert_eq!((style.fg, style.bg), (None, None));
        assert!(style.add_modifier.contains(Modifier::BOLD));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, message) in [
            (
                "[scopes]\n\"ui.bordr\" = \"red\"\n",
                "theme \"mine\": there is no scope \"ui.bordr\"; did you mean \"ui.border\"?",
            ),
            (
                "[scopes]\n\"ui\" = \"rde\"\n",
                "theme \"mine\": ui: \"rde\" is no colour: write default, a name like \"cyan\" or \"bright-red\", 0 to \
                 255, \"#rrggbb\", or a name under [palette]",
            ),
            (
                "[scopes]\n\"ui\" = { modifiers = [\"blink\"] }\n",
                "theme \"mine\": ui: \"blink\" is no modifier: use bold, dim, italic, underlined, reversed or crossed-out",
            ),
        ] {
            assert_eq!(load(text).unwrap_err().to_string(), message);
        }
        let error = Theme::load("../x", Path::new("/nowhere"), false).unwrap_err().to_string();
        assert_eq!(error, "\"../x\" can't be a theme's name: use letters, digits, '-' and '_'");
        let error = Theme::load("noir", Path::new("/nowhere"), false).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no theme \"noir\": it is not one of default, dark, light, hal, high-contrast, and /nowhere/noir.toml does not exist"
        );
    }
}
