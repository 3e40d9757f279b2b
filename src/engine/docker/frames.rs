//! The engine's multiplexed streams: eight bytes of head, then as many bytes as it says, for stdout or stderr.

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::Decoder;

/// A part of a frame. Frames are passed on as they come, never held until they are whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whether it came by stderr.
    pub stderr: bool,
    /// The bytes.
    pub bytes: Bytes,
    /// Whether the frame ends here.
    pub last: bool,
}

/// Takes multiplexed bytes apart.
#[derive(Debug, Default)]
pub struct Frames {
    open: Option<(bool, usize)>,
}

/// The stream is not multiplexed, or was cut inside a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A head that no engine sends.
    #[error("the stream is not multiplexed: a frame begins with byte {0:#04x}")]
    Head(u8),
    /// The connection ended inside a frame.
    #[error("the stream was cut inside a frame")]
    Cut,
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

const HEAD: usize = 8;

impl Frames {
    /// Whether no frame is open.
    pub const fn is_between(&self) -> bool {
        self.open.is_none()
    }
}

impl Decoder for Frames {
    type Item = Part;
    type Error = FrameError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Part>, FrameError> {
        loop {
            if let Some((stderr, left)) = self.open {
                if src.is_empty() {
                    return Ok(None);
                }
                let bytes = src.split_to(left.min(src.len())).freeze();
                let left = left - bytes.len();
                self.open = (left > 0).then_some((stderr, left));
                return Ok(Some(Part { stderr, bytes, last: left == 0 }));
            }
            let Some(head) = src.first_chunk::<HEAD>() else { return Ok(None) };
            let [kind, _, _, _, size @ ..] = *head;
            // 0 is stdin, which some engines echo; 3 is the engine's own error text.
            if kind > 3 {
                return Err(FrameError::Head(kind));
            }
            let size = u32::from_be_bytes(size) as usize;
            src.advance(HEAD);
            self.open = (size > 0).then_some((kind >= 2, size));
        }
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Part>, FrameError> {
        match self.decode(src)? {
            Some(part) => Ok(Some(part)),
            None if src.is_empty() && self.open.is_none() => Ok(None),
            None => {
                src.clear();
                self.open = None;
                Err(FrameError::Cut)
            }
        }
    }
}

/// One frame, for whoever speaks for an engine.
#[must_use]
pub fn encode(stderr: bool, bytes: &[u8]) -> Vec<u8> {
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut frame = vec![if stderr { 2 } else { 1 }, 0, 0, 0];
    frame.extend(size.to_be_bytes());
    frame.extend(bytes.iter().take(size as usize));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(decoder: &mut Frames, pieces: &[&[u8]]) -> (Vec<u8>, Vec<u8>, usize) {
        let mut buf = BytesMut::new();
        let (mut out, mut err, mut frames) = (Vec::new(), Vec::new(), 0);
        for piece in pieces {
            buf.extend_from_slice(piece);
            while let Some(part) = decoder.decode(&mut buf).unwrap() {
                if part.stderr {
                    err.extend(&part.bytes);
                } else {
                    out.extend(&part.bytes);
                }
                frames += usize::from(part.last);
            }
        }
        assert!(decoder.decode_eof(&mut buf).unwrap().is_none());
        (out, err, frames)
    }

    #[test]
    fn frames_split_at_every_byte_are_the_same_frames() {
        let smile = "😀é".as_bytes();
        let mut wire = encode(false, &smile[..2]);
        wire.extend(encode(true, b"\x00\x01\x02err"));
        wire.extend(encode(false, b""));
        wire.extend(encode(false, &smile[2..]));
        for first in 0..=wire.len() {
            for second in first..=wire.len() {
                let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                let (out, err, frames) = run(&mut Frames::default(), &pieces);
                assert_eq!((out.as_slice(), err.as_slice(), frames), (smile, &b"\x00\x01\x02err"[..], 3));
            }
        }
        let single: Vec<&[u8]> = wire.chunks(1).collect();
        assert_eq!(run(&mut Frames::default(), &single).0, smile);
    }

    #[test]
    fn what_is_no_frame_is_said() {
        let mut buf = BytesMut::from(&b"hello world"[..]);
        assert!(matches!(Frames::default().decode(&mut buf), Err(FrameError::Head(b'h'))));
        let mut cut = BytesMut::from(&encode(false, b"hello")[..10]);
        let mut decoder = Frames::default();
        assert_eq!(decoder.decode(&mut cut).unwrap().unwrap().bytes, &b"he"[..]);
        assert!(matches!(decoder.decode_eof(&mut cut), Err(FrameError::Cut)));
    }
}
