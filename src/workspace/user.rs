//! Who a worker's processes are, and where their home stands in it.

use std::path::PathBuf;

use crate::config::env::Env;

/// The user of a worker's processes.
pub struct WorkerUser {
    /// As the engine takes it.
    pub text: String,
    /// The home directory in the container: always a private one, never that of the machine.
    pub home: PathBuf,
    /// `uid` and `gid` where the text tells them; a name's are known to the image alone.
    ids: Option<(u32, u32)>,
}

impl WorkerUser {
    /// From `user` of a template; empty: the invoking user.
    pub fn of(user: &str, env: &Env) -> Self {
        let text = if user.is_empty() { format!("{}:{}", env.uid, env.gid) } else { user.to_owned() };
        let (who, group) = text.split_once(':').unwrap_or((&text, ""));
        let uid: Option<u32> = if who == "root" { Some(0) } else { who.parse().ok() };
        let home = match uid {
            Some(0) => PathBuf::from("/root"),
            // A private home can't be mounted at the root of the file system.
            Some(uid) if uid == env.uid && env.home.parent().is_some() => env.home.clone(),
            Some(_) => PathBuf::from("/home/podbay"),
            None => PathBuf::from("/home").join(who),
        };
        // Without a group the engine takes that of the image's user database, or 0.
        let ids = uid.map(|uid| (uid, group.parse().unwrap_or(if uid == env.uid { env.gid } else { uid })));
        Self { text, home, ids }
    }

    /// Whom private directories are given to; `None`: they stay with the invoking user.
    pub fn owner(&self, env: &Env) -> Option<(u32, u32)> {
        self.ids.filter(|(uid, _)| env.uid == 0 && *uid != 0)
    }

    /// What the user should know when the worker may be locked out of its own home.
    pub fn note(&self, env: &Env) -> Option<String> {
        let reaches = self.ids.is_some_and(|(uid, _)| env.uid == 0 || uid == env.uid || uid == 0);
        (!reaches).then(|| {
            format!(
                "the worker runs as user {:?}; its home belongs to user {} and may be closed to it",
                self.text, env.uid
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_follows_its_user() {
        let ann = Env { home: "/home/ann".into(), uid: 1000, gid: 1001, ..Env::default() };
        let root = Env { home: "/root".into(), ..Env::default() };
        for (user, env, text, home, owner) in [
            ("", &ann, "1000:1001", "/home/ann", None),
            ("1000", &ann, "1000", "/home/ann", None),
            ("1001:5", &ann, "1001:5", "/home/podbay", None),
            ("0", &ann, "0", "/root", None),
            ("root", &ann, "root", "/root", None),
            ("node:node", &ann, "node:node", "/home/node", None),
            ("", &root, "0:0", "/root", None),
            ("1000:7", &root, "1000:7", "/home/podbay", Some((1000, 7))),
            ("1000", &root, "1000", "/home/podbay", Some((1000, 1000))),
            ("node", &root, "node", "/home/node", None),
        ] {
            let made = WorkerUser::of(user, env);
            assert_eq!(
                (made.text.as_str(), made.home.to_str().unwrap(), made.owner(env)),
                (text, home, owner),
                "{user}"
            );
        }
        for (user, env, out) in
            [("", &ann, false), ("1001", &ann, true), ("node", &ann, true), ("node", &root, true), ("7", &root, false)]
        {
            assert_eq!(WorkerUser::of(user, env).note(env).is_some(), out, "{user}: locked out of its own home");
        }
        let homeless = Env { home: "/".into(), uid: 7, gid: 7, ..Env::default() };
        assert_eq!(WorkerUser::of("", &homeless).home, PathBuf::from("/home/podbay"));
    }
}
