//! Whether a program waits for somebody, and how that is known. Pure: time is an argument.
//!
//! A program's hooks are believed first, then what it tells its terminal (a notice, a bare bell, its title), then what
//! its screen looks like. What somebody typed after a sign has answered it. A program that claimed to work and has been
//! silent for long is no longer said to work: its screen decides, and where that says nothing, it is not known.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Without output for this long, a program that says it works is looked at.
const QUIET: Duration = Duration::from_secs(30);
/// Without output for this long, it is not known what it does.
const STALE: Duration = Duration::from_mins(2);
/// A weaker sign so soon after a hook is about the same thing, and the hook says it better.
const SAME: Duration = Duration::from_secs(3);

/// What a program needs, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// It asks whether it may do something.
    Permission,
    /// It asks something.
    Question,
    /// It failed.
    Failed,
    /// It has done what it was told.
    Finished,
    /// It waits to be told something.
    Idle,
    /// It said that it works, long ago.
    Unknown,
    /// It works.
    Working,
}

impl Need {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Permission => "asks permission",
            Self::Question => "asks a question",
            Self::Failed => "failed",
            Self::Finished => "finished",
            Self::Idle => "idle",
            Self::Unknown => "unknown",
            Self::Working => "working",
        }
    }

    /// Whether somebody should look.
    #[must_use]
    pub const fn calls(self) -> bool {
        !matches!(self, Self::Idle | Self::Unknown | Self::Working)
    }
}

/// How something is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The program's own hooks.
    Hook,
    /// A notice to the terminal (OSC 9, 777, 99).
    Notice,
    /// A bare bell.
    Bell,
    /// The title.
    Title,
    /// What its screen looks like.
    Screen,
    /// Its main process has ended.
    Exit,
    /// podbay could not do with it what was wanted.
    Podbay,
}

impl Source {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::Notice => "notice",
            Self::Bell => "bell",
            Self::Title => "title",
            Self::Screen => "screen",
            Self::Exit => "exit",
            Self::Podbay => "podbay",
        }
    }
}

/// What a program needs, how that is known, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attention {
    /// What.
    pub need: Need,
    /// How that is known.
    pub source: Source,
    /// When the sign came.
    pub since: Timestamp,
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.need.as_str(), self.source.as_str())
    }
}

impl Attention {
    /// What the end of a main process, that nobody asked for, calls for.
    #[must_use]
    pub const fn of_end(code: i64, out_of_memory: bool, since: Timestamp) -> Self {
        let need = if code == 0 && !out_of_memory { Need::Finished } else { Need::Failed };
        Self { need, source: Source::Exit, since }
    }
}

/// Something that was seen of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// Its hooks, a notice, a bell or its title say so.
    Said(Source, Need),
    /// Its screen looks so; `None`: like nothing in particular.
    Looks(Option<Need>),
    /// It wrote something.
    Wrote,
    /// Somebody typed.
    Typed,
}

/// What is known of one program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    hook: Option<(Need, Timestamp)>,
    /// The newest of notice, bell and title.
    told: Option<(Source, Need, Timestamp)>,
    looks: Option<(Need, Timestamp)>,
    wrote: Option<Timestamp>,
    typed: Option<Timestamp>,
}

impl Watch {
    /// Takes a sign in.
    pub fn heed(&mut self, sign: Sign, now: Timestamp) {
        match sign {
            Sign::Said(Source::Hook, need) => self.hook = Some((need, now)),
            // A bell right after a key is the answer to that key: a completion that found nothing.
            Sign::Said(Source::Bell, _) if self.typed.is_some_and(|typed| now <= typed + SAME) => {}
            Sign::Said(source, need) => {
                // A title that goes on saying the same is as old as when it first said so.
                let same = self.told.is_some_and(|(old, known, _)| (old, known) == (source, need));
                if !(same && source == Source::Title) {
                    self.told = Some((source, need, now));
                }
            }
            Sign::Looks(looks) => {
                // The prompt after a turn looks as the one before it.
                let turn = self
                    .hook
                    .is_some_and(|(need, at)| need == Need::Working && self.typed.is_some_and(|typed| typed <= at));
                let before = self.looks.filter(|(_, since)| !(turn && self.answered(*since)));
                let since = |need| before.filter(|(known, _)| *known == need).map_or(now, |(_, since)| since);
                self.looks = looks.map(|need| (need, since(need)));
            }
            Sign::Wrote => self.wrote = Some(now),
            Sign::Typed => self.typed = Some(now),
        }
    }

    /// What it needs now; `None`: it never gave a sign.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> Option<Attention> {
        let hook = self.hook.map(|(need, at)| (Source::Hook, need, at));
        let told = self.told.filter(|(_, _, at)| hook.is_none_or(|(_, _, known)| *at > known + SAME));
        let said = told.or(hook).filter(|(_, need, at)| *need == Need::Working || !self.answered(*at));
        let looks = self.looks.filter(|(_, at)| !self.answered(*at)).map(|(need, at)| (Source::Screen, need, at));
        let found = match said {
            Some((_, Need::Working, at)) => self.working(at, looks, now).unwrap_or((Source::Screen, Need::Unknown, at)),
            // It works on, though nobody said so: the end of a question that was answered elsewhere.
            Some((_, _, at)) if looks.is_some_and(|(_, need, seen)| need == Need::Working && seen > at + SAME) => {
                looks?
            }
            Some(said) => said,
            None => looks?,
        };
        let (source, need, since) = found;
        Some(Attention { need, source, since })
    }

    /// Whether somebody typed after a sign.
    fn answered(&self, at: Timestamp) -> bool {
        self.typed.is_some_and(|typed| typed >= at)
    }

    /// What to make of a program that said at `at` that it works; `None`: nothing is known.
    fn working(
        &self,
        at: Timestamp,
        looks: Option<(Source, Need, Timestamp)>,
        now: Timestamp,
    ) -> Option<(Source, Need, Timestamp)> {
        // A question on the screen stands there, whatever a hook said that may have been lost on its way.
        if let Some(asks) = looks.filter(|(_, need, seen)| need.calls() && *seen > at) {
            return Some(asks);
        }
        let last = self.wrote.map_or(at, |wrote| wrote.max(at));
        let silent = now.duration_since(last).unsigned_abs();
        if silent < QUIET {
            let source = self.told.filter(|(_, _, told)| *told == at).map_or(Source::Hook, |(source, ..)| source);
            return Some((source, Need::Working, at));
        }
        let waits = looks.filter(|(_, need, _)| *need != Need::Working);
        waits.or((silent < STALE).then_some((Source::Hook, Need::Working, at)))
    }

    /// When the state changes by itself at the earliest.
    #[must_use]
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let claims = [self.hook, self.told.map(|(_, need, at)| (need, at))];
        let claim = claims.into_iter().flatten().filter(|(need, _)| *need == Need::Working).map(|(_, at)| at).max()?;
        let last = self.wrote.map_or(claim, |wrote| wrote.max(claim));
        [last + QUIET, last + STALE].into_iter().find(|at| *at > now)
    }

    /// Whether any sign was given, so that a look at the screen is worth its cost.
    #[must_use]
    pub const fn is_an_agent(&self) -> bool {
        self.hook.is_some() || self.told.is_some() || self.looks.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    /// Signs at seconds, then the state at a second.
    fn after(signs: &[(u64, Sign)], at: u64) -> Option<(Need, Source, u64)> {
        let mut watch = Watch::default();
        for (second, sign) in signs {
            watch.heed(*sign, start() + Duration::from_secs(*second));
        }
        let found = watch.state(start() + Duration::from_secs(at))?;
        let since = found.since.duration_since(start()).as_secs();
        Some((found.need, found.source, u64::try_from(since).unwrap()))
    }

    #[test]
    fn hooks_come_first_and_an_answer_ends_a_question() {
        use Need::{Finished, Idle, Permission, Question, Working};
        use Sign::{Said, Typed, Wrote};
        let hook = |need| Said(Source::Hook, need);
        let looks = |need| Sign::Looks(Some(need));
        for (signs, at, state) in [
            (vec![], 5, None),
            (vec![(0, Wrote), (1, Typed)], 5, None),
            (vec![(0, hook(Working)), (4, hook(Permission))], 5, Some((Permission, Source::Hook, 4))),
            // The bell that rings with the hook says nothing new.
            (vec![(4, hook(Permission)), (5, Said(Source::Bell, Question))], 9, Some((Permission, Source::Hook, 4))),
            (vec![(4, hook(Working)), (20, Said(Source::Bell, Question))], 21, Some((Question, Source::Bell, 20))),
            (vec![(4, Typed), (5, Said(Source::Bell, Question))], 6, None),
            (vec![(4, hook(Permission)), (6, Typed)], 7, None),
            (vec![(4, hook(Permission)), (6, Typed), (7, hook(Working))], 8, Some((Working, Source::Hook, 7))),
            (vec![(4, hook(Finished))], 9000, Some((Finished, Source::Hook, 4))),
            (vec![(4, Said(Source::Notice, Permission))], 5, Some((Permission, Source::Notice, 4))),
            // The hook that ends a turn was lost; no look fell into the turn.
            (
                vec![(0, looks(Idle)), (1, Typed), (1, hook(Working)), (21, Wrote), (22, looks(Idle))],
                56,
                Some((Idle, Source::Screen, 22)),
            ),
        ] {
            assert_eq!(after(&signs, at), state, "{signs:?}");
        }
    }

    #[test]
    fn a_stale_claim_to_work_never_wins_for_ever() {
        use Need::{Idle, Permission, Unknown, Working};
        use Sign::{Looks, Said, Wrote};
        let works = (0, Said(Source::Hook, Working));
        assert_eq!(after(&[works, (25, Wrote)], 50), Some((Working, Source::Hook, 0)));
        assert_eq!(after(&[works], 50), Some((Working, Source::Hook, 0)));
        assert_eq!(after(&[works], 130), Some((Unknown, Source::Screen, 0)));
        // A lost hook of the turn's end: the screen has the prompt.
        assert_eq!(after(&[works, (10, Wrote), (11, Looks(Some(Idle)))], 20), Some((Working, Source::Hook, 0)));
        assert_eq!(after(&[works, (10, Wrote), (11, Looks(Some(Idle)))], 45), Some((Idle, Source::Screen, 11)));
        // A question on the screen is not waited with.
        assert_eq!(after(&[works, (11, Looks(Some(Permission)))], 12), Some((Permission, Source::Screen, 11)));
    }

    #[test]
    fn nothing_flaps_while_the_same_is_said() {
        let mut watch = Watch::default();
        let mut seen = Vec::new();
        for second in 0..600 {
            let now = start() + Duration::from_secs(second);
            watch.heed(Sign::Wrote, now);
            watch.heed(Sign::Said(Source::Title, Need::Working), now);
            watch.heed(Sign::Looks(Some(Need::Working)), now);
            seen.push(watch.state(now));
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!(seen[0].as_ref().map(|found| (found.need, found.since)), Some((Need::Working, start())));
    }

    #[test]
    fn it_is_asked_again_when_something_would_change() {
        let mut watch = Watch::default();
        assert_eq!(watch.due(start()), None);
        watch.heed(Sign::Said(Source::Hook, Need::Working), start());
        let mut now = start();
        let mut states = Vec::new();
        while let Some(due) = watch.due(now) {
            now = due;
            states.push(watch.state(now).unwrap().need);
        }
        assert_eq!(states, [Need::Working, Need::Unknown]);
    }
}
