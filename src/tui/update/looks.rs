//! Another theme, seen while it is chosen.

use super::super::action::Action;
use super::super::model::overlay::{Looks, Overlay};
use super::super::model::toast::Kind;
use super::super::model::{Model, cycle};
use super::tell;

/// Opens the list of themes at the one that is shown.
pub fn open(model: &mut Model) {
    let before = model.settings.theme.clone();
    let chosen = model.settings.themes.iter().position(|(_, theme)| *theme == before).unwrap_or(0);
    model.overlay = Some(Overlay::Looks(Looks { chosen, before: Box::new(before) }));
}

pub fn act(model: &mut Model, action: Action) {
    let Some(Overlay::Looks(looks)) = model.overlay.as_mut() else { return };
    let all: Vec<usize> = (0..model.settings.themes.len()).collect();
    match action {
        Action::MoveDown | Action::NextChoice => looks.chosen = cycle(&all, looks.chosen, 1),
        Action::MoveUp | Action::PreviousChoice => looks.chosen = cycle(&all, looks.chosen, -1),
        Action::Accept => {
            let name = model.settings.themes.get(looks.chosen).map(|(name, _)| name.clone()).unwrap_or_default();
            model.overlay = None;
            let text = format!("{name} until you leave; theme = {name:?} under [ui] keeps it");
            tell(model, Kind::Good, &text);
            return;
        }
        Action::Cancel | Action::Back | Action::No => {
            model.settings.theme = (*looks.before).clone();
            model.overlay = None;
            return;
        }
        _ => return,
    }
    if let Some((_, theme)) = model.settings.themes.get(looks.chosen) {
        model.settings.theme = theme.clone();
    }
}
