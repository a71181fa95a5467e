//! Requests that no well-behaved client sends.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Sends a head and a body as they are, and gives the status and the JSON of the answer. The answer
/// is read while the body is still on its way: a region may refuse before it has read all of it. If
/// there is less body than the head announces, the connection ends there.
///
/// # Errors
/// There is no answer, or none that is HTTP.
pub fn send_raw(url: &str, head: &[&str], body: Vec<u8>) -> Result<(u16, Value)> {
    let address = url.strip_prefix("http://").context("an address with http")?;
    let mut stream = TcpStream::connect(address).context("connect")?;
    let mut writer = stream.try_clone().context("share the connection")?;
    let mut lengths = head.iter().filter_map(|line| line.strip_prefix("content-length: "));
    let announced: usize = lengths.next_back().context("a length")?.parse().context("a length")?;
    let head = format!("{}\r\nhost: {address}\r\nconnection: close\r\n\r\n", head.join("\r\n"));
    let writing = thread::spawn(move || {
        // A region that has refused already need not read the rest.
        let _ = writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&body));
        // To a server, a client that closes its side early may be one that has gone.
        if body.len() < announced {
            let _ = writer.shutdown(Shutdown::Write);
        }
    });
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // An end by a reset is as good once the answer is here.
    if answer.is_empty() {
        read.context("read the answer")?;
    }
    let _ = writing.join();
    let text = String::from_utf8_lossy(&answer);
    let (head, body) =
        text.split_once("\r\n\r\n").with_context(|| format!("not HTTP: {text:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("not HTTP: {head:?}"))?;
    // Problem documents are short and come in one piece, or in one chunk.
    let json = body.find('{').zip(body.rfind('}')).and_then(|(from, to)| body.get(from..=to));
    Ok((status, json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()))
}
