//! Keeps a panic inside the library that it was raised in.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

/// A call into hot code panicked. What it had changed by then stays changed: the caller puts it
/// back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("panicked: {message}")]
pub struct Panicked {
    /// What the panic said. Where it was raised the panic hook knows: see `warden_reload::call`.
    pub message: String,
}

/// Runs `hot` and catches its panic. Expanded into every delegation target, so that no panic leaves
/// the library that raised it: a host that is linked with another copy of std could not catch it.
///
/// # Errors
/// When it panicked.
pub fn guard<R>(hot: impl FnOnce() -> R) -> Result<R, Panicked> {
    panic::catch_unwind(AssertUnwindSafe(hot)).map_err(|payload| {
        let message = words(&*payload);
        // Its destructor is hot code too, and may panic in turn.
        std::mem::forget(payload);
        Panicked { message }
    })
}

fn words(payload: &(dyn Any + Send)) -> String {
    let words = payload.downcast_ref::<&str>().copied();
    let words = words.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    words.unwrap_or("panicked without words").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_in_its_own_words_whatever_its_payload() {
        struct Trap;
        impl Drop for Trap {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let said = |hot: fn()| guard(hot).map_err(|panicked| panicked.message);
        assert_eq!(said(|| {}), Ok(()));
        assert_eq!(said(|| panic!("plain")), Err("plain".to_owned()));
        assert_eq!(said(|| panic!("row {}", 7)), Err("row 7".to_owned()));
        assert_eq!(
            said(|| panic::panic_any(Trap)),
            Err("panicked without words".to_owned())
        );
    }
}
