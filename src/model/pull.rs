//! Fetching a checkpoint: the only code that uses the network, and only where a person asked for it by command.
//!
//! Bytes go to a file beside the destination, from which a later call goes on. Only a file of the right SHA-256 gets the
//! name that was asked for.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use crate::files;

/// What to fetch.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where it is, `https://` (or `http://`, where the hash is known).
    pub url: String,
    /// What it must hash to; none to take what comes.
    pub sha256: Option<String>,
    /// Its size, where known.
    pub bytes: Option<u64>,
    /// How long the connection may keep silent; [`PATIENCE`] is sensible.
    pub patience: Duration,
}

/// How long a connection may keep silent.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The file's SHA-256.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Bytes that were there from an earlier call.
    pub resumed_from: u64,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "names and messages say what the variants are")]
pub enum PullError {
    #[error("{url}: only https:// is fetched, or http:// where the SHA-256 is known")]
    Scheme { url: String },
    #[error("{url}: {reason}")]
    Refused { url: String, reason: String },
    #[error(
        "{url}: the connection broke after {received} bytes: {reason}. They are kept; the same command goes on there"
    )]
    Broken { url: String, received: u64, reason: String },
    #[error("{url}: larger than {} MB, so it is no checkpoint of the networks here", LARGEST >> 20)]
    TooLarge { url: String },
    #[error("{url}: {received} bytes, not {expected}; it is another file than the one wanted, and was thrown away")]
    Size { url: String, received: u64, expected: u64 },
    #[error("{url}: SHA-256 is {found}, not {expected}; it is another file than the one wanted, and was thrown away")]
    Hash { url: String, found: String, expected: String },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
}

const LARGEST: u64 = 512 << 20;
/// Connections that break are made anew so often where bytes had come.
const ATTEMPTS: usize = 5;
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Fetches `wanted` into the file `destination`. `tell` is called with how many bytes have come, and of how many.
///
/// # Errors
/// If the address is refused, the connection breaks again and again, or the file is not the one wanted.
pub fn pull(wanted: &Wanted, destination: &Path, tell: &mut dyn FnMut(u64, Option<u64>)) -> Result<Pulled, PullError> {
    let url = &wanted.url;
    if !(url.starts_with("https://") || url.starts_with("http://") && wanted.sha256.is_some()) {
        return Err(PullError::Scheme { url: url.clone() });
    }
    let mut name = destination.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = destination.with_file_name(name);
    let failed = |source| PullError::File { path: part.clone(), source };
    let options = OpenOptions::new().create(true).append(true).read(true).clone();
    let mut file = files::state::open(&part, &options).map_err(failed)?;
    let resumed_from = file.metadata().map_err(failed)?.len();
    if let Err(error) = receive(wanted, &part, &mut file, tell) {
        if file.metadata().map_err(failed)?.len() == 0 {
            std::fs::remove_file(&part).map_err(failed)?;
        }
        return Err(error);
    }
    file.sync_all().map_err(failed)?;
    let (sha256, bytes) = digest(&part).map_err(failed)?;
    if let Err(error) = check(wanted, &sha256, bytes) {
        // It can only fail again.
        std::fs::remove_file(&part).map_err(failed)?;
        return Err(error);
    }
    std::fs::rename(&part, destination).map_err(|source| PullError::File { path: destination.into(), source })?;
    Ok(Pulled { sha256, bytes, resumed_from })
}

fn check(wanted: &Wanted, found: &str, received: u64) -> Result<(), PullError> {
    let url = || wanted.url.clone();
    match (&wanted.sha256, wanted.bytes) {
        (_, Some(expected)) if expected != received => Err(PullError::Size { url: url(), received, expected }),
        (Some(expected), _) if !expected.eq_ignore_ascii_case(found) => {
            Err(PullError::Hash { url: url(), found: found.into(), expected: expected.clone() })
        }
        _ => Ok(()),
    }
}

/// SHA-256 in lower-case hexadecimal, and size.
fn digest(path: &Path) -> io::Result<(String, u64)> {
    let (mut sha256, mut bytes) = (Sha256::new(), 0);
    let mut file = File::open(path)?;
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            count => {
                sha256.update(&chunk[..count]);
                bytes += count as u64;
            }
        }
    }
    Ok((sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), bytes))
}

/// Appends to `file` until it has all bytes, making the connection anew where it breaks.
fn receive(
    wanted: &Wanted,
    part: &Path,
    file: &mut File,
    tell: &mut dyn FnMut(u64, Option<u64>),
) -> Result<(), PullError> {
    let agent: Agent = Agent::config_builder()
        .timeout_connect(Some(CONNECT_WITHIN))
        .timeout_recv_response(Some(ANSWER_WITHIN))
        .http_status_as_error(false)
        // A secure address is not led to one that anybody on the way can change.
        .https_only(wanted.url.starts_with("https://"))
        .user_agent(concat!("annotate/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let length = |file: &File| Ok::<u64, PullError>(file.metadata().map_err(|e| file_error(part, e))?.len());
    let mut attempt = 1;
    loop {
        let before = length(file)?;
        let reason = match attempt_once(&agent, wanted, part, file, tell)? {
            None => return Ok(()),
            Some(reason) => reason,
        };
        let received = length(file)?;
        if received == before || attempt == ATTEMPTS {
            return Err(PullError::Broken { url: wanted.url.clone(), received, reason });
        }
        attempt += 1;
    }
}

fn file_error(path: &Path, source: io::Error) -> PullError {
    PullError::File { path: path.into(), source }
}

/// Asks for what `file` still lacks and appends it. Why the connection broke; `None` where everything has come.
fn attempt_once(
    agent: &Agent,
    wanted: &Wanted,
    part: &Path,
    file: &mut File,
    tell: &mut dyn FnMut(u64, Option<u64>),
) -> Result<Option<String>, PullError> {
    let failed = |source| file_error(part, source);
    let mut there = file.metadata().map_err(failed)?.len();
    let mut request = agent.get(&wanted.url);
    if there > 0 {
        request = request.header(header::RANGE, format!("bytes={there}-"));
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let total = match response.status() {
        StatusCode::OK => {
            // Everything comes again, if the server knows no ranges.
            file.set_len(0).map_err(failed)?;
            there = 0;
            number(&response, header::CONTENT_LENGTH, "")
        }
        StatusCode::PARTIAL_CONTENT => match range(&response) {
            Some((start, total)) if start == there => total,
            _ => {
                file.set_len(0).map_err(failed)?;
                return Err(refused(wanted, "the server sends another part of the file than the one asked for"));
            }
        },
        // Nothing is left to send: all is here, or what is here is of another file.
        StatusCode::RANGE_NOT_SATISFIABLE => {
            if number(&response, header::CONTENT_RANGE, "bytes */") == Some(there) {
                return Ok(None);
            }
            if there == 0 {
                return Err(refused(wanted, "the server refuses to send any part of the file"));
            }
            file.set_len(0).map_err(failed)?;
            return Ok(Some("the server has no such part of the file".into()));
        }
        status if status.is_server_error() => return Ok(Some(format!("the server answers {status}"))),
        status => return Err(refused(wanted, &format!("the server answers {status}"))),
    };
    if total.is_some_and(|total| total > LARGEST) {
        return Err(PullError::TooLarge { url: wanted.url.clone() });
    }
    let chunks = chunks(response.into_body().into_with_config().limit(LARGEST + 1).reader()).map_err(failed)?;
    loop {
        tell(there, total);
        match chunks.recv_timeout(wanted.patience) {
            Ok(Ok(chunk)) if chunk.is_empty() => break,
            Ok(Ok(chunk)) => {
                file.write_all(&chunk).map_err(failed)?;
                there += chunk.len() as u64;
            }
            Ok(Err(error)) => return Ok(Some(error.to_string())),
            Err(_) => return Ok(Some(format!("nothing came for {} s", wanted.patience.as_secs()))),
        }
        if there > LARGEST {
            return Err(PullError::TooLarge { url: wanted.url.clone() });
        }
    }
    match total {
        Some(total) if there < total => Ok(Some(format!("{} bytes are missing", total - there))),
        _ => Ok(None),
    }
}

/// What `body` gives, read by a thread of its own, as a connection may fall silent for ever; an empty chunk is its end.
fn chunks(mut body: impl io::Read + Send + 'static) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (sender, receiver) = sync_channel(4);
    let read = move || {
        let mut chunk = vec![0; 1 << 16];
        loop {
            let read = body.read(&mut chunk).map(|count| chunk[..count].to_vec());
            let is_last = !read.as_ref().is_ok_and(|chunk| !chunk.is_empty());
            if sender.send(read).is_err() || is_last {
                return;
            }
        }
    };
    std::thread::Builder::new().name("fetch".into()).spawn(read)?;
    Ok(receiver)
}

fn refused(wanted: &Wanted, reason: &str) -> PullError {
    PullError::Refused { url: wanted.url.clone(), reason: reason.into() }
}

fn text(response: &Response<Body>, name: header::HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

fn number(response: &Response<Body>, name: header::HeaderName, prefix: &str) -> Option<u64> {
    text(response, name)?.strip_prefix(prefix)?.trim().parse().ok()
}

/// First byte and size of the whole, of a `Content-Range: bytes 5-9/10`.
fn range(response: &Response<Body>) -> Option<(u64, Option<u64>)> {
    let (range, total) = text(response, header::CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.trim().parse().ok()?, total.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Fetches from a server that answers every request with `answer`, and says no more than that.
    fn fetched(answer: &'static str) -> PullError {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/weights.onnx", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // A connection may carry several requests.
                std::thread::spawn(move || {
                    let mut request = [0; 4096];
                    while stream.read(&mut request).is_ok_and(|count| count > 0) {
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let destination = folder.path().join("weights.onnx");
        // An earlier call left a part, so that a range is asked for.
        std::fs::write(folder.path().join("weights.onnx.part"), "begun").unwrap();
        let wanted = Wanted { url, sha256: Some("0".repeat(64)), bytes: None, patience: Duration::from_millis(300) };
        pull(&wanted, &destination, &mut |_, _| {}).unwrap_err()
    }

    #[test]
    fn a_connection_that_falls_silent_is_given_up() {
        let message = fetched("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").to_string();
        assert!(message.contains("nothing came"), "{message}");
    }

    #[test]
    fn a_server_that_never_has_the_part_asked_for_is_given_up() {
        let message = fetched("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\n\r\n").to_string();
        assert!(message.contains("part"), "{message}");
    }

    #[test]
    fn a_link_in_the_parts_path_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("x.part")).unwrap();
        let wanted = Wanted {
            url: "http://127.0.0.1:9/x".into(),
            sha256: Some("0".repeat(64)),
            bytes: None,
            patience: PATIENCE,
        };
        assert!(matches!(pull(&wanted, &folder.path().join("x"), &mut |_, _| {}), Err(PullError::File { .. })));
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    }
}
