//! Brings up the loopback of a new network namespace: it is there, and down.

use std::io;

use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

/// `RTM_NEWLINK`, `NLM_F_REQUEST | NLM_F_ACK`, `IFF_UP`, and the loopback's number in every namespace.
const NEW_LINK: u16 = 16;
const REQUEST: u16 = 1 | 4;
const UP: u32 = 1;
const LOOPBACK: i32 = 1;
/// `NLMSG_ERROR`, which also says that all went well.
const ERROR: u16 = 2;

/// A header of 16 bytes and one link of 16 bytes.
fn request() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32);
    bytes.extend(32u32.to_ne_bytes());
    bytes.extend(NEW_LINK.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    // Sequence, and the kernel fills in who asks.
    bytes.extend(1u32.to_ne_bytes());
    bytes.extend(0u32.to_ne_bytes());
    // Family and type: any.
    bytes.extend([0; 4]);
    bytes.extend(LOOPBACK.to_ne_bytes());
    bytes.extend(UP.to_ne_bytes());
    bytes.extend(UP.to_ne_bytes());
    bytes
}

/// The kernel's answer: an error's number, 0 for none.
fn answer(bytes: &[u8]) -> io::Result<()> {
    let kind = bytes.get(4..6).and_then(|kind| kind.try_into().ok()).map(u16::from_ne_bytes);
    let code = bytes.get(16..20).and_then(|code| code.try_into().ok()).map(i32::from_ne_bytes);
    match (kind, code) {
        (Some(ERROR), Some(0)) => Ok(()),
        (Some(ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Brings it up.
pub fn up() -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    // Unconnected: to the kernel.
    rustix::io::write(&socket, &request())?;
    let mut space = [0u8; 512];
    let (count, _) = rustix::net::recv(&socket, &mut space[..], RecvFlags::empty())?;
    answer(space.get(..count).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_answer_is_read() {
        let said = |code: i32| {
            let mut bytes = vec![0; 16];
            bytes[4..6].copy_from_slice(&ERROR.to_ne_bytes());
            bytes.extend(code.to_ne_bytes());
            answer(&bytes)
        };
        assert!(said(0).is_ok());
        assert_eq!(said(-1).unwrap_err().raw_os_error(), Some(1));
        assert!(answer(&[0; 8]).is_err());
        assert_eq!(request().len(), 32);
    }
}
