//! The terminal, by a WebSocket client that is not ours: Python's `websockets`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::open::Open;

/// A Python that has it; `.ci/run` names one.
const PYTHON: &str = "PODBAY_WEBSOCKETS_PYTHON";

const SCRIPT: &str = r#"
import asyncio, json, sys, websockets

async def main(url):
    async with websockets.connect(url, origin=None, max_size=None) as ws:
        texts, seen = [], b""
        async def until(word):
            nonlocal seen
            while word not in seen:
                frame = await asyncio.wait_for(ws.recv(), 60)
                if isinstance(frame, str):
                    texts.append(json.loads(frame))
                else:
                    seen += frame
        await ws.send(b"echo one two\r")
        await until(b"one two\r\n")
        await ws.send(json.dumps({"type": "resize", "rows": 33, "cols": 101}))
        await ws.send("not JSON, and harmless")
        while b"33 101" not in seen:
            seen = b""
            await ws.send(b"stty size\r")
            await until(b"\r\n")
            await until(b"$ ")
        assert texts and texts[0]["type"] == "reset", texts
        print("fine")

async def refused(url):
    try:
        async with websockets.connect(url):
            print("let in")
    except websockets.exceptions.InvalidStatus as error:
        print(error.response.status_code)

good, bad = sys.stdin.read().split()
asyncio.run(main(good))
asyncio.run(refused(bad))
"#;

#[test]
fn another_client_types_reads_and_resizes() {
    let test = "another_client_types_reads_and_resizes";
    let Some(python) = std::env::var_os(PYTHON).filter(|path| !path.is_empty()) else {
        return crate::bay::skip(test, &format!("{PYTHON} does not name a Python with websockets"));
    };
    let open = Open::new();
    open.den.ok(&["spawn", "fox", "-d", "--", "sh", "-i"]);
    let token = open.token();
    let url = |token: &str| format!("ws://127.0.0.1:{}/api/containers/fox/terminal?token={token}", open.port);
    let mut child = Command::new(python);
    child.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // By stdin: a token is on no command line.
    write!(child.stdin.take().unwrap(), "{} {}", url(&token), url(&token[..63])).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "fine\n401\n", "{output:?}");
}
