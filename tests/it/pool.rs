//! The pool's rules: tables and random sequences.

use std::time::Duration;

use podbay::bay::container::ImageRef;
use podbay::bay::pool::{Census, Leave, Orders, Tally, fits, orders};
use podbay::bay::template::{Overrides, PoolSpec, Template};
use podbay::config::Config;
use proptest::prelude::*;

fn spec(target: u32, min: u32, max_creating: u32) -> PoolSpec {
    let text = format!(
        "[[template]]\nname = \"pooled\"\npool = {{ target = {target}, min = {min}, max_creating = {max_creating} }}"
    );
    template(&text).pool.unwrap()
}

fn template(text: &str) -> Template {
    Config::parse("podbay.toml", text).unwrap().templates.remove(0)
}

#[test]
fn a_pool_fills_by_so_many_at_once_and_no_more() {
    let spec = spec(5, 1, 2);
    let make = |census, leave| orders(&spec, census, leave).make;
    assert_eq!(make(Census::default(), Leave::All), 2);
    assert_eq!(make(Census { probing: 1, creating: 1, ..Census::default() }, Leave::All), 0);
    assert_eq!(make(Census { warm: 4, ..Census::default() }, Leave::All), 1);
    assert_eq!(make(Census { warm: 5, ..Census::default() }, Leave::All), 0);
    assert_eq!(make(Census::default(), Leave::Urgent), 1);
    assert_eq!(make(Census { warm: 1, ..Census::default() }, Leave::Urgent), 0, "people come first");
    assert_eq!((make(Census::default(), Leave::One), make(Census::default(), Leave::Nothing)), (1, 0));
    let smaller = orders(&spec, Census { warm: 8, probing: 1, ..Census::default() }, Leave::All);
    assert_eq!(smaller, Orders { make: 0, let_go: 4, replace: false });
}

#[test]
fn stale_ones_go_one_by_one() {
    let spec = spec(3, 1, 2);
    let step = |census| orders(&spec, census, Leave::All);
    assert!(step(Census { stale: 3, ..Census::default() }).replace);
    let gone = Census { stale: 2, draining: 1, ..Census::default() };
    assert_eq!(step(gone), Orders::default());
    assert_eq!(step(Census { stale: 2, ..Census::default() }).make, 1);
    assert_eq!(step(Census { stale: 2, probing: 1, ..Census::default() }), Orders::default());
    assert!(step(Census { stale: 2, warm: 1, ..Census::default() }).replace);
}

proptest! {
    #[test]
    fn p05_p09_a_pool_keeps_its_limits_and_comes_to_rest(
        (target, max_creating) in (0..12_u32, 1..5_u32),
        start in (0..14_u32, 0..6_u32),
        moves in prop::collection::vec((0..7_u8, any::<bool>()), 0..60),
    ) {
        let spec = spec(target, target / 2, max_creating);
        let mut census = Census { warm: start.0, stale: start.1, ..Census::default() };
        let first = census.total();
        let turn = |census: &mut Census, leave| {
            let orders = orders(&spec, *census, leave);
            prop_assert!(orders.make == 0 || census.total() + orders.make <= target);
            prop_assert!(orders.make == 0 || census.coming() + orders.make <= max_creating);
            prop_assert!(orders.let_go <= census.warm);
            census.creating += orders.make;
            census.warm -= orders.let_go;
            census.stale -= u32::from(orders.replace);
            census.draining += orders.let_go + u32::from(orders.replace);
            prop_assert!(census.total() <= target.max(first));
            Ok(orders != Orders::default())
        };
        let settle = |census: &mut Census, what: u8| match what {
            0 if census.creating > 0 => { census.creating -= 1; census.probing += 1; }
            1 if census.probing > 0 => { census.probing -= 1; census.warm += 1; }
            2 => census.draining = census.draining.saturating_sub(1),
            // Claimed, dead, stale.
            3 => census.warm = census.warm.saturating_sub(1),
            4 => census.probing = census.probing.saturating_sub(1),
            5 if census.warm > 0 => { census.warm -= 1; census.stale += 1; }
            _ => {}
        };
        for (what, busy) in moves {
            settle(&mut census, what);
            turn(&mut census, if busy { Leave::Urgent } else { Leave::All })?;
        }
        // Left alone it fills, replaces what is stale and then does nothing more.
        for _ in 0..300 {
            for what in [0, 1, 2] {
                settle(&mut census, what);
            }
            turn(&mut census, Leave::All)?;
        }
        prop_assert_eq!(census, Census { warm: target, ..Census::default() });
        prop_assert!(!turn(&mut census, Leave::All)?, "it never rests");
    }
}

#[test]
fn a_claim_fits_only_what_was_made_the_same_way() {
    let plain = template("[[template]]\nname = \"plain\"\ncommand = [\"sh\"]");
    let bound = template("[[template]]\nname = \"bound\"\nproject = \"/srv/app/\"");
    let agent = template("[[template]]\nname = \"agent\"\nwarm = \"running\"");
    let asked = |change: fn(&mut Overrides)| {
        let mut asked = Overrides::default();
        change(&mut asked);
        asked
    };
    let some_env = asked(|asked| drop(asked.env.insert("A".to_owned(), "1".to_owned())));
    let app = asked(|asked| asked.project = Some("/srv/app".into()));
    let repo = asked(|asked| asked.repo = Some("https://x/y".to_owned()));
    let command = asked(|asked| asked.command = vec!["ls".to_owned()]);
    let why = |template: &Template, asked: &Overrides| fits(template, asked).err().map(|miss| miss.to_string());
    for fitting in [&Overrides::default(), &some_env, &repo, &command, &asked(|asked| asked.rm = true)] {
        assert_eq!(why(&plain, fitting), None, "{fitting:?}");
    }
    assert_eq!(why(&bound, &app), None);
    assert_eq!(why(&plain, &app).as_deref(), Some("template names no project"));
    assert_eq!(why(&bound, &repo).as_deref(), Some("template names another project"));
    let image = asked(|asked| asked.image = Some(ImageRef::Named("x".to_owned())));
    assert_eq!(why(&plain, &image).as_deref(), Some("it asks for another image than the template's"));
    for other in [
        asked(|asked| asked.cpus = Some(1.5)),
        asked(|asked| asked.network = Some(podbay::bay::template::NetworkMode::None)),
        asked(|asked| drop(asked.env.insert("UID".to_owned(), String::new()))),
    ] {
        assert!(why(&plain, &other).is_some(), "{other:?}");
    }
    assert_eq!(why(&agent, &Overrides::default()), None);
    let text = why(&agent, &some_env).unwrap();
    assert_eq!(text, "it asks for more environment, and the warm worker's program runs already");
    assert!(why(&agent, &command).is_some());
}

#[test]
fn a_miss_tells_how_fast_claims_came() {
    let mut tally = Tally::default();
    for at in [0, 70, 71, 72] {
        tally.asked(Duration::from_secs(at));
    }
    assert_eq!(tally.empty(Duration::from_secs(72)).to_string(), "pool empty: 3 claims in 2 s");
    assert_eq!(tally.percentile(50), None);
    for millis in 1..=100 {
        tally.first_output(Duration::from_millis(millis));
    }
    assert_eq!((tally.percentile(50), tally.percentile(95)), (Some(50.0), Some(95.0)));
}
