//! Which of the files that git ignores can be made again: what tools write by themselves. The rest, like `.env`, may be
//! nowhere else.

use std::path::Path;

/// Directories of packages, builds and caches.
const DIRECTORIES: &[&str] = &[
    "__pycache__",
    "bin",
    "build",
    "coverage",
    "deps",
    "dist",
    "htmlcov",
    "log",
    "logs",
    "node_modules",
    "obj",
    "out",
    "pkg",
    "target",
    "temp",
    "tmp",
    "vendor",
    "venv",
    "_build",
    ".angular",
    ".astro",
    ".bundle",
    ".cache",
    ".ccls-cache",
    ".dart_tool",
    ".direnv",
    ".eggs",
    ".expo",
    ".gradle",
    ".hypothesis",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".next",
    ".nox",
    ".nuxt",
    ".nyc_output",
    ".output",
    ".parcel-cache",
    ".pnpm-store",
    ".pytest_cache",
    ".ruff_cache",
    ".sass-cache",
    ".svelte-kit",
    ".terraform",
    ".tox",
    ".turbo",
    ".venv",
    ".vercel",
    ".vite",
    ".yarn",
    ".zig-cache",
    "zig-cache",
    "zig-out",
];
/// Endings of what compilers and editors leave.
const ENDINGS: &[&str] = &[
    "a",
    "bak",
    "class",
    "d",
    "dll",
    "dylib",
    "egg-info",
    "exe",
    "gcda",
    "gcno",
    "lib",
    "lo",
    "log",
    "map",
    "o",
    "obj",
    "orig",
    "pid",
    "pyc",
    "pyd",
    "pyo",
    "rlib",
    "rmeta",
    "so",
    "swo",
    "swp",
    "tmp",
    "tsbuildinfo",
];
/// Files by their whole name.
const FILES: &[&str] = &[".DS_Store", ".coverage", ".eslintcache", ".stylelintcache", "Thumbs.db", "desktop.ini"];

/// Whether a path, as git prints it, is of this kind.
pub fn can_be_made_again(path: &str) -> bool {
    let path = Path::new(path);
    let inside =
        path.components().any(|part| part.as_os_str().to_str().is_some_and(|part| DIRECTORIES.contains(&part)));
    let ending = path.extension().and_then(|ending| ending.to_str());
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    inside || ending.is_some_and(|ending| ENDINGS.contains(&ending)) || FILES.contains(&name) || name.ends_with('~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_tool_writes_may_be_lost() {
        for path in ["node_modules/", "web/node_modules/", "target/", "a/__pycache__/", "x.pyc", "build/a.txt", "b.log"]
        {
            assert!(can_be_made_again(path), "{path}");
        }
        for path in
            [".env", ".env.local", "secrets/", "data.sqlite", "notes.md", "targets/", ".claude/settings.local.json"]
        {
            assert!(!can_be_made_again(path), "{path}");
        }
    }
}
