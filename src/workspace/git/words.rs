//! Git's own words: what it says of its progress, and what its complaints mean.

/// A place in a transfer: `Receiving objects:  42% (42/100)` is `receiving objects 42%`.
pub fn progress(line: &str) -> Option<String> {
    let line = line.trim().trim_start_matches("remote: ");
    let (what, rest) = line.split_once(':')?;
    let percent = rest.trim_start().split_once('%')?.0.parse::<u8>().ok().filter(|percent| *percent <= 100)?;
    let plain = !["fatal", "error", "warning"].contains(&what)
        && !what.is_empty()
        && what.len() < 40
        && what.chars().all(|c| c.is_ascii_alphabetic() || c == ' ');
    plain.then(|| format!("{} {percent}%", what.to_ascii_lowercase()))
}

/// The lines of stderr that say what is wrong, in one.
pub fn complaint(stderr: &str) -> String {
    let lines = stderr.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty() && progress(line).is_none());
    let heads = ["fatal:", "error:", "remote:", "ssh:", "Permission denied", "Host key", "kex_"];
    // Whoever the user is: `ann@host: Permission denied (publickey).`
    let refused = |line: &str| line.contains(": Permission denied (");
    let tells = |line: &&str| refused(line) || heads.iter().any(|head| line.starts_with(head));
    let told: Vec<&str> = lines.clone().filter(tells).collect();
    let told = if told.is_empty() { lines.collect() } else { told };
    let words = told.iter().map(|line| line.trim_start_matches("fatal: ").trim_start_matches("error: "));
    let mut words: Vec<&str> = words.filter(|line| *line != "remote:").collect();
    let surplus = words.len().saturating_sub(4);
    words.drain(..surplus);
    let text = words.join("; ");
    if text.is_empty() { "it gave no reason".to_owned() } else { text.chars().take(600).collect() }
}

/// What a user can do about a complaint.
pub fn hint(complaint: &str, host: &str) -> Option<String> {
    let says = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
    let token =
        format!("[git] tokens = {{ {host:?} = \"NAME\" }} names a file of the secrets directory that holds a token");
    if says(&[
        "could not read Username",
        "could not read Password",
        "unable to get password",
        "terminal prompts disabled",
    ]) {
        return Some(format!(
            "{host} asks who you are, and nobody can be asked here: {token}; a credential helper of git is asked, too"
        ));
    }
    if says(&["Authentication failed", "HTTP Basic: Access denied", "The requested URL returned error: 403"]) {
        return Some(format!("{host} refused the credentials; {token}"));
    }
    if says(&["has changed and you have requested strict checking"]) {
        return Some(format!(
            "{host} shows another key than the one that this machine knows: ask its operator whether that is so before \
             `ssh-keygen -R` forgets the old one"
        ));
    }
    if says(&["Host key verification failed"]) {
        let by_hand = match host.rsplit_once(':') {
            Some((host, port)) => format!("ssh -p {port} {host}"),
            None => format!("ssh {host}"),
        };
        return Some(format!(
            "this machine does not know {host} yet: run `{by_hand}` once by hand, and compare the fingerprint"
        ));
    }
    if says(&["Permission denied (publickey"]) {
        return Some(format!(
            "{host} takes none of the keys: `ssh-add -l` lists those of the agent that podbay was started with"
        ));
    }
    if says(&["not found", "does not exist", "does not appear to be a git repository"]) {
        return Some(
            "check the URL; a repository that you may not see looks the same as one that is not there".to_owned(),
        );
    }
    if says(&["dubious ownership"]) {
        return Some(
            "the repository belongs to another user: `git config --global --add safe.directory PATH` trusts it"
                .to_owned(),
        );
    }
    if says(&[
        "Could not resolve host",
        "Couldn't connect",
        "Connection refused",
        "Connection timed out",
        "Failed to connect",
        "Network is unreachable",
    ]) {
        return Some(format!("{host} can't be reached from here; what is cached stays as it is"));
    }
    says(&["No space left on device"])
        .then(|| "the disk of the state directory is full; `podbay init --clean` removes caches".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_and_nothing_else() {
        for (line, expected) in [
            ("Receiving objects:  42% (42/100), 1.2 MiB | 3 MiB/s", Some("receiving objects 42%")),
            ("remote: Counting objects: 100% (5/5), done.", Some("counting objects 100%")),
            ("Resolving deltas:   0% (0/7)", Some("resolving deltas 0%")),
            ("fatal: 42% of \u{1b}]0;x", None),
            ("remote: \u{1b}[2J: 7% ", None),
            ("Cloning into 'x'...", None),
            ("x: 300%", None),
        ] {
            assert_eq!(progress(line).as_deref(), expected, "{line:?}");
        }
    }

    #[test]
    fn complaints_have_their_hint() {
        let said = complaint("Cloning into 'x'...\nremote: Repository not found.\nfatal: repository 'u' not found\n");
        assert_eq!(said, "remote: Repository not found.; repository 'u' not found");
        for (stderr, word) in [
            ("fatal: could not read Username for 'https://h': terminal prompts disabled", "[git] tokens"),
            ("fatal: Authentication failed for 'https://h/'", "refused the credentials"),
            ("Host key verification failed.\nfatal: Could not read from remote repository.", "ssh h"),
            (
                "@@@@@@@@@@\nHost key for h has changed and you have requested strict checking.\nHost key verification \
                 failed.\nfatal: Could not read from remote repository.",
                "another key",
            ),
            (
                "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.\n\nPlease make sure \
                 you have the correct access rights",
                "ssh-add -l",
            ),
            ("ann@h: Permission denied (publickey).\nfatal: Could not read from remote repository.", "ssh-add -l"),
            ("fatal: unable to access 'https://h/': Could not resolve host: h", "can't be reached"),
            ("fatal: detected dubious ownership in repository at '/x'", "safe.directory"),
            ("fatal: write error: No space left on device", "init --clean"),
        ] {
            let said = hint(&complaint(stderr), "h");
            assert!(said.as_ref().is_some_and(|said| said.contains(word)), "{stderr}: {said:?}");
        }
        let said = hint("Host key verification failed.", "h:2222").unwrap_or_default();
        assert!(said.contains("`ssh -p 2222 h`"), "{said}");
        assert_eq!((complaint(" \n"), hint("something else", "h")), ("it gave no reason".to_owned(), None));
    }
}
