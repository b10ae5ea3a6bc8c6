//! Catches a panic of hot code, with its words and its place.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use warden_hot::Panicked;

use crate::failure::Place;

/// What a panic said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Its words.
    pub message: String,
    /// Where it was raised.
    pub place: Option<Place>,
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.place {
            Some(place) => write!(f, "\n  at {place}"),
            None => Ok(()),
        }
    }
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: RefCell<Option<Caught>> = const { RefCell::new(None) };
}

/// Runs `hot` and catches its panic. What `hot` had changed by then stays changed: the caller puts
/// it back. Nothing is printed for a panic that is caught here; panics elsewhere go on to the hook
/// that was set before the first call.
///
/// # Errors
/// What the panic said.
pub fn catch<T>(hot: impl FnOnce() -> T) -> Result<T, Caught> {
    hook();
    let outer = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(hot));
    GUARDED.set(outer);
    result.map_err(|payload| {
        // Its destructor is hot code too, and may panic in turn.
        std::mem::forget(payload);
        CAUGHT.take().unwrap_or_else(|| Caught {
            message: "panicked".to_owned(),
            place: None,
        })
    })
}

/// Calls a delegation target, whose panic is caught inside its library already, and says where it
/// was raised as well. As [`catch`] otherwise.
///
/// # Errors
/// What the panic said.
pub fn call<T>(target: impl FnOnce() -> Result<T, Panicked>) -> Result<T, Caught> {
    CAUGHT.take();
    catch(target)?.map_err(|panicked| Caught {
        // Heard here only where both sides share one std.
        place: CAUGHT
            .take()
            .filter(|caught| caught.message == panicked.message)
            .and_then(|caught| caught.place),
        message: panicked.message,
    })
}

/// Hears of every panic of the process, once and for all.
fn hook() {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let former = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                return former(info);
            }
            let words = info.payload_as_str().unwrap_or("panicked without words");
            let place = info.location().map(|at| Place {
                file: at.file().to_owned(),
                line: at.line(),
                column: at.column(),
            });
            tracing::error!(%words, place = place.as_ref().map(tracing::field::display), "hot code panicked");
            CAUGHT.set(Some(Caught { message: words.to_owned(), place }));
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_words_and_its_place() {
        let caught = catch(|| panic!("row {} is gone", 7)).unwrap_err();
        assert_eq!(caught.message, "row 7 is gone");
        assert!(caught.place.unwrap().file.ends_with("guard.rs"));
        assert_eq!(catch(|| 3), Ok(3));
    }

    #[test]
    fn a_payload_that_panics_when_dropped_harms_nobody() {
        struct Trap;
        impl Drop for Trap {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let caught = catch(|| panic::panic_any(Trap)).unwrap_err();
        assert_eq!(caught.message, "panicked without words");
    }
}
