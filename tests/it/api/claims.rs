//! Two who want the same thing: one has it, the others are told so with 409, and nothing of theirs is left.

use serde_json::{Value, json};

use super::open::{Open, free_port};
use super::receiving::Receiving;
use super::setup;
use super::wire::Answer;
use crate::bay::den::{Conf, Den};
use crate::bay::until;

/// A bay with so many warm workers.
fn pooled(count: usize) -> Open {
    let port = free_port();
    let rest = format!(
        "[api]\nlisten = \"127.0.0.1:{port}\"\n[[template]]\nname = \"web\"\ncommand = [\"sh\"]\nwarm = \"running\"\n\
         pool = {{ target = {count}, min = 1 }}"
    );
    let open = Open::on(Den::fake_with(Conf { rest: &rest, ..Conf::default() }), port);
    open.den.ok(&["up"]);
    warm(&open, count);
    open
}

fn warm(open: &Open, count: usize) -> Value {
    until(&format!("{count} are warm"), || match open.get("/api/pool").json() {
        pool if pool[0]["warm"] == count && pool[0]["creating"] == 0 => Ok(pool[0].clone()),
        pool => Err(pool.to_string()),
    })
}

fn claim(open: &Open, name: &str) -> Answer {
    open.request("POST", "/api/containers").json(&json!({"name": name, "pool": true})).send()
}

/// Status, code and words of a refusal.
fn refused(answer: &Answer) -> (u16, String, String) {
    (answer.status, answer.code(), answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn of_many_claims_of_one_name_one_is_served() {
    let open = pooled(3);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8).map(|_| scope.spawn(|| claim(&open, "yak"))).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let (served, others): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 200);
    let [served] = served.as_slice() else { panic!("{answers:?}") };
    assert_eq!(served.json()["claimed"], json!(true), "{served:?}");
    let told = (409, "name-taken".to_owned(), "there is a worker \"yak\" already".to_owned());
    for other in &others {
        assert_eq!(refused(other), told);
    }
    let pool = warm(&open, 3);
    assert_eq!((&pool["claimed"], &pool["hits"], &pool["misses"]), (&json!(1), &json!(1), &json!(0)), "{pool}");
    let workers = open.den.rows().into_iter().filter(|row| row.role.as_str() == "worker");
    assert_eq!(workers.filter(|row| row.state.as_str() != "warm").map(|row| row.name).collect::<Vec<_>>(), ["yak"]);
}

#[test]
fn what_was_claimed_is_its_claimers() {
    let open = pooled(1);
    let warm_one = open.den.rows().into_iter().find(|row| row.state.as_str() == "warm").unwrap();
    let command = json!({"command": "true"});
    let run = |word: &str| open.request("POST", &format!("/api/containers/{word}/exec")).json(&command).send();
    for word in [&warm_one.name, &warm_one.id] {
        let (status, code, why) = refused(&run(word));
        assert_eq!((status, code.as_str(), why.as_str()), (409, "refused", "it waits in the pool for a claim"));
    }
    let made = claim(&open, "yak").json();
    assert_eq!((&made["claimed"], &made["id"]), (&json!(true), &json!(warm_one.id)), "{made}");
    // By its old name it is nobody any more; by its id it is who claimed it.
    assert_eq!(run(&warm_one.name).status, 404);
    assert_eq!(open.request("DELETE", &format!("/api/containers/{}", warm_one.name)).send().status, 404);
    assert_eq!(open.get(&format!("/api/containers/{}", warm_one.id)).json()["name"], json!("yak"));
    assert_eq!(run(&warm_one.id).status, 200);
    assert_eq!(refused(&claim(&open, "yak")).0, 409);
    let other = claim(&open, "owl").json();
    assert!(other["id"].is_string() && other["id"] != made["id"], "{other}");
}

#[test]
fn a_worker_that_is_being_set_up_is_not_set_up_twice() {
    let (open, receiving) = (setup::open("sleep 600"), Receiving::start(vec![]));
    let body = setup::body(&open, &receiving);
    let begin = || open.request("POST", "/api/containers/fox/setup").json(&body).send();
    assert_eq!(begin().status, 202);
    while receiving.next().2["status"] != "installing" {}
    assert_eq!(refused(&begin()), (409, "busy".to_owned(), "a setup of it goes on".to_owned()));
    assert!(receiving.came.try_recv().is_err(), "nobody is told of the second one");
}
