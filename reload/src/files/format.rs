//! How a text becomes a value.

use std::fmt;

use super::fault::Problem;

/// A language that a file is written in, and the value that it stands for.
///
/// A closure `Fn(&str) -> Result<T, Problem>` is one.
pub trait Format: Send + Sync + 'static {
    /// What a file stands for.
    type Value: Send + Sync + 'static;

    /// All of it or nothing: what this returns goes live as it is.
    ///
    /// # Errors
    /// What is wrong, and where.
    fn parse(&self, text: &str) -> Result<Self::Value, Problem>;

    /// What is asked of the file before its text is looked at.
    fn rules(&self) -> Rules {
        Rules::default()
    }

    /// The same, refused where anybody but its owner may write the file or its folder, or where
    /// the owner is neither this user nor root.
    #[must_use]
    fn trusted(self) -> Ruled<Self>
    where
        Self: Sized,
    {
        let mut rules = self.rules();
        rules.trusted = true;
        Ruled {
            format: self,
            rules,
        }
    }

    /// The same for files up to this size.
    #[must_use]
    fn at_most(self, bytes: u64) -> Ruled<Self>
    where
        Self: Sized,
    {
        let mut rules = self.rules();
        rules.limit_bytes = bytes;
        Ruled {
            format: self,
            rules,
        }
    }
}

impl<T, F> Format for F
where
    T: Send + Sync + 'static,
    F: Fn(&str) -> Result<T, Problem> + Send + Sync + 'static,
{
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, Problem> {
        self(text)
    }
}

/// What is asked of a file before its text is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// A larger file is refused unread. 1 MiB where nobody says otherwise.
    pub limit_bytes: u64,
    /// Refuse what others could have written.
    pub trusted: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            limit_bytes: 1 << 20,
            trusted: false,
        }
    }
}

/// A format with other rules: see [`Format::trusted`].
#[derive(Clone, Copy)]
pub struct Ruled<F> {
    format: F,
    rules: Rules,
}

impl<F: Format> Format for Ruled<F> {
    type Value = F::Value;

    fn parse(&self, text: &str) -> Result<F::Value, Problem> {
        self.format.parse(text)
    }

    fn rules(&self) -> Rules {
        self.rules
    }
}

impl<F> fmt::Debug for Ruled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ruled")
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
