//! Repositories and branches as users name them, read strictly: they become arguments of git and parts of paths.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest URL that is read.
const LONGEST: usize = 1024;
/// Longest name of an owner, a repository or a branch.
const LONGEST_NAME: usize = 100;

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `https://`.
    Https,
    /// `http://`, to this machine only.
    Http,
    /// `ssh://`, or `git@host:owner/repo`.
    Ssh,
    /// `file://`, with an absolute path.
    File,
}

impl Scheme {
    /// What git calls it, also in `GIT_ALLOW_PROTOCOL`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::Ssh => "ssh",
            Self::File => "file",
        }
    }
}

/// A repository's address. Holds no password and nothing that git or a shell could take for an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    url: String,
    scheme: Scheme,
    /// Lower case; empty for files.
    host: String,
    port: Option<u16>,
    /// Of ssh alone.
    user: Option<String>,
    path: String,
    owner: String,
    repo: String,
}

/// Why a text is no repository's address. None of them repeats what may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Not one of the forms.
    #[error(
        "{0:?} is not a repository: write https://HOST/OWNER/REPO, ssh://HOST/OWNER/REPO, USER@HOST:OWNER/REPO or file:///PATH"
    )]
    Shape(String),
    /// Something stands before the host that may be a password.
    #[error(
        "a repository's URL must have no user name or password in it: leave out what stands before the \"@\", and name a token in [git] tokens"
    )]
    Credentials,
    /// A plain connection to another machine.
    #[error("{0:?} is not encrypted: anybody on the way could change what is cloned; write https:// or ssh://")]
    Plain(String),
    /// A part of the path, the host or the user has a form that can't be used safely.
    #[error("{part:?} can't be {what} of a repository")]
    Part {
        /// The part.
        part: String,
        /// What it stands for.
        what: &'static str,
    },
    /// It goes on without an end.
    #[error("a repository's URL has at most {LONGEST} characters")]
    Long,
}

impl Remote {
    /// As git takes it: never with a password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How it is reached.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host, with the port where one is named: the key of `[git] tokens`. Empty for files.
    #[must_use]
    pub fn host(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    /// The part of the path before the repository; the host where there is none.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The last part of the path, without `.git`.
    #[must_use]
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// The same for every way to one repository: over https, ssh or as another user. Two repositories never share one.
    #[must_use]
    pub fn identity(&self) -> String {
        let path = self.path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        // To a user of its own, a path is one of the user's home; `git` is what hosting services call theirs.
        let home = self.user.as_deref().filter(|user| *user != "git");
        match (self.scheme, self.port, home) {
            (Scheme::File, ..) => format!("file:///{path}"),
            (_, port, Some(user)) => format!("ssh://{user}@{}:{}{}", self.host, port.unwrap_or(22), self.path),
            (Scheme::Https, None | Some(443), None) | (Scheme::Ssh, None | Some(22), None) => {
                format!("{}/{path}", self.host)
            }
            (scheme, port, None) => format!("{}://{}:{}/{path}", scheme.as_str(), self.host, port.unwrap_or_default()),
        }
    }

    fn read(text: &str) -> Result<Self, RemoteError> {
        let shape = || RemoteError::Shape(text.to_owned());
        if text.len() > LONGEST {
            return Err(RemoteError::Long);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(shape());
        }
        let Some((scheme, rest)) = text.split_once("://") else { return Self::scp_like(text) };
        let scheme = match scheme {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "ssh" => Scheme::Ssh,
            "file" => Scheme::File,
            // A password may stand behind any scheme.
            _ if rest.contains('@') => return Err(RemoteError::Credentials),
            _ => return Err(shape()),
        };
        let (authority, path) = rest.split_at(rest.find('/').ok_or_else(|| hidden(text))?);
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        if scheme == Scheme::File {
            if !authority.is_empty() {
                return Err(hidden(text));
            }
            return Self::made(text, scheme, (None, String::new(), None), path);
        }
        if user.is_some_and(|user| scheme != Scheme::Ssh || user.contains(':')) {
            return Err(RemoteError::Credentials);
        }
        user.map_or(Ok(()), checked_user)?;
        let (host, port) = host_and_port(place)?;
        if scheme == Scheme::Http && !is_loopback(&host) {
            return Err(RemoteError::Plain(text.to_owned()));
        }
        Self::made(text, scheme, (user, host, port), path)
    }

    /// `git@host:owner/repo`, as git and scp read it: a colon before the first slash.
    fn scp_like(text: &str) -> Result<Self, RemoteError> {
        let shape = || RemoteError::Shape(text.to_owned());
        let (place, path) = text.split_once(':').filter(|(place, _)| !place.contains('/')).ok_or_else(shape)?;
        let (user, host) = place.split_once('@').map_or((None, place), |(user, host)| (Some(user), host));
        if path.contains('@') && user.is_none() {
            // `user:password@host`: a password by another form.
            return Err(RemoteError::Credentials);
        }
        user.map_or(Ok(()), checked_user)?;
        let (host, _) = host_and_port(host)?;
        Self::made(text, Scheme::Ssh, (user, host, None), path)
    }

    fn made(
        url: &str,
        scheme: Scheme,
        (user, host, port): (Option<&str>, String, Option<u16>),
        path: &str,
    ) -> Result<Self, RemoteError> {
        if path.contains(['?', '#', '\\']) || (scheme != Scheme::File && path.contains('%')) {
            return Err(RemoteError::Part { part: path.to_owned(), what: "the path" });
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        for part in &parts {
            if part.is_empty() || matches!(*part, "." | "..") || part.starts_with('-') {
                return Err(RemoteError::Part { part: (*part).to_owned(), what: "a part of the path" });
            }
        }
        let (repo, above) = parts.split_last().map_or(("", &[][..]), |(repo, above)| (*repo, above));
        let repo = repo.strip_suffix(".git").unwrap_or(repo);
        let owner = match above.last() {
            Some(owner) => (*owner).to_owned(),
            None if host.is_empty() => "local".to_owned(),
            None => host.replace(['[', ']', ':'], "_"),
        };
        let (owner, repo) = (named(&owner, "the owner")?, named(repo, "the name")?);
        let (url, user, path) = (url.to_owned(), user.map(str::to_owned), path.to_owned());
        Ok(Self { url, scheme, host, port, user, path, owner, repo })
    }
}

/// A text that may have a password in it is not shown.
fn hidden(text: &str) -> RemoteError {
    if text.contains('@') { RemoteError::Credentials } else { RemoteError::Shape(text.to_owned()) }
}

fn checked_user(user: &str) -> Result<(), RemoteError> {
    let first = user.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    let fits = first && user.len() <= 64 && user.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if fits { Ok(()) } else { Err(RemoteError::Credentials) }
}

fn host_and_port(place: &str) -> Result<(String, Option<u16>), RemoteError> {
    let wrong = || RemoteError::Part { part: place.to_owned(), what: "the host" };
    if let Some(rest) = place.strip_prefix('[') {
        let (address, tail) = rest.split_once(']').ok_or_else(wrong)?;
        address.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
        let port = match tail.strip_prefix(':') {
            Some(port) => Some(port.parse().map_err(|_| wrong())?),
            None if tail.is_empty() => None,
            None => return Err(wrong()),
        };
        return Ok((format!("[{}]", address.to_ascii_lowercase()), port));
    }
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?)),
        None => (place, None),
    };
    let first = host.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let fits = first && host.len() <= 253 && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
    if fits { Ok((host.to_ascii_lowercase(), port)) } else { Err(wrong()) }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An owner or a repository: a directory of the cache has its name.
fn named(text: &str, what: &'static str) -> Result<String, RemoteError> {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-+".contains(c));
    let plain = !["git", "lock", "new"].iter().any(|end| is_called(text, end));
    if first && rest && plain && text.len() <= LONGEST_NAME {
        return Ok(text.to_owned());
    }
    Err(RemoteError::Part { part: text.to_owned(), what })
}

/// Whether a name has this ending; also in capitals, for file systems that make no difference.
fn is_called(name: &str, ending: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, end)| end.eq_ignore_ascii_case(ending))
}

impl FromStr for Remote {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        Self::read(text)
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.url)
    }
}

/// A branch's name by git's own rules, and none that could be an option or a revision.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Branch(String);

impl Branch {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Branch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !is_called(part, "lock");
        let fits = !text.is_empty()
            && text.len() <= 2 * LONGEST_NAME
            && text != "@"
            && text != "HEAD"
            && !text.starts_with('-')
            && !text.ends_with('.')
            && !["..", "@{"].iter().any(|bad| text.contains(bad))
            && !text.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c))
            && text.split('/').all(part);
        if fits { Ok(Self(text.to_owned())) } else { Err(format!("{text:?} is not a branch's name")) }
    }
}

impl TryFrom<String> for Branch {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Branch> for String {
    fn from(branch: Branch) -> Self {
        branch.0
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Remote {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn the_forms_that_git_users_write() {
        for (text, identity, owner, repo) in [
            ("https://github.com/ann/app", "github.com/ann/app", "ann", "app"),
            ("https://GitHub.com/ann/app.git", "github.com/ann/app", "ann", "app"),
            ("https://github.com/ann/app/", "github.com/ann/app", "ann", "app"),
            ("https://github.com:443/ann/app", "github.com/ann/app", "ann", "app"),
            ("https://git.corp:8443/ann/app", "https://git.corp:8443/ann/app", "ann", "app"),
            ("ssh://git@github.com/ann/app.git", "github.com/ann/app", "ann", "app"),
            ("ssh://git@github.com:22/ann/app.git", "github.com/ann/app", "ann", "app"),
            ("ssh://git@git.corp:7999/ann/app.git", "ssh://git.corp:7999/ann/app", "ann", "app"),
            ("git@github.com:ann/app.git", "github.com/ann/app", "ann", "app"),
            ("host:app", "host/app", "host", "app"),
            ("ann@host:app", "ssh://ann@host:22app", "host", "app"),
            ("ann@host:/srv/app", "ssh://ann@host:22/srv/app", "srv", "app"),
            ("https://gitlab.com/a/b/c/app", "gitlab.com/a/b/c/app", "c", "app"),
            ("file:///srv/my-repos/app.git", "file:///srv/my-repos/app", "my-repos", "app"),
            ("file:///app.git", "file:///app", "local", "app"),
            ("http://127.0.0.1:8080/ann/app.git", "http://127.0.0.1:8080/ann/app", "ann", "app"),
            ("http://[::1]:80/ann/app", "http://[::1]:80/ann/app", "ann", "app"),
        ] {
            let remote = parsed(text);
            assert_eq!(
                (remote.identity().as_str(), remote.owner(), remote.repo(), remote.url()),
                (identity, owner, repo, text)
            );
        }
        assert_eq!(parsed("https://git.corp:8443/a/b").host(), "git.corp:8443");
    }

    #[test]
    fn two_repositories_never_share_an_identity() {
        let all = [
            "https://github.com/ann/app",
            "https://gitlab.com/ann/app",
            "https://github.com:8443/ann/app",
            "ssh://github.com:8443/ann/app",
            "https://github.com/x/ann/app",
            "file:///github.com/ann/app",
            "file:///srv/ann/app",
            "http://localhost/ann/app",
        ];
        let identities: std::collections::BTreeSet<String> = all.iter().map(|text| parsed(text).identity()).collect();
        assert_eq!(identities.len(), all.len(), "{identities:?}");
    }

    #[test]
    fn what_is_hostile_or_no_repository_is_refused() {
        for bad in [
            "",
            "app",
            "ann/app",
            "/srv/app.git",
            "./app",
            "https://github.com",
            "https://github.com/",
            "https:///ann/app",
            "https://-oProxyCommand=x/ann/app",
            "ssh://-oProxyCommand=x/ann/app",
            "-oProxyCommand=x:ann/app",
            "git@-oProxyCommand=x:ann/app",
            "ssh://-l@host/ann/app",
            "https://github.com/../app",
            "https://github.com/ann/..",
            "https://github.com/ann/.",
            "https://github.com/ann/.git",
            "https://github.com/ann/.hidden",
            "https://github.com/-ann/app",
            "https://github.com/ann/-app",
            "https://github.com/ann//app",
            "https://github.com/ann/app%2f..%2f..",
            "https://github.com/ann/app?x=1",
            "https://github.com/ann/app#x",
            "https://github.com/ann/a pp",
            "https://github.com/ann/a\npp",
            "https://github.com/ann/a\0pp",
            "https://github.com/ann/\u{202e}app",
            "https://github.com/ann/app.git.git",
            "https://github.com/ann/app.lock",
            "https://git hub.com/ann/app",
            "https://github.com:0/ann/app",
            "https://github.com:99999/ann/app",
            "http://github.com/ann/app",
            "git://github.com/ann/app",
            "ext::sh -c id",
            "ext::sh",
            "fd::17/x",
            "file://host/ann/app",
            "file://relative",
            "file:///srv/../etc/app",
            "file:///",
        ] {
            assert!(bad.parse::<Remote>().is_err(), "{bad:?}");
        }
        assert_eq!("a".repeat(2000).parse::<Remote>(), Err(RemoteError::Long));
    }

    #[test]
    fn s14_a_password_is_refused_and_never_repeated() {
        for bad in [
            "https://ann:hunter2@github.com/ann/app",
            "https://hunter2@github.com/ann/app",
            "https://x:hunter2@github.com",
            "http://x:hunter2@localhost/ann/app",
            "ssh://git:hunter2@github.com/ann/app",
            "file://hunter2@/ann/app",
            "ftp://x:hunter2@host/ann/app",
            "x:hunter2@github.com:ann/app",
            "https://x:hunter2@host@github.com/ann/app",
        ] {
            let said = bad.parse::<Remote>().map_err(|error| format!("{error} {error:?}"));
            assert!(said.as_ref().is_err_and(|said| !said.contains("hunter2")), "{bad}: {said:?}");
        }
    }

    #[test]
    fn branches_follow_gits_rules() {
        for good in ["main", "feature/x-1", "v1.0", "a@b", "ünïcode", "dependabot/npm_and_yarn/x-1.2.3"] {
            assert_eq!(good.parse::<Branch>().map(String::from), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "-b",
            "--upload-pack=x",
            "@",
            "HEAD",
            "a..b",
            "a b",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[",
            "a\\b",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "a@{1}",
            "a\n",
            "a\0",
        ] {
            assert!(bad.parse::<Branch>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_safe_as_a_path_and_as_an_argument(text in "\\PC{0,60}|(https|ssh|file|http)://[ -~]{0,60}|[a-z@.:-]{0,8}[:/][ -~]{0,40}") {
            if let Ok(remote) = text.parse::<Remote>() {
                for part in [remote.owner(), remote.repo()] {
                    prop_assert!(!part.is_empty() && !part.contains('/') && !part.starts_with(['.', '-']), "{text:?}");
                }
                prop_assert!(!remote.url().starts_with('-') && !remote.host().starts_with('-'));
                prop_assert_eq!(parsed(&text).identity(), remote.identity());
            }
        }
    }
}
