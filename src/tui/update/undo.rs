//! One step back.

use super::super::action::Action;
use super::super::effect::Effect;
use super::super::model::toast::Kind;
use super::super::model::undo::Undo;
use super::super::model::{Model, Pane};
use super::{tell, tiles, worker};
use crate::api::types::Verb;

/// Undoes what was done last, of what can be undone.
pub fn undo(model: &mut Model) -> Vec<Effect> {
    match model.undo.pop() {
        None => tell(model, Kind::Note, "there is nothing to undo"),
        Some(Undo::Start(names)) => return worker::start_again(model, names),
        Some(Undo::Sort(sort)) => {
            model.lists.sort = sort;
            tell(model, Kind::Note, &format!("workers {} again", sort.as_str()));
        }
        Some(Undo::Filter(pane, filter)) => {
            tell(model, Kind::Note, &format!("narrowed to {filter:?} again"));
            model.lists.filters.insert(pane, filter);
        }
        Some(Undo::Tiles(kept, passing)) => {
            model.main.tiles.kept = kept;
            model.main.tiles.passing.clone_from(&passing);
            if let Some(tile) = passing.or_else(|| model.main.tiles.kept.last().cloned()) {
                tiles::select(model, &tile);
            }
        }
    }
    Vec::new()
}

/// The offer at the end of a toast: `; u starts it again`. Empty where no key is bound.
pub fn offer(model: &Model, does: &str) -> String {
    let key = model.settings.keymap.key_of(Action::Undo, model.context());
    key.map(|key| format!("; {key} {does}")).unwrap_or_default()
}

/// A verb is done: what can be undone of it is kept. The offer that is said with it.
pub fn done(model: &mut Model, name: &str, verb: Verb) -> String {
    model.undo.forget(name);
    if verb != Verb::Stop || name == "parent" {
        return String::new();
    }
    model.undo.push(Undo::Start(vec![name.to_owned()]));
    offer(model, "starts it again")
}

/// A filter was let go.
pub fn filter_gone(model: &mut Model, pane: Pane, filter: String) {
    if filter.is_empty() {
        return;
    }
    model.undo.push(Undo::Filter(pane, filter));
    let text = format!("all are shown again{}", offer(model, "narrows them as before"));
    tell(model, Kind::Note, &text);
}
