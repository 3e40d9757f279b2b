//! The README says what the tables say: keys from the actions, verbs from the arguments. `BLESS=1` writes it anew.

mod picture;
mod svg;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use podbay::tui::action::{ActionSpec, Context, TABLE};

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

/// Words in a cell of a Markdown table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

fn keys() -> String {
    let mut table = String::from("| keys | what they do | where | name |\n|---|---|---|---|\n");
    for spec in TABLE {
        let keys: Vec<String> = spec.keys.iter().map(|key| code(key)).collect();
        let asks = if spec.dangerous { " (asks first)" } else { "" };
        let text = cell(spec.text);
        writeln!(table, "| {} | {text}{asks} | {} | {} |", keys.join(" "), places(spec), code(spec.name)).unwrap();
    }
    table
}

fn places(spec: &ActionSpec) -> String {
    let titles: Vec<&str> = spec.contexts.iter().copied().map(Context::title).collect();
    titles.join(", ")
}

fn verbs() -> String {
    let mut command = podbay::cli::command();
    command.build();
    let mut table = String::from("| verb | what it does | flags |\n|---|---|---|\n");
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        rows(verb, "", &mut table);
    }
    let shared: Vec<String> = command.get_arguments().filter(|arg| arg.is_global_set()).map(flag).collect();
    format!("Every verb takes {}.\n\n{table}", shared.join(", "))
}

fn rows(verb: &Command, above: &str, table: &mut String) {
    let name = format!("{above}{}", verb.get_name());
    let below: Vec<&Command> = verb.get_subcommands().filter(|verb| verb.get_name() != "help").collect();
    for verb in &below {
        rows(verb, &format!("{name} "), table);
    }
    if !below.is_empty() {
        return;
    }
    let operands: String = verb.get_positionals().map(operand).collect();
    let flags = verb.get_opts().chain(verb.get_arguments().filter(|arg| is_switch(arg)));
    let own: Vec<String> = flags.filter(|arg| !arg.is_global_set() && !arg.is_hide_set()).map(flag).collect();
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    writeln!(table, "| {} | {} | {} |", code(&format!("{name}{operands}")), cell(&about), own.join(" ")).unwrap();
}

/// A flag without a value, the help's own left out.
fn is_switch(arg: &Arg) -> bool {
    !arg.is_positional() && !arg.get_action().takes_values() && !matches!(arg.get_id().as_str(), "help" | "version")
}

fn operand(arg: &Arg) -> String {
    let many = arg.get_num_args().is_some_and(|count| count.max_values() > 1);
    let names = arg.get_value_names().and_then(|names| names.first());
    let value = names.map_or_else(|| "VALUE".to_owned(), ToString::to_string);
    let value = if many { format!("{value}…") } else { value };
    let value = if arg.is_last_set() { format!("-- {value}") } else { value };
    if arg.is_required_set() { format!(" {value}") } else { format!(" [{value}]") }
}

fn flag(arg: &Arg) -> String {
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let name = [short, long].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let value = arg.get_value_names().and_then(|names| names.first()).filter(|_| arg.get_action().takes_values());
    code(&value.map_or(name.clone(), |value| format!("{name} {value}")))
}

/// Puts a text between its two markers.
fn put(readme: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) =
        (format!("<!-- {name}: made by `BLESS=1 cargo test readme` -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = readme.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{text}\n{end}{after}"))
}

/// The commands of the tour: what stands in blocks of the shell, without comments.
fn commands(readme: &str) -> Vec<Vec<&str>> {
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.split(" #").next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn keys_and_verbs_are_those_of_the_tables() {
    let readme = fs::read_to_string(file()).unwrap();
    let wanted = put(&readme, "keys", &keys()).expect("markers of the keys");
    let wanted = put(&wanted, "verbs", &verbs()).expect("markers of the verbs");
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        fs::write(file(), &wanted).unwrap();
    } else if readme != wanted {
        let (old, new) = readme.lines().zip(wanted.lines()).find(|(old, new)| old != new).unwrap_or_default();
        panic!(
            "README.md is not what the tables say; `BLESS=1 cargo test readme` writes it\n  has  {old}\n  not  {new}"
        );
    }
}

#[test]
fn the_tables_are_found_and_replaced() {
    let readme = "a\n<!-- x: made by `BLESS=1 cargo test readme` -->\nold\n<!-- end of x -->\nb\n";
    let once = put(readme, "x", "new").unwrap();
    assert!(once.contains("\n\nnew\n<!-- end of x -->\nb\n") && !once.contains("old"), "{once}");
    assert_eq!(put(&once, "x", "new"), Some(once.clone()));
    assert_eq!(put(readme, "y", "new"), None);
}

#[test]
fn every_key_and_every_verb_is_in_its_table() {
    let (keys, verbs) = (keys(), verbs());
    assert!(TABLE.iter().all(|spec| keys.contains(&format!("`{}` |", spec.name))), "{keys}");
    for row in ["| `spawn [NAME] [-- CMD…]` |", "| `exec NAME CMD…` |", "`-p --project DIR`", "| `up` |"] {
        assert!(verbs.contains(row), "{row}\n{verbs}");
    }
    assert!(!verbs.contains("--background"), "{verbs}");
}

#[test]
fn the_commands_shown_exist() {
    let readme = fs::read_to_string(file()).unwrap();
    let shown = commands(&readme);
    let podbay: Vec<&Vec<&str>> = shown.iter().filter(|words| words.first() == Some(&"podbay")).collect();
    assert!(podbay.len() > 10, "{shown:?}");
    for words in podbay {
        let words = words.iter().take_while(|word| !matches!(**word, "|" | ">" | "&&" | ";"));
        let parsed = podbay::cli::command().try_get_matches_from(words.clone());
        assert!(parsed.is_ok(), "{:?}: {}", words.collect::<Vec<_>>(), parsed.unwrap_err());
    }
}

#[test]
fn what_the_readme_points_at_is_there() {
    let readme = fs::read_to_string(file()).unwrap();
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let local: Vec<&str> = links.filter(|link| !link.contains("://") && !link.starts_with('#')).collect();
    assert!(local.len() > 1, "{local:?}");
    let gone: Vec<&&str> = local.iter().filter(|link| !file().with_file_name(link).exists()).collect();
    assert!(gone.is_empty(), "{gone:?}");
}
