//! The configuration: broken files with their exact messages, and where a file is found.

use std::fs;
use std::path::{Path, PathBuf};

use podbay::config::Config;
use podbay::config::env::Env;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/config")
}

/// Every `NAME.toml` is refused with the text of `NAME.err`. `BLESS=1` writes the texts, to be read before they are kept.
#[test]
fn every_broken_file_gets_its_message() {
    let mut files: Vec<PathBuf> = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
    files.sort();
    assert!(files.len() >= 60, "{} fixtures", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let env = Env { cwd: fixtures(), home: "/home/ann".into(), ..Env::default() };
        let said = match Config::load(Some(Path::new(name)), &env) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        };
        let expected_at = file.with_extension("err");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected_at, format!("{said}\n")).unwrap();
        }
        let expected = fs::read_to_string(&expected_at).unwrap_or_default();
        if expected.trim_end() != said {
            wrong.push(format!("expected: {}\n    said: {said}", expected.trim_end()));
        }
        assert!(!said.contains('\n') && !said.chars().any(char::is_control), "more than one line: {said:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
