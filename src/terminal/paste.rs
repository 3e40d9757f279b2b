//! Pastes.

use super::emulator::Modes;

const BEGIN: &[u8] = b"\x1b[200~";
const END: &[u8] = b"\x1b[201~";

/// A paste: bracketed where the program asked for it, and never able to end its own bracket.
///
/// Line ends become CR, which is what Enter sends. The end of a bracket inside is left out; any ESC or 8-bit control
/// that is left becomes the visible `␛`, so that no spelling of a sequence can be completed. Without brackets the text
/// is as if typed, so what would act as a key of the line editor or the tty (NUL, ENQ, EOT, BS, DEL: xterm's choice) is
/// left out too. All else is delivered byte for byte.
pub(super) fn encode(text: &str, modes: Modes) -> Vec<u8> {
    let text = text.replace("\x1b[201~", "").replace("\u{9b}201~", "");
    let mut out = Vec::with_capacity(text.len() + BEGIN.len() + END.len());
    if modes.bracketed_paste {
        out.extend_from_slice(BEGIN);
    }
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let c = match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                '\r'
            }
            '\n' => '\r',
            '\x1b' | '\u{80}'..='\u{9f}' => '␛',
            '\0' | '\x04' | '\x05' | '\x08' | '\x7f' if !modes.bracketed_paste => continue,
            c => c,
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    if modes.bracketed_paste {
        out.extend_from_slice(END);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRACKETED: Modes = Modes {
        bracketed_paste: true,
        application_cursor: false,
        application_keypad: false,
        alternate_screen: false,
        focus_events: false,
        mouse: false,
        cursor_hidden: false,
        cursor_shape: 0,
        disambiguate: false,
        synchronised: false,
    };

    #[test]
    fn lines_end_as_enter_does() {
        assert_eq!(encode("a\r\nb\nc\rd\r\n\n", Modes::default()), b"a\rb\rc\rd\r\r");
    }

    #[test]
    fn a_bracket_has_one_end() {
        for text in [
            "a\x1b[201~b",
            "a\u{9b}201~b",
            "a\x1b[20\x1b[201~1~b",
            "a\x1b[0201~b",
            "a\x1b[201;1~b",
            "\x1b[\u{9b}201~201~",
            "\x1b\x1b[201~[201~",
        ] {
            let bytes = encode(text, BRACKETED);
            let inside = bytes.strip_prefix(BEGIN).and_then(|b| b.strip_suffix(END)).unwrap();
            assert!(!inside.contains(&0x1b), "{text:?} became {:?}", String::from_utf8_lossy(&bytes));
            assert!(!String::from_utf8_lossy(inside).contains('\u{9b}'));
        }
        assert_eq!(encode("a\x1b[201~b", BRACKETED), b"\x1b[200~ab\x1b[201~");
    }

    #[test]
    fn a_megabyte_arrives_whole() {
        let text = "0123456789abcdef".repeat(1 << 16);
        assert_eq!(encode(&text, Modes::default()), text.as_bytes());
        assert_eq!(encode(&text, BRACKETED).len(), text.len() + 12);
    }

    #[test]
    fn typed_text_has_no_keys_in_it() {
        assert_eq!(encode("a\x03b\x04c\0d\x7f\te\x1b[A", Modes::default()), "a\x03bcd\te␛[A".as_bytes());
        assert_eq!(encode("a\x04b", BRACKETED), b"\x1b[200~a\x04b\x1b[201~");
    }
}
