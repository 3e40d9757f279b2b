//! `schemathesis` against `/openapi.json` on a running supervisor: no 500, and nothing that is not described.

use std::process::Command;

use super::open::Open;

/// Where `.ci/run` has put it.
const PROGRAM: &str = "PODBAY_SCHEMATHESIS";

#[test]
fn schemathesis_finds_no_500_and_no_schema_violation() {
    let test = "schemathesis_finds_no_500_and_no_schema_violation";
    let Some(program) = std::env::var_os(PROGRAM).filter(|path| !path.is_empty()) else {
        return crate::bay::skip(test, &format!("{PROGRAM} does not name a schemathesis"));
    };
    let open = Open::with("", "[[template]]\nname = \"web\"\ncommand = [\"sh\"]\npool = { target = 1 }\n");
    open.den.spawn("fox");
    let file = open.den.path("openapi.json");
    std::fs::write(&file, open.get("/openapi.json").body).unwrap();
    let config = open.den.path("schemathesis.toml");
    // The token comes by a file: nobody finds it in the process list.
    std::fs::write(&config, format!("headers = {{ Authorization = \"Bearer {}\" }}\n", open.token())).unwrap();
    let mut run = Command::new(program);
    run.arg("--config-file").arg(&config).arg("run").arg(&file);
    run.args(["--url", &format!("http://127.0.0.1:{}", open.port)]);
    // Streams do not end, `down` ends what is looked at, and a token would not fit any more.
    run.args(["--exclude-path-regex", "/(logs|terminal|events|down|token)$"]);
    run.args([
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
    ]);
    run.args(["--max-examples", "8", "--phases", "examples,coverage,fuzzing", "--seed", "1"]);
    run.args(["--request-timeout", "20", "--suppress-health-check", "all", "--no-color", "--max-failures", "10"]);
    let output = run.current_dir(open.den.path("h")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let tail: String =
        said.lines().rev().take(120).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n");
    assert!(output.status.success(), "{tail}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(open.get("/api/status").status, 200, "and it goes on");
}
