//! HMAC-SHA-256 (RFC 2104) with a key that lies beside what it protects.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

pub(super) const MAC_BYTES: usize = 32;
const KEY_BYTES: usize = 32;
/// The block of SHA-256.
const BLOCK_BYTES: usize = 64;

pub(super) struct Key([u8; KEY_BYTES]);

impl Key {
    /// Reads the key, or draws one. A key that is not a whole one or that others could read or
    /// write protects nothing: it is replaced, and what it protected is not trusted any more.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match Self::read(path) {
            Ok(Some(key)) => return Ok(key),
            Ok(None) => {
                tracing::warn!(path = %path.display(), "the key of the compiled code is replaced");
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut key = [0; KEY_BYTES];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        let dir = path.parent().unwrap_or(Path::new("."));
        // Temporary files are for their owner alone, and stay so when renamed.
        let mut file = super::temporary(dir)?;
        file.write_all(&key)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        super::sync_dir(dir)?;
        Ok(Self(key))
    }

    fn read(path: &Path) -> io::Result<Option<Self>> {
        let meta = fs::symlink_metadata(path)?;
        if !meta.is_file() || meta.len() != KEY_BYTES as u64 || meta.mode() & 0o077 != 0 {
            return Ok(None);
        }
        let mut key = [0; KEY_BYTES];
        File::open(path)?.read_exact(&mut key)?;
        Ok(Some(Self(key)))
    }

    /// The keyed hash of the parts, one after the other. Which bytes belong to which part is not in
    /// it: all but the last must have a fixed length.
    pub(super) fn mac(&self, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        hmac(&self.0, parts)
    }
}

fn hmac(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> [u8; MAC_BYTES] {
    let mut inner_pad = [0x36; BLOCK_BYTES];
    let mut outer_pad = [0x5c; BLOCK_BYTES];
    for (i, byte) in key.iter().enumerate() {
        inner_pad[i] ^= byte;
        outer_pad[i] ^= byte;
    }
    let mut inner = Sha256::new_with_prefix(inner_pad);
    for part in parts {
        inner.update(part);
    }
    Sha256::new_with_prefix(outer_pad).chain_update(inner.finalize()).finalize().into()
}

/// In a time that doesn't tell how much of it is equal.
pub(super) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn hmac_gives_what_the_rfc_gives() {
        // RFC 4231, test case 1; a key is padded with zeros, so ours of 32 bytes is the same one.
        let mut key = [0; KEY_BYTES];
        key[..20].fill(0x0b);
        let mac = hmac(&key, &[b"Hi ", b"There"]);
        assert_eq!(
            hex::encode(mac),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert!(equal(&mac, &mac.clone()) && !equal(&mac, &mac[1..]) && !equal(b"a", b"b"));
    }

    #[test]
    fn a_key_is_kept_and_one_that_others_could_read_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let first = Key::open(&path).unwrap().0;
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Key::open(&path).unwrap().0, first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let second = Key::open(&path).unwrap().0;
        assert_ne!(second, first);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::write(&path, b"short").unwrap();
        assert_ne!(Key::open(&path).unwrap().0, second);
    }
}
