//! Compiled code on disk.
//!
//! Loading compiled code runs it, so a file is loaded only if this region wrote it: it carries a
//! keyed hash over its code and over what the code is for, and the key lies in the same folder, for
//! its owner alone. That holds against files that were damaged, cut short, renamed, or brought from
//! elsewhere, by a backup or a shared volume or by whoever can place a file but not read one. Who
//! can read the key has the region's own rights and needs no cache. The code is checked and loaded
//! from one buffer, so that no one can change the file in between. A file that fails is thrown away
//! and the component compiled again.

mod mac;

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use syncline_core::FunctionVersion;
use tempfile::NamedTempFile;

use mac::{Key, MAC_BYTES};

/// What each file begins with. Changes with the layout: the magic, the engine's fingerprint, the
/// function's version, the keyed hash of all these and the code, the code.
const MAGIC: &[u8; 16] = b"syncline-code-1\n";
const HEADER_BYTES: usize = MAGIC.len() + 32 + 32 + MAC_BYTES;
/// Far above what the largest component compiles to.
const FILE_BYTES_MAX: u64 = 512 << 20;
const EXTENSION: &str = "cwasm";
const KEY_FILE: &str = "key";
/// The names of files that are being written.
const UNFINISHED: &str = ".writing-";

pub(crate) struct Cache {
    dir: PathBuf,
    key: Key,
    fingerprint: [u8; 32],
}

impl Cache {
    /// Opens the folder, makes it and its key where they are not there, and clears away what an
    /// other release or other settings left.
    pub(crate) fn open(dir: &Path, fingerprint: [u8; 32]) -> io::Result<Self> {
        create_private_dir(dir)?;
        let key = Key::open(&dir.join(KEY_FILE))?;
        let cache = Self { dir: dir.to_owned(), key, fingerprint };
        cache.sweep()?;
        Ok(cache)
    }

    /// The code for a function. None: there is none, or none to be trusted.
    pub(crate) fn get(&self, version: &FunctionVersion) -> Option<Vec<u8>> {
        let path = self.path(version);
        let reason = match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => error.to_string(),
            Ok(mut file) => match self.verify(version, &file) {
                Ok(()) => {
                    file.drain(..HEADER_BYTES);
                    return Some(file);
                }
                Err(reason) => reason.to_owned(),
            },
        };
        tracing::warn!(path = %path.display(), reason, "compiled code is thrown away");
        self.remove(version);
        None
    }

    /// Keeps the code. The file is there as a whole or not at all, after a power cut too.
    pub(crate) fn put(&self, version: &FunctionVersion, code: &[u8]) -> io::Result<()> {
        let mut file = temporary(&self.dir)?;
        let subject = self.subject(version);
        file.write_all(&subject)?;
        file.write_all(&self.key.mac(&[&subject, code]))?;
        file.write_all(code)?;
        file.as_file().sync_all()?;
        file.persist(self.path(version)).map_err(|error| error.error)?;
        sync_dir(&self.dir)
    }

    pub(crate) fn remove(&self, version: &FunctionVersion) {
        match fs::remove_file(self.path(version)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%version, %error, "compiled code stays on disk");
            }
            _ => {}
        }
    }

    fn path(&self, version: &FunctionVersion) -> PathBuf {
        let engine = hex::encode(&self.fingerprint[..8]);
        self.dir.join(format!("{}-{engine}.{EXTENSION}", version.hex()))
    }

    /// What the code is for.
    fn subject(&self, version: &FunctionVersion) -> Vec<u8> {
        [&MAGIC[..], &self.fingerprint, &version.0].concat()
    }

    fn verify(&self, version: &FunctionVersion, file: &[u8]) -> Result<(), &'static str> {
        let subject = self.subject(version);
        let Some((header, code)) = file.split_at_checked(HEADER_BYTES) else {
            return Err("it is cut short");
        };
        let (for_what, mac) = header.split_at(subject.len());
        if for_what != subject {
            return Err("it is for another function or engine");
        }
        if !mac::equal(mac, &self.key.mac(&[&subject, code])) {
            return Err("it is damaged, or this region did not write it");
        }
        Ok(())
    }

    /// Removes files of other engines, and what a crash left half written. Nothing else: the folder
    /// may be the wrong one.
    fn sweep(&self) -> io::Result<()> {
        let current = format!("-{}.{EXTENSION}", hex::encode(&self.fingerprint[..8]));
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let of_another = name.ends_with(&format!(".{EXTENSION}")) && !name.ends_with(&current);
            if of_another || name.starts_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

fn temporary(dir: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(dir)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut file)?;
    if file.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
    }
    Ok(file)
}

fn create_private_dir(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Makes a rename in the folder durable.
fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
