//! Fetching pretrained weights once: by the system's `curl`, into the user's cache, and used only if size and
//! hash are right.
//!
//! A client of our own would bring TLS, and with it C code or a system library, into every build; `curl` is
//! part of Windows, macOS and nearly every Linux, and knows the system's proxies and certificates.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::files;
use crate::model::zoo::{ALL, ModelName, Remote};

/// A file on a server, and what it must be: an entry's [`Remote`] on the server
/// that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it is fetched from.
    pub url: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256: 64 hexadecimal digits.
    pub sha256: String,
}

/// The ImageNet weights of a model, and their file's name. The environment variable `MIEN_WEIGHTS_URL` names
/// a mirror with the same files.
///
/// # Errors
/// There are none for this model.
pub fn imagenet(model: ModelName) -> Result<(&'static str, Source)> {
    let Some(Remote { file, folder, bytes, sha256 }) = model.weights else {
        let with: Vec<&str> =
            ALL.iter().filter(|entry| entry.weights.is_some()).map(|entry| entry.name).collect();
        return Err(Error::input("train.weights (--weights)", format!("found imagenet with {model}"))
            .expected(format!("a file; ImageNet weights are known for {}", with.join(", "))));
    };
    let base = std::env::var("MIEN_WEIGHTS_URL")
        .ok()
        .filter(|base| !base.is_empty())
        .unwrap_or_else(|| folder.to_owned());
    let url = format!("{}/{file}", base.trim_end_matches('/'));
    Ok((file, Source { url, bytes, sha256: sha256.to_owned() }))
}

/// The file of a model's ImageNet weights if it is there, whole: in mien's cache, or in that of torch.
/// Otherwise where it belongs.
///
/// # Errors
/// There is no home folder; a file in mien's cache is damaged.
pub fn find_imagenet(model: ModelName) -> Result<Result<PathBuf, PathBuf>> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute()) // as the XDG specification has it
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .ok_or_else(|| {
            Error::input("train.weights", "there is no home folder for downloaded weights")
                .hint("Give --weights FILE")
        })?;
    let (file, remote) = imagenet(model)?;
    let own = cache.join("mien").join(file);
    if own.exists() {
        return match check(&own, &remote) {
            Ok(()) => Ok(Ok(own)),
            Err(problem) => Err(Error::at(&own, problem)
                .expected("torchvision's file")
                .hint("Remove it, and it will be downloaded again")),
        };
    }
    let torchs = cache.join("torch/hub/checkpoints").join(file);
    Ok(if torchs.exists() && check(&torchs, &remote).is_ok() { Ok(torchs) } else { Err(own) })
}

/// Fetches `remote` to the new file `path`. `progress` is called with the bytes received so far and
/// their total.
///
/// # Errors `curl` is not installed; the server cannot be reached or refuses; what it sends is not the file;
/// the user stopped it; another program is fetching it. Nothing is left at `path` then.
pub fn fetch(remote: &Source, path: &Path, progress: &dyn Fn(u64, u64), stop: &AtomicBool) -> Result<()> {
    let by_hand = || format!("Fetch it yourself and put it at {}, or give --weights FILE", path.display());
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let lock = Partial(path.with_extension("lock"));
    let held = fs::create_dir_all(folder)
        .map_err(|error| Error::io("create", folder, error))
        .and_then(|()| files::lock(&lock.0));
    let held = held
        .map_err(|error| Error::input(&remote.url, format!("cannot be stored: {error}")).hint(by_hand()))?;
    if held.is_none() {
        std::mem::forget(lock);
        return Err(Error::at(path, "another mien is fetching this file").hint("Wait for it"));
    }
    // One name, so that what a killed program has left is used up by the next one.
    let partial = Partial(path.with_extension("part"));
    let fetched = run_curl(remote, &partial.0, progress, stop);
    if stop.load(Ordering::Relaxed) {
        return Err(Error::Interrupted("stopped; the partial download was removed".into()));
    }
    fetched.map_err(|problem| {
        Error::input(&remote.url, problem)
            .expected(format!("a file of {} bytes", remote.bytes))
            .hint(by_hand())
    })?;
    check(&partial.0, remote).map_err(|problem| {
        Error::input(&remote.url, problem).expected("the file that torchvision published").hint(by_hand())
    })?;
    fs::rename(&partial.0, path).map_err(|error| Error::io("write", path, error))
}

/// Removes its file when it goes out of scope, if that has not been renamed.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // Mostly it has been renamed, and there is nobody to report another failure to.
        let _ = fs::remove_file(&self.0);
    }
}

fn run_curl(
    remote: &Source,
    partial: &Path,
    progress: &dyn Fn(u64, u64),
    stop: &AtomicBool,
) -> Result<(), String> {
    let mut out = File::create(partial).map_err(|error| format!("cannot be written: {error}"))?;
    let mut child = Command::new("curl")
        .args([
            "--fail",
            "--location",
            "--silent",
            "--show-error",
            "--proto",
            "=https,http",
            "--proto-redir",
            "=https,http",
        ])
        .args(["--connect-timeout", "20", "--speed-time", "60", "--speed-limit", "100", "--url"])
        .arg(&remote.url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped()) // not into the file: so it ends with this program, however that ends
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot be fetched: the program curl cannot be started ({error})"))?;
    let mut pipe = child.stdout.take().ok_or("cannot be fetched: curl has no output")?;
    let mut buffer = vec![0; 1 << 17];
    let mut have = 0;
    let problem = loop {
        progress(have, remote.bytes);
        match pipe.read(&mut buffer) {
            _ if stop.load(Ordering::Relaxed) => break Some("stopped".to_owned()),
            Ok(0) => break None,
            Ok(read) if have + read as u64 > remote.bytes => {
                break Some("the server sends more bytes than the file has".into());
            }
            Ok(read) => match out.write_all(&buffer[..read]) {
                Ok(()) => have += read as u64,
                Err(error) => break Some(format!("cannot be written: {error}")),
            },
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => break Some(format!("cannot be fetched: {error}")),
        }
    };
    if let Some(problem) = problem {
        let _ = child.kill();
        let _ = child.wait();
        return Err(problem);
    }
    match child.wait() {
        Ok(status) if status.success() => {
            return out.sync_all().map_err(|error| format!("cannot be written: {error}"));
        }
        Ok(_) => {}
        Err(error) => return Err(format!("cannot be fetched: {error}")),
    }
    let mut said = String::new();
    if let Some(mut pipe) = child.stderr.take() {
        // Without its message the failure is reported all the same.
        let _ = pipe.read_to_string(&mut said);
    }
    let reason = said.lines().last().unwrap_or("curl failed").trim_start_matches("curl: ").trim();
    Err(format!("cannot be fetched: {reason}"))
}

/// Compares a file's length and hash with what they must be.
fn check(path: &Path, remote: &Source) -> Result<(), String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let bytes = file.metadata().map_err(|error| error.to_string())?.len();
    if bytes != remote.bytes {
        return Err(format!("has {bytes} bytes instead of {}: truncated, or another file", remote.bytes));
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(|error| error.to_string())? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    let found: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found == remote.sha256 {
        Ok(())
    } else {
        Err(format!("its SHA-256 is {found}: damaged, or not the right file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that answers the next requests with these bytes and hangs up. Returns its address.
    fn serve(answers: Vec<Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(&answer);
            }
        });
        address
    }

    fn answer(status: &str, claimed: usize, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {claimed}\r\nConnection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    fn sha256(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn has_curl() -> bool {
        let found = Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok();
        if !found {
            eprintln!("skipped: there is no curl on this machine");
        }
        found
    }

    #[test]
    fn a_whole_file_arrives_also_by_a_detour() {
        if !has_curl() {
            return;
        }
        let body: Vec<u8> = (0..300_000u32).map(|i| (i * 7 % 251) as u8).collect();
        let target = serve(vec![answer("200 OK", body.len(), &body)]);
        let detour = format!(
            "HTTP/1.1 302 Found\r\nLocation: {target}/file\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let remote =
            Source { url: serve(vec![detour.into_bytes()]), bytes: body.len() as u64, sha256: sha256(&body) };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache/weights.pth");
        fetch(&remote, &path, &|have, all| assert!(have <= all), &AtomicBool::new(false)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), body);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else stays");
    }

    #[test]
    fn a_broken_cut_tampered_or_endless_download_is_refused_and_leaves_nothing() {
        if !has_curl() {
            return;
        }
        let body = vec![7u8; 50_000];
        let mut tampered = body.clone();
        tampered[123] ^= 1;
        let refused = |server: String, part: &str| {
            let folder = tempfile::tempdir().unwrap();
            let remote = Source { url: server, bytes: body.len() as u64, sha256: sha256(&body) };
            let error =
                fetch(&remote, &folder.path().join("weights.pth"), &|_, _| {}, &AtomicBool::new(false))
                    .unwrap_err()
                    .to_string();
            assert!(
                error.contains(part) && error.contains("Fetch it yourself") && !error.contains('\n'),
                "{part}: {error}"
            );
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{part}: a file stays");
        };
        refused(serve(vec![answer("404 Not Found", 4, b"none")]), "404");
        refused(serve(vec![answer("200 OK", body.len(), &body[..20_000])]), "cannot be fetched");
        refused(serve(vec![answer("200 OK", 20_000, &body[..20_000])]), "20000 bytes instead of 50000");
        refused(serve(vec![answer("200 OK", body.len(), &tampered)]), "its SHA-256 is");
        refused(serve(vec![answer("200 OK", 200_000, &vec![7; 200_000])]), "");
        refused("http://127.0.0.1:9".into(), "cannot be fetched");
    }

    #[test]
    fn a_stopped_download_leaves_nothing_and_a_second_one_waits() {
        if !has_curl() {
            return;
        }
        let body = vec![7u8; 50_000];
        let remote = Source {
            url: serve(vec![answer("200 OK", body.len(), &body)]),
            bytes: 50_000,
            sha256: sha256(&body),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.pth");
        let error = fetch(&remote, &path, &|_, _| {}, &AtomicBool::new(true)).unwrap_err();
        assert!(matches!(error, Error::Interrupted(_)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let held = files::lock(&path.with_extension("lock")).unwrap();
        let error = fetch(&remote, &path, &|_, _| {}, &AtomicBool::new(false)).unwrap_err().to_string();
        assert!(held.is_some() && error.contains("another mien is fetching"), "{error}");
    }
}
