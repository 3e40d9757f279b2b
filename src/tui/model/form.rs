//! The spawn form: its fields, and the request they make.

use tui_textarea::TextArea;

use crate::api::types::SpawnRequest;
use crate::bay::container::ImageRef;
use crate::bay::name::Name;
use crate::bay::session::TermSize;
use crate::bay::template::Overrides;

use super::overlay::{line, text_of};

/// A field of the form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Chosen with left and right.
    Template,
    /// The worker's name.
    Name,
    /// A directory.
    Project,
    /// The command.
    Command,
    /// The image.
    Image,
    /// The memory limit.
    Memory,
}

impl Field {
    /// From top to bottom.
    pub const ALL: [Self; 6] = [Self::Template, Self::Name, Self::Project, Self::Command, Self::Image, Self::Memory];

    /// Its label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Name => "name",
            Self::Project => "project",
            Self::Command => "command",
            Self::Image => "image",
            Self::Memory => "memory",
        }
    }

    /// What an empty one means.
    #[must_use]
    pub const fn placeholder(self) -> &'static str {
        match self {
            Self::Template => "",
            Self::Name => "podbay finds one",
            Self::Project => "an absolute directory; empty: the template's",
            Self::Command | Self::Image => "the template's",
            Self::Memory => "the template's; like 8g or 512m",
        }
    }
}

/// The spawn form.
#[derive(Debug)]
pub struct SpawnForm {
    /// The templates there are.
    pub templates: Vec<String>,
    /// The chosen one.
    pub template: usize,
    /// The lines to type in, by field; the template's stays empty.
    pub inputs: Vec<(Field, TextArea<'static>)>,
    /// The focused field.
    pub field: Field,
    /// What is wrong, and where.
    pub error: Option<(Field, String)>,
}

impl SpawnForm {
    /// Empty, with these templates.
    #[must_use]
    pub fn new(templates: Vec<String>) -> Self {
        let inputs = Field::ALL.map(|field| (field, line(""))).into();
        Self { templates, template: 0, inputs, field: Field::Name, error: None }
    }

    /// The focused line.
    pub fn input(&mut self) -> Option<&mut TextArea<'static>> {
        let field = self.field;
        self.inputs.iter_mut().find(|(known, _)| *known == field).map(|(_, area)| area)
    }

    /// What stands in a field.
    #[must_use]
    pub fn text(&self, field: Field) -> String {
        let found = self.inputs.iter().find(|(known, _)| *known == field);
        found.map(|(_, area)| text_of(area).trim().to_owned()).unwrap_or_default()
    }

    /// Another template, round and round.
    pub fn choose(&mut self, step: isize) {
        let all: Vec<usize> = (0..self.templates.len()).collect();
        self.template = super::cycle(&all, self.template, step);
    }

    /// The request, or the field that can't be used and why.
    ///
    /// # Errors
    /// The first field that can't be used.
    pub fn request(&self, size: TermSize) -> Result<SpawnRequest, (Field, String)> {
        let name = given(self.text(Field::Name));
        if let Some(name) = &name {
            Name::worker(name).map_err(|error| (Field::Name, error.to_string()))?;
        }
        let template = self.templates.get(self.template).map(|name| name.parse::<Name>());
        let template = template.transpose().map_err(|error| (Field::Template, error.to_string()))?;
        let project = given(self.text(Field::Project)).map(std::path::PathBuf::from);
        if project.as_ref().is_some_and(|path| !path.is_absolute() && !path.starts_with("~")) {
            return Err((Field::Project, "write the whole path, from / on".to_owned()));
        }
        let command = words(&self.text(Field::Command)).map_err(|error| (Field::Command, error))?;
        let memory = given(self.text(Field::Memory)).map(|text| text.parse());
        let memory =
            memory.transpose().map_err(|error: crate::bay::size::UnitError| (Field::Memory, error.to_string()))?;
        let overrides = Overrides {
            project,
            command,
            image: given(self.text(Field::Image)).map(ImageRef::from),
            memory,
            ..Overrides::default()
        };
        Ok(SpawnRequest { name, template, overrides, size: Some(size), ..SpawnRequest::default() })
    }
}

fn given(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Splits a command as a shell does, as far as quotes and backslashes go.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => {
                word.get_or_insert_default().push(chars.next().ok_or("nothing follows the last backslash")?);
            }
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        return Err(format!("the {open} is never closed"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_like_a_shell_does() {
        assert_eq!(words(r#"bash -c "echo 'a b'" x\ y ''"#).unwrap(), ["bash", "-c", "echo 'a b'", "x y", ""]);
        assert_eq!(words("  ").unwrap(), Vec::<String>::new());
        assert!(words("'a").is_err() && words("a\\").is_err());
    }

    #[test]
    fn the_first_wrong_field_is_named() {
        let mut form = SpawnForm::new(vec!["default".to_owned()]);
        assert!(form.request(TermSize::default()).is_ok());
        for (field, text) in
            [(Field::Name, "-x"), (Field::Project, "rel"), (Field::Command, "'"), (Field::Memory, "8x")]
        {
            form = SpawnForm::new(vec!["default".to_owned()]);
            form.field = field;
            form.input().unwrap().insert_str(text);
            assert_eq!(form.request(TermSize::default()).unwrap_err().0, field);
        }
    }
}
