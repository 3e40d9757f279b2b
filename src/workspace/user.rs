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

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// What it is called, and where its home is, where the user database tells.
    pub known: Option<(String, PathBuf)>,
}

impl Account {
    /// From `NAME`, `UID`, or one of them with `:GID`, by the lines of `/etc/passwd`. A name that is not there, or a number
    /// without a group, is nobody.
    #[must_use]
    pub fn of(user: &str, passwd: &str) -> Option<Self> {
        let (who, group) = user.split_once(':').map_or((user, None), |(who, group)| (who, Some(group)));
        let number = who.parse::<u32>().ok();
        let line = passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
            let (uid, gid) = (uid.parse::<u32>().ok()?, gid.parse::<u32>().ok()?);
            (*name == who || number == Some(uid)).then(|| (uid, gid, ((*name).to_owned(), PathBuf::from(home))))
        });
        let uid = line.as_ref().map(|(uid, ..)| *uid).or(number)?;
        let gid = match group {
            Some(group) => group.parse().ok()?,
            None => line.as_ref().map(|(_, gid, _)| *gid)?,
        };
        Some(Self { uid, gid, known: line.map(|(.., known)| known) })
    }

    /// Its group, and all that name it as a member, by the lines of `/etc/group`: as the system's login gives them.
    #[must_use]
    pub fn groups(&self, group: &str) -> Vec<u32> {
        let name = self.known.as_ref().map(|(name, _)| name.as_str());
        let others = group.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [_, _, gid, members] = fields.as_slice() else { return None };
            name.filter(|name| members.split(',').any(|member| member.trim() == *name))
                .and_then(|_| gid.parse::<u32>().ok())
        });
        let mut groups = vec![self.gid];
        groups.extend(others.filter(|gid| *gid != self.gid));
        groups
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_of_this_machine_is_found() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nann:x:1000:1001:Ann:/home/ann:/bin/sh\n";
        let ann = Some(("ann".to_owned(), PathBuf::from("/home/ann")));
        for (user, found) in [
            ("ann", Some((1000, 1001, ann.clone()))),
            ("1000", Some((1000, 1001, ann.clone()))),
            ("ann:7", Some((1000, 7, ann))),
            ("8:9", Some((8, 9, None))),
            ("8", None),
            ("bob", None),
            ("ann:staff", None),
        ] {
            let account = Account::of(user, passwd);
            assert_eq!(account.map(|account| (account.uid, account.gid, account.known)), found, "{user}");
        }
    }

    #[test]
    fn groups_are_those_that_name_the_user() {
        let passwd = "ann:x:1000:1001:Ann:/home/ann:/bin/sh\nanna:x:1002:1002::/:/bin/sh\n";
        let group = "root:x:0:\naudio:x:29:bob,ann\nbroken:ann\nvideo:x:44:anna\nrender:x:106:ann\nann:x:1001:ann\n\
                     odd:x:many:ann\n";
        for (user, groups) in [
            ("ann", &[1001, 29, 106][..]),
            ("1000", &[1001, 29, 106]),
            ("ann:7", &[7, 29, 106, 1001]),
            ("anna", &[1002, 44]),
            ("8:9", &[9]),
        ] {
            assert_eq!(Account::of(user, passwd).unwrap().groups(group), groups, "{user}");
        }
    }

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
