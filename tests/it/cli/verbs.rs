//! Verbs: exit codes, JSON, names, and what reaches stdout and stderr.

use podbay::api::types::{ContainerRow, Finding, HistoryLine, LogEntry, SpawnReply, StatsRow, Status, Why};
use serde_json::{Value, json};

use super::fake::{House, exists, is_plain};
use super::pty::Pty;

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_shapes_of_the_wire() {
    let house = House::open();
    let rows: Vec<ContainerRow> = serde_json::from_value(house.run(&["ls", "--json"]).await.json()).unwrap();
    assert_eq!(rows.len(), 4);
    let _: Status = serde_json::from_value(house.run(&["--json", "status"]).await.json()).unwrap();
    let _: Vec<StatsRow> = serde_json::from_value(house.run(&["stats", "--json"]).await.json()).unwrap();
    let _: Why = serde_json::from_value(house.run(&["why", "fox", "--json"]).await.json()).unwrap();
    let _: SpawnReply = serde_json::from_value(house.run(&["spawn", "--json"]).await.json()).unwrap();
    let _: Vec<Finding> = serde_json::from_value(house.run(&["doctor", "--json"]).await.json()).unwrap();
    let counts = house.run(&["count", "--json"]).await.json();
    assert_eq!(counts, json!({"running": 1, "exited": 1, "cut-off": 1}));
    let done = house.run(&["up", "--json"]).await.json();
    assert_eq!(done["text"], "done");
    let stopped = house.run(&["stop", "fox", "--json"]).await.json();
    assert_eq!(stopped, json!([{"name": "fox", "text": "done", "notes": ["a note"]}]));
    let lines = house.run(&["logs", "fox", "--json"]).await;
    let entries: Vec<LogEntry> = lines.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries.len(), 3);
    let lines = house.run(&["events", "--json"]).await;
    let history: Vec<HistoryLine> = lines.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(history.len(), 2);
    let config = house.run(&["config", "show", "--json"]).await.json();
    assert_eq!(config["bay"]["name"], "podbay");
    for part in ["engine", "parent", "worker", "git", "api", "ui"] {
        assert!(config[part].as_object().is_some_and(|table| !table.is_empty()), "{part}: {config}");
    }
    assert_eq!(house.run(&["config", "path", "--json"]).await.json(), json!({"path": null}));
}

#[tokio::test(flavor = "multi_thread")]
async fn json_goes_by_variable_too_and_flags_win() {
    let house = House::open();
    let rows = house.run_with(&["ls"], &[("PODBAY_JSON", "1")], "").await.json();
    assert_eq!(rows.as_array().map(Vec::len), Some(4));
    let table = house.run_with(&["ls"], &[("PODBAY_JSON", "")], "").await;
    assert!(table.out.starts_with("NAME"), "{table:?}");
    let other = house.run_with(&["--bay", "other", "down"], &[("PODBAY_BAY", "podbay")], "").await;
    assert!(other.code == 3 && other.err.contains("bay other"), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_tell_what_failed() {
    let house = House::open();
    let table: [(&[&str], i32, &str); 17] = [
        (&["ls"], 0, ""),
        (&["why", "nobody"], 5, "no such name: \"nobody\""),
        (&["stop", "nobody"], 5, "no such name"),
        (&["stop", "fo"], 5, "ambiguous: fox, foxglove"),
        (&["attach", "x*"], 2, "needs a terminal"),
        (&["logs", "foxx"], 5, "did you mean \"fox\"?"),
        (&["stop", "owl"], 4, "the engine does not answer"),
        (&["spawn", "taken"], 1, "fox is there already"),
        (&["spawn", "--image", "bad"], 2, "no such image"),
        (&["spawn", "parent"], 2, "keeps for itself"),
        (&["spawn", "--memory", "much"], 2, "is not a size"),
        (&["spawn", "-p", "/no/such/dir"], 2, "/no/such/dir"),
        (&["stop"], 2, "<NAME>"),
        (&["frobnicate"], 2, "unrecognized subcommand"),
        (&["logs", "fox", "--since", "yesterday"], 2, "neither a time nor a duration"),
        (&["logs", "fox", "--grep", "("], 2, "regex"),
        (&[], 2, "needs a terminal"),
    ];
    for (args, code, words) in table {
        let ran = house.run(args).await;
        assert_eq!(ran.code, code, "podbay {args:?}: {ran:?}");
        assert!(ran.err.contains(words), "podbay {args:?}: {ran:?}");
        assert!(code == 0 || ran.out.is_empty(), "podbay {args:?}: {ran:?}");
    }
    let hinted = house.run(&["stop", "owl"]).await;
    assert!(hinted.err.contains("hint: a hint"), "{hinted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_is_exit_code_2_and_completions_do_not_mind() {
    let house = House::open();
    std::fs::write(house.dir.path().join("podbay.toml"), "[bay]\nnmae = \"x\"\n").unwrap();
    for verb in ["spawn", "up", "serve", "config"] {
        let args = if verb == "config" { vec!["config", "check"] } else { vec![verb] };
        let ran = house.run(&args).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.contains("podbay.toml") && ran.err.contains("nmae"), "{ran:?}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let ran = house.run(&["completions", shell]).await;
        assert!(ran.code == 0 && ran.out.contains("podbay"), "{ran:?}");
    }
    // Only so that whoever looks at the bay sees it, too.
    assert_eq!(house.seen.all(), ["POST /api/reload null"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_mean_names_prefixes_ids_and_globs() {
    let house = House::open();
    let table: [(&[&str], &[&str]); 5] = [
        (&["start", "foxg", "a11"], &["foxglove", "fox"]),
        (&["start", "f*"], &["fox", "foxglove"]),
        (&["restart", "parent"], &["parent"]),
        (&["stop", "--all"], &["fox", "owl"]),
        (&["refresh", "fox", "a111", "fo[x]", "fox"], &["fox"]),
    ];
    for (args, names) in table {
        let before = house.seen.all().len();
        house.run(args).await;
        let verb = args[0];
        let asked: Vec<String> = names.iter().map(|name| format!("POST /api/containers/{name}/{verb} null")).collect();
        let mut got = house.seen.all().split_off(before);
        got.sort();
        let mut asked = asked;
        asked.sort();
        assert_eq!(got, asked, "podbay {args:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_word_stops_everything_and_one_failure_does_not() {
    let house = House::open();
    let ran = house.run(&["stop", "fox", "nobody"]).await;
    assert_eq!((ran.code, house.seen.all().len()), (5, 0), "{ran:?}");
    let ran = house.run(&["stop", "owl", "fox"]).await;
    assert_eq!((ran.code, house.seen.all().len()), (4, 2), "{ran:?}");
    assert_eq!(ran.out, "fox: done\n");
    assert!(ran.err.contains("owl: the engine does not answer"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_destroys_is_not_done_by_accident() {
    let house = House::open();
    let ran = house.run(&["rm", "fox"]).await;
    assert!(ran.code == 1 && ran.err.contains("still running, nothing removed: fox"), "{ran:?}");
    let ran = house.run(&["rm", "--all", "-f"]).await;
    assert!(ran.code == 2 && ran.err.contains("nobody can be asked"), "{ran:?}");
    let ran = house.run(&["init", "--clean"]).await;
    assert!(ran.code == 1 && ran.err.contains("runs and uses them"), "{ran:?}");
    assert!(house.seen.all().is_empty());
    assert_eq!(house.run(&["rm", "foxglove"]).await.code, 0);
    assert_eq!(house.run(&["rm", "-f", "fox"]).await.code, 0);
    assert_eq!(house.seen.all(), ["DELETE /api/containers/foxglove ", "DELETE /api/containers/fox "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_before_a_question_does_not_answer_it() {
    let house = House::open();
    let mut pty = Pty::podbay(&house, &["rm", "--all", "-f"]);
    pty.type_in(b"y\ny\n");
    pty.wait_for("[y/N]");
    pty.type_in(b"n\n");
    assert_eq!(pty.end().exit_code(), 1);
    assert!(String::from_utf8_lossy(&pty.screen).contains("nothing removed"));
    assert!(!house.seen.all().iter().any(|asked| asked.starts_with("DELETE")), "{:?}", house.seen.all());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_from_outside_controls_the_terminal() {
    let house = House::open();
    let verbs: [&[&str]; 6] =
        [&["ls"], &["status"], &["events"], &["logs", "fox"], &["logs", "-t", "fox"], &["why", "fox"]];
    for args in verbs {
        let ran = house.run(args).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(!ran.out.is_empty() && is_plain(&ran.out) && is_plain(&ran.err), "podbay {args:?}: {ran:?}");
    }
    assert!(!is_plain(&house.run(&["logs", "--raw", "fox"]).await.out));
    let evil = house.run(&["stop", "\u{1b}]0;x\u{7}\u{202e}"]).await;
    assert!(evil.code == 5 && is_plain(&evil.err), "{evil:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_filtered_and_a_cut_log_is_a_failure() {
    let house = House::open();
    let ran = house.run(&["logs", "fox"]).await;
    assert!(ran.out.starts_with("one \ntwo\nthree "), "{ran:?}");
    let ran = house.run(&["logs", "fox", "--grep", "^t", "-t", "-n", "5"]).await;
    assert!(ran.out.starts_with("- two\n1970-01-01T00:00:03.500Z three "), "{ran:?}");
    assert_eq!(house.seen.all().last().unwrap(), "logs /api/containers/fox/logs?follow=false&tail=5");
    let ran = house.run(&["logs", "owl"]).await;
    assert!(ran.code == 1 && ran.out.contains("two") && ran.err.contains("broke off"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn send_types_and_presses_enter() {
    let house = House::open();
    let sent = |text: &str, enter: bool| json!({"text": text, "enter": enter});
    let table: [(&[&str], &str, Value); 5] = [
        (&["send", "fox", "hello", "world"], "fox", sent("hello world", true)),
        (&["send", "fox", "--no-enter", "x"], "fox", sent("x", false)),
        (&["send", "-n", "fox", "x"], "fox", sent("x", false)),
        (&["send", "--all", "x"], "fox", sent("x", true)),
        (&["send", "fox", "-"], "fox", sent("from stdin", true)),
    ];
    for (args, name, body) in table {
        let ran = house.run_with(args, &[], "from stdin\n").await;
        assert_eq!(ran.code, 0, "podbay {args:?}: {ran:?}");
        let asked = house.seen.all().pop().unwrap();
        let sent = asked.strip_prefix(&format!("POST /api/containers/{name}/send ")).unwrap_or("null");
        assert_eq!(serde_json::from_str::<Value>(sent).unwrap(), body, "podbay {args:?}: {asked}");
    }
    assert_eq!(house.run(&["send", "fox"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn spawn_asks_for_what_the_flags_say() {
    let house = House::open();
    std::fs::create_dir(house.dir.path().join("src")).unwrap();
    let args = "spawn elk -t claude -p src --image my/image --memory 2g --cpus 1.5 --pids 50 --env A=1 --network bridge \
                --port 80 --port 81 --rm -- sleep 5";
    let ran = house.run(&args.split_whitespace().collect::<Vec<_>>()).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "elk\n"), "{ran:?}");
    assert!(ran.err.contains("~/.gitconfig is missing") && ran.err.contains("not a terminal"), "{ran:?}");
    let asked = house.seen.all().pop().unwrap();
    let body: Value = serde_json::from_str(asked.strip_prefix("spawn ").unwrap()).unwrap();
    let src = house.dir.path().canonicalize().unwrap().join("src");
    assert_eq!(
        body,
        json!({"name": "elk", "template": "claude", "project": src, "image": "my/image", "memory": "2g", "cpus": 1.5,
               "pids": 50, "env": {"A": "1"}, "network": "bridge", "ports": [80, 81], "rm": true,
               "command": ["sleep", "5"]})
    );
    let ran = house.run(&["spawn", "-d"]).await;
    assert!(!ran.err.contains("not a terminal"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_keeps_streams_apart_and_passes_the_exit_code() {
    let house = House::open();
    let input = "line\n".repeat(50_000);
    let ran = house.run_with(&["exec", "fox", "--", "cat", "-u"], &[], &input).await;
    assert_eq!((ran.code, ran.err.as_str()), (3, "to stderr\n"));
    assert!(ran.out == input, "{} bytes came back of {}", ran.out.len(), input.len());
    assert_eq!(house.seen.all(), [r#"exec {"command":["cat","-u"],"tty":null}"#]);
    assert_eq!(house.run(&["exec", "nobody", "true"]).await.code, 5);
    assert_eq!(house.run(&["exec", "fox"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_ends_quietly() {
    let house = House::open();
    for verb in ["ls", "status", "logs fox", "events", "completions bash", "--help"] {
        let script = format!("{} {verb} | true; echo ${{PIPESTATUS[0]}}", env!("CARGO_BIN_EXE_podbay"));
        let mut bash = tokio::process::Command::new("bash");
        bash.args(["-c", &script]).env_clear().envs(house.vars()).current_dir(house.dir.path());
        let output = tokio::time::timeout(super::fake::LONG, bash.output()).await.unwrap().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!((text.trim(), output.stderr.len()), ("0", 0), "{verb}: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn init_makes_what_is_missing_and_keeps_what_is_there() {
    let house = House::empty();
    let before = house.run(&["init", "--status"]).await;
    assert!(before.code == 0 && !before.out.contains("yes"), "{before:?}");
    let ran = house.run(&["init"]).await;
    let file = house.dir.path().join("config/podbay/config.toml");
    assert!(ran.code == 0 && ran.err.contains("wrote") && exists(&file), "{ran:?}");
    assert_eq!(house.run(&["config", "check"]).await.code, 0);
    std::fs::write(&file, "[bay]\nname = \"podbay\"\n").unwrap();
    assert_eq!(house.run(&["init"]).await.code, 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "[bay]\nname = \"podbay\"\n");

    let state = house.paths().state;
    std::fs::create_dir_all(state.join("workers/fox/workspace")).unwrap();
    std::fs::create_dir_all(state.join("workers/owl/workspace")).unwrap();
    std::fs::write(state.join("workers/owl/workspace/work"), "precious").unwrap();
    std::os::unix::fs::symlink("owl", state.join("workers/warm-1")).unwrap();
    std::fs::write(state.join("logs/old.log"), "x").unwrap();
    let refused = house.run(&["init", "--clean"]).await;
    assert!(refused.code == 2 && exists(&state.join("logs/old.log")), "{refused:?}");
    let ran = house.run(&["init", "--clean", "-y"]).await;
    assert!(ran.code == 0 && ran.err.contains("owl") && !ran.err.contains("warm-1"), "{ran:?}");
    assert!(!exists(&state.join("logs")) && !exists(&state.join("workers/fox")));
    assert!(exists(&state.join("workers/owl/workspace/work")));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_looks_here_too_and_fails_loudly() {
    let house = House::open();
    let ran = house.run_with(&["doctor"], &[("LANG", "C")], "").await;
    for words in ["docker 20.10", "is not UTF-8", "not inside tmux", "clock"] {
        assert!(ran.out.contains(words), "{words}: {ran:?}");
    }
    let house = House::open();
    std::fs::create_dir_all(house.paths().state.parent().unwrap()).unwrap();
    std::fs::write(house.paths().state, "in the way").unwrap();
    let ran = house.run(&["doctor"]).await;
    assert!(ran.code == 1 && ran.out.contains("it can't be made"), "{ran:?}");
}

/// What is followed waits for the engine as it waits for the supervisor; a log that is only read does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_followed_log_waits_for_the_engine_and_says_so() {
    use axum::routing::get;
    static ASKED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let mut house = House::empty();
    let logs = || async {
        if ASKED.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 3 {
            return super::fake::refuse(axum::http::StatusCode::SERVICE_UNAVAILABLE, "engine-away", "it is away");
        }
        super::fake::sse(format!("data: {}\n\nevent: end\ndata: {{}}\n\n", json!({"line": "two", "timestamp": null})))
    };
    house.serve(
        axum::Router::new()
            .route("/health", get(|| async { axum::Json(json!({})) }))
            .route("/api/services", get(|| async { axum::Json(json!([])) }))
            .route("/api/containers", get(|| async { axum::Json(super::fake::rows()) }))
            .route("/api/containers/{id}/logs", get(logs)),
    );
    let ran = house.run(&["logs", "fox"]).await;
    assert!(ran.code == 4 && ran.err.contains("it is away"), "{ran:?}");
    let ran = house.run(&["logs", "-f", "fox"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "two\n"), "{ran:?}");
    assert_eq!(ran.err.matches("the engine is away; the log goes on when it is back").count(), 1, "{ran:?}");
    assert!(ran.err.contains("the engine is back"), "{ran:?}");
}
