//! The operator's bearer token: a file that only the broker's user can read.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use crate::disk::directory::Directory;
use crate::error::ServeError;

/// The file in the data directory.
const FILE: &str = "token";
/// 256 bits: nobody guesses that.
const SECRET_BYTES: usize = 32;
const MIN_CHARS: usize = 22;

const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Reads the token, or makes one where there is none.
pub(crate) fn read_or_make(dir: &Directory) -> Result<String, ServeError> {
    let path = dir.file(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => {
            let token = text.trim_end_matches(['\n', '\r']);
            let meta = fs::metadata(&path)
                .map_err(|error| dir.unusable(format!("its token cannot be read: {error}")))?;
            let us = rustix::process::geteuid().as_raw();
            if meta.mode() & 0o077 != 0 || meta.uid() != us {
                return Err(dir.unusable(format!(
                    "others may have read its token (mode {:04o}, uid {}); delete {}, and a new \
                     one is made at the next start",
                    meta.mode() & 0o7777,
                    meta.uid(),
                    path.display()
                )));
            }
            if token.len() < MIN_CHARS || !token.bytes().all(|byte| URL_SAFE.contains(&byte)) {
                return Err(dir.unusable(format!(
                    "its token is not one line of at least {MIN_CHARS} URL-safe characters; \
                     delete {}, and a new one is made at the next start",
                    path.display()
                )));
            }
            Ok(token.to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let token = random_text(SECRET_BYTES)
                .map_err(|error| dir.unusable(format!("no random token can be made: {error}")))?;
            dir.replace(FILE, format!("{token}\n").as_bytes())
                .map_err(|error| dir.unusable(format!("its token cannot be written: {error}")))?;
            Ok(token)
        }
        Err(error) => Err(dir.unusable(format!("its token cannot be read: {error}"))),
    }
}

/// So many random bytes, as URL-safe text.
pub(crate) fn random_text(bytes: usize) -> Result<String, getrandom::Error> {
    let mut secret = vec![0; bytes];
    getrandom::fill(&mut secret)?;
    Ok(url_safe(&secret))
}

/// Base 64 with the URL-safe alphabet and without padding (RFC 4648, section 5).
fn url_safe(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .chain(std::iter::repeat(&0))
            .take(3)
            .fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        for place in 0..=chunk.len() {
            text.push(char::from(URL_SAFE[word >> (18 - 6 * place) & 63]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::url_safe;

    #[test]
    fn text_is_base64url() {
        assert_eq!(url_safe(b""), "");
        assert_eq!(url_safe(b"f"), "Zg");
        assert_eq!(url_safe(b"fo"), "Zm8");
        assert_eq!(url_safe(b"foo"), "Zm9v");
        assert_eq!(url_safe(&[0xff, 0xef, 0xbe]), "_---");
    }
}
