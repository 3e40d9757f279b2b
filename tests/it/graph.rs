//! The graph of services and templates: tables, and random graphs that are started and stopped.

use std::collections::{BTreeMap, BTreeSet};

use podbay::bay::graph::{Condition, Graph, GraphError, Member, Needs, Progress, Verdict, sentence};
use podbay::bay::name::Name;
use proptest::prelude::*;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn service(text: &str) -> Member {
    Member::Service(name(text))
}

/// `"web: api=ready db=started"`, a line a member; `@claude` is a template.
fn parts(lines: &[&str]) -> Vec<(Member, Needs)> {
    let part = |line: &&str| {
        let (who, needs) = line.split_once(':').unwrap();
        let member = who.strip_prefix('@').map_or_else(|| service(who), |template| Member::Template(name(template)));
        let need = |word: &str| {
            let (on, condition) = word.split_once('=').unwrap();
            let condition = serde_json::from_value(serde_json::json!(condition)).unwrap();
            (name(on), condition)
        };
        (member, needs.split_whitespace().map(need).collect())
    };
    lines.iter().map(part).collect()
}

fn graph(lines: &[&str]) -> Result<Graph, GraphError> {
    let parts = parts(lines);
    Graph::new(parts.iter().map(|(member, needs)| (member.clone(), needs)))
}

fn words(names: impl IntoIterator<Item = impl ToString>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_condition_holds_when_the_service_has_come_so_far() {
    use Condition::{Exited, Ready, Started};
    use Verdict::{Met, NeverByItself as Never, NotYet};
    for (progress, started, ready, exited) in [
        (Progress::Waiting, NotYet, NotYet, NotYet),
        (Progress::Started, Met, NotYet, NotYet),
        (Progress::Ready, Met, Met, NotYet),
        (Progress::Done, Met, Never, Met),
        (Progress::Restarting, NotYet, NotYet, NotYet),
        (Progress::Stopped, Never, Never, Never),
        (Progress::Failed, Never, Never, Never),
    ] {
        let said = [Started, Ready, Exited].map(|condition| progress.verdict(condition));
        assert_eq!(said, [started, ready, exited], "{progress:?}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (lines, said) in [
        (&["web: api=ready"][..], "there is no service \"api\""),
        (&["@claude: web=ready"], "there is no service \"web\""),
        (&["@api:", "web: api=ready"], "there is no service \"api\""),
        (&["web: web=ready"], "service \"web\" depends on itself"),
        (&["aa: bb=ready", "bb: aa=exited"], "these wait for each other: aa -> bb -> aa"),
        // What only leads into the round is not part of it.
        (
            &["@cc: aa=ready", "aa: bb=ready", "bb: cc=ready", "cc: dd=started", "dd: bb=ready", "ee:"],
            "these wait for each other: bb -> cc -> dd -> bb",
        ),
    ] {
        assert_eq!(graph(lines).unwrap_err().to_string(), said);
    }
    // A service and a template may have one name.
    assert!(graph(&["@web: web=ready", "web:"]).is_ok());
}

#[test]
fn one_wave_after_the_other_starts_and_the_other_way_round_stops() {
    let graph =
        graph(&["@claude: web=ready", "web: api=ready log=started", "api: db=exited", "db:", "log:", "idle:"]).unwrap();
    let waves: Vec<String> = graph.waves().iter().map(words).collect();
    assert_eq!(waves, ["db idle log", "api", "web"]);
    assert_eq!(words(graph.before(&Member::Template(name("claude")))), "api db log web");
    assert_eq!(words(graph.before(&service("db"))), "");

    let all: BTreeSet<Name> = graph.waves().iter().flatten().cloned().collect();
    let mut alive = all.clone();
    let mut stopped = Vec::new();
    while !alive.is_empty() {
        let now: Vec<Name> = graph.stoppable(&all, |name| alive.contains(name)).into_iter().cloned().collect();
        assert!(!now.is_empty(), "{alive:?} would run for ever");
        stopped.push(words(&now));
        for name in &now {
            assert!(alive.remove(name));
        }
    }
    assert_eq!(stopped, ["idle web", "api log", "db"]);
    // Only what is to stop too is waited for.
    let only = BTreeSet::from([name("db")]);
    assert_eq!(words(graph.stoppable(&only, |_| true)), "db");
}

#[test]
fn who_waits_says_for_what() {
    use Progress::{Done, Failed, Ready, Restarting, Started, Stopped, Waiting};
    let graph = graph(&["web: api=ready db=exited", "api:", "db:"]).unwrap();
    let waits = |api, db| {
        let progress = |on: &Name| if on.as_str() == "api" { api } else { db };
        sentence(&graph.waits(&service("web"), progress)).unwrap_or_default()
    };
    for (api, db, said) in [
        (Ready, Done, ""),
        (Waiting, Done, "api to be ready, which has not been started yet"),
        (Started, Started, "api to be ready, which runs; and for db to end with success, which runs"),
        (Stopped, Done, "api to be ready, which was stopped; `podbay service start api` starts it"),
        (Ready, Failed, "db to end with success, which failed; `podbay service start db` starts it"),
        (Restarting, Done, "api to be ready, which ended and is started again"),
        (Done, Done, "api to be ready, which has ended; `podbay service start api` starts it"),
    ] {
        assert_eq!(waits(api, db), said);
    }
}

/// Any graph, cycles and all: up to nine services, each waiting for some of the others.
fn any_graph() -> impl Strategy<Value = Vec<(Member, Needs)>> {
    let condition = prop_oneof![Just(Condition::Started), Just(Condition::Ready), Just(Condition::Exited)];
    let needs = proptest::collection::btree_map(0..9_usize, condition, 0..3);
    proptest::collection::vec(needs, 1..9).prop_map(|all| {
        let count = all.len();
        let named = |index: usize| name(&format!("s{index}"));
        let own = |index: usize, needs: BTreeMap<usize, Condition>| {
            needs.into_iter().filter(|(on, _)| *on < count && *on != index).map(|(on, c)| (named(on), c)).collect()
        };
        all.into_iter().enumerate().map(|(index, needs)| (Member::Service(named(index)), own(index, needs))).collect()
    })
}

proptest! {
    /// Either the cycle that is named is one, or everything starts, each after what it waits for, and stops again.
    #[test]
    fn every_graph_starts_and_stops_or_names_its_cycle(parts in any_graph()) {
        match Graph::new(parts.iter().map(|(member, needs)| (member.clone(), needs))) {
            Err(GraphError::Cycle { round }) => {
                prop_assert!(round.len() >= 3 && round.first() == round.last(), "{round:?}");
                for pair in round.windows(2) {
                    let needs = &parts.iter().find(|(member, _)| *member == Member::Service(pair[0].clone())).unwrap().1;
                    prop_assert!(needs.contains_key(&pair[1]), "{round:?}");
                }
                let inner: BTreeSet<&Name> = round[1..].iter().collect();
                prop_assert_eq!(inner.len(), round.len() - 1, "a name twice: {:?}", round);
            }
            Err(other) => prop_assert!(false, "{other}"),
            Ok(graph) => starts_and_stops(&graph, &parts)?,
        }
    }
}

fn starts_and_stops(graph: &Graph, parts: &[(Member, Needs)]) -> Result<(), TestCaseError> {
    // What somebody waits for to end, ends; all else becomes ready.
    let ends = |name: &Name| parts.iter().any(|(_, needs)| needs.get(name) == Some(&Condition::Exited));
    let asked = |name: &Name| parts.iter().any(|(_, needs)| needs.get(name) == Some(&Condition::Ready));
    if parts.iter().any(|(m, _)| matches!(m, Member::Service(name) if ends(name) && asked(name))) {
        return Ok(());
    }
    let mut progress: BTreeMap<Name, Progress> =
        graph.waves().iter().flatten().map(|name| (name.clone(), Progress::Waiting)).collect();
    prop_assert_eq!(progress.len(), parts.len(), "in one wave each");
    for wave in graph.waves() {
        // As the supervisor does it: in this order, each that waits for nothing.
        for name in wave {
            let waits = graph.waits(&Member::Service(name.clone()), |on| progress[on]);
            prop_assert!(waits.is_empty(), "{name} would wait for what comes later: {waits:?}");
        }
        for name in wave {
            let member = Member::Service(name.clone());
            let waits = graph.waits(&member, |_| Progress::Waiting);
            prop_assert_eq!(waits.len(), graph.needs(&member).count(), "{} waits for all that it needs", name);
            progress.insert(name.clone(), if ends(name) { Progress::Done } else { Progress::Ready });
        }
    }
    let all: BTreeSet<Name> = progress.keys().cloned().collect();
    let mut alive = all.clone();
    while !alive.is_empty() {
        let now: Vec<Name> = graph.stoppable(&all, |name| alive.contains(name)).into_iter().cloned().collect();
        prop_assert!(!now.is_empty(), "{alive:?} never stop");
        for name in now {
            prop_assert!(!alive.iter().any(|other| graph.before(&Member::Service(other.clone())).contains(&name)));
            alive.remove(&name);
        }
    }
    Ok(())
}
