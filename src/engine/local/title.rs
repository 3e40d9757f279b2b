//! What a forked process is called in the list of processes: it has the arguments of the one that it comes from, and
//! writes its own over them. Who belongs to which container is read there.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::OnceLock;

/// Room for more than the verb and the path of a container have: what a process began with can't grow.
pub const ROOM: usize = 256;

/// Where the arguments of this process begin, and how long they are. The same after a fork.
static PLACE: OnceLock<(usize, usize)> = OnceLock::new();

/// Asks the kernel where they lie. Without an answer, a process stays called what it was.
pub fn find() {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(place) = parse(&stat) {
        // Asked once a process.
        let _ = PLACE.set(place);
    }
}

/// `arg_start` and `arg_end` of `/proc/PID/stat`, which are its fields 48 and 49; fields count from behind the name.
fn parse(stat: &str) -> Option<(usize, usize)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(45);
    let (begin, end): (usize, usize) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (begin > 0 && begin < end).then(|| (begin, end - begin))
}

/// The program's own name stays; these words come after it.
#[expect(unsafe_code, reason = "the kernel says where this process's arguments lie, and they can be written")]
pub fn set(words: &[&OsStr]) {
    let Some(&(begin, length)) = PLACE.get() else { return };
    // SAFETY: so long are the arguments at this place, which stay where they are as long as the process lives; this
    // process has one thread, and whoever wanted to read its arguments has.
    let all = unsafe { std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut::<u8>(begin), length) };
    write(all, words);
}

fn write(all: &mut [u8], words: &[&OsStr]) {
    let Some(own) = all.iter().position(|byte| *byte == 0) else { return };
    let rest = all.get_mut(own + 1..).unwrap_or_default();
    rest.fill(0);
    let text = words.iter().flat_map(|word| word.as_bytes().iter().chain(b"\0"));
    // The last byte stays 0.
    let most = rest.len().saturating_sub(1);
    rest.iter_mut().zip(text.take(most)).for_each(|(to, byte)| *to = *byte);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_arguments_is_read() {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        let (_, length) = parse(&stat).unwrap();
        assert_eq!(length, std::fs::read("/proc/self/cmdline").unwrap().len());
        assert_eq!(parse("1 (a) b) S 1 2 3"), None);
    }

    #[test]
    fn words_come_after_the_programs_name_and_never_past_the_end() {
        let words = |texts: &[&str], all: &str| {
            let mut all = all.as_bytes().to_vec();
            write(&mut all, &texts.iter().map(OsStr::new).collect::<Vec<_>>());
            String::from_utf8(all).unwrap()
        };
        assert_eq!(words(&["verb", "/x"], "podbay\0first\0second\0"), "podbay\0verb\0/x\0\0\0\0\0\0");
        assert_eq!(words(&["verb", "/longer"], "podbay\0one\0two\0"), "podbay\0verb\0/l\0");
        assert_eq!(words(&["verb"], "podbay"), "podbay");
    }
}
