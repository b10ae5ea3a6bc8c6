//! The rules as data: what `policy.ron` says. Every key is optional and has the default that
//! [`Policy::default`] gives it; an unknown key is an error.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::request::{Operation, Priority};

/// 24 hours: the longest that a request may wait.
pub const MAX_TIMEOUT_MS: u64 = 24 * 60 * 60 * 1000;
/// The shortest time to live that a lease may ask for.
pub const MIN_TTL_MS: u64 = 1_000;

/// The longest time to live that a lease may ask for: an hour.
pub const MAX_TTL_MS: u64 = 3_600_000;
/// The longest of the policy's other durations: an hour.
pub const MAX_DURATION_MS: u64 = 3_600_000;
/// The most that may be allowed to wait at once.
pub const MAX_WAITERS: usize = 1_000_000;

/// The rules that the arbiter goes by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Names that a client may write for a priority, 0 being the most urgent. `default` is what it
    /// gets without one.
    pub priorities: BTreeMap<String, u8>,
    /// What a client may say that it does. `inference` and `model_load` are always allowed.
    /// One that is named here without a `timeout_ms` waits 120,000.
    pub operations: BTreeMap<String, OperationPolicy>,
    /// So often may later arrivals be served before a waiter; then it goes before everyone else.
    #[schemars(range(min = 1))]
    pub max_bypass: u32,
    /// How many leases of operation `model_load` there may be at once.
    #[schemars(range(min = 1))]
    pub model_loads_at_once: u32,
    /// How many may wait at once. Whoever comes when so many do is refused.
    #[schemars(range(min = 1, max = MAX_WAITERS))]
    pub max_queue: usize,
    /// How long a lease lives without a renewal, where the request does not say; at most
    /// `max_ttl_ms`.
    #[schemars(range(min = MIN_TTL_MS, max = MAX_TTL_MS))]
    pub default_ttl_ms: u64,
    /// The longest time to live that a request may ask for.
    #[schemars(range(min = MIN_TTL_MS, max = MAX_TTL_MS))]
    pub max_ttl_ms: u64,
    /// How long a waiter whose connection broke keeps its place.
    #[schemars(range(max = MAX_DURATION_MS))]
    pub reconnect_grace_ms: u64,
    /// How long after a start of the broker a GPU waits for the one whose turn it is.
    #[schemars(range(max = MAX_DURATION_MS))]
    pub resume_ms: u64,
    /// How long a GPU that was taken from a living process may drain.
    #[schemars(range(max = MAX_DURATION_MS))]
    pub drain_ms: u64,
    /// How much memory shares leave unused on each GPU.
    pub vram_reserve_mib: u64,
    /// When a holder is asked to give its lease back.
    pub r#yield: YieldPolicy,
}

/// What the policy says about one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OperationPolicy {
    /// How long a request for it waits, where it does not say. 0 waits for nothing.
    #[schemars(range(max = MAX_TIMEOUT_MS))]
    pub timeout_ms: u64,
}

impl Default for OperationPolicy {
    fn default() -> Self {
        Self {
            timeout_ms: 120_000,
        }
    }
}

/// When a holder is asked to yield, and what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct YieldPolicy {
    /// Whether to ask, and whether asking may become taking.
    pub mode: YieldMode,
    /// By how much a waiter's priority must be better than the holder's.
    pub gap: u8,
    /// How long that waiter must have waited before a holder is asked.
    #[schemars(range(max = MAX_DURATION_MS))]
    pub after_ms: u64,
    /// How long after asking `take` takes.
    #[schemars(range(max = MAX_DURATION_MS))]
    pub grace_ms: u64,
    /// How long after its grant nobody is asked.
    #[schemars(range(max = MAX_DURATION_MS))]
    pub min_hold_ms: u64,
}

/// How far the broker goes to get a GPU back for an urgent waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum YieldMode {
    /// Holders are left alone.
    Never,
    /// Holders are asked.
    Ask,
    /// Holders are asked, then ended.
    Take,
}

impl Default for YieldPolicy {
    fn default() -> Self {
        Self {
            mode: YieldMode::Ask,
            gap: 10,
            after_ms: 5_000,
            grace_ms: 10_000,
            min_hold_ms: 10_000,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        let priorities = [
            ("mic", 0),
            ("console", 10),
            ("default", 15),
            ("dreamer", 20),
        ];
        let operations = [
            (Operation::INFERENCE, 60_000),
            (Operation::MODEL_LOAD, 120_000),
        ];
        Self {
            priorities: priorities
                .map(|(name, number)| (name.to_owned(), number))
                .into(),
            operations: operations
                .map(|(name, timeout_ms)| (name.to_owned(), OperationPolicy { timeout_ms }))
                .into(),
            max_bypass: 8,
            model_loads_at_once: 1,
            max_queue: 100_000,
            default_ttl_ms: 60_000,
            max_ttl_ms: 3_600_000,
            reconnect_grace_ms: 10_000,
            resume_ms: 1_000,
            drain_ms: 10_000,
            vram_reserve_mib: 512,
            r#yield: YieldPolicy::default(),
        }
    }
}

/// A value in the policy that cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// Which key, dotted where it is nested.
    pub key: String,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

impl std::error::Error for PolicyError {}

impl Policy {
    /// Everything that is wrong with these values; the arbiter expects a policy without errors.
    ///
    /// # Errors
    /// Each error names its key.
    pub fn validate(&self) -> Result<(), Vec<PolicyError>> {
        let mut errors = Errors::default();
        self.check_names(&mut errors);
        self.check_counts(&mut errors);
        self.check_durations(&mut errors);
        match errors.0.is_empty() {
            true => Ok(()),
            false => Err(errors.0),
        }
    }

    fn check_names(&self, errors: &mut Errors) {
        for name in self.priorities.keys() {
            errors.check(is_name(name), &format!("priorities.{name}"), name_rule);
        }
        for (name, operation) in &self.operations {
            errors.check(is_name(name), &format!("operations.{name}"), name_rule);
            errors.check(
                operation.timeout_ms <= MAX_TIMEOUT_MS,
                &format!("operations.{name}.timeout_ms"),
                || format!("must be at most {MAX_TIMEOUT_MS} (24 hours)"),
            );
        }
    }

    fn check_counts(&self, errors: &mut Errors) {
        let at_least_one = || "must be at least 1".to_owned();
        errors.check(self.max_bypass >= 1, "max_bypass", at_least_one);
        errors.check(
            self.model_loads_at_once >= 1,
            "model_loads_at_once",
            at_least_one,
        );
        errors.check(
            (1..=MAX_WAITERS).contains(&self.max_queue),
            "max_queue",
            || format!("must be from 1 to {MAX_WAITERS}"),
        );
    }

    fn check_durations(&self, errors: &mut Errors) {
        let ttl = MIN_TTL_MS..=MAX_TTL_MS;
        errors.check(ttl.contains(&self.max_ttl_ms), "max_ttl_ms", || {
            format!("must be from {MIN_TTL_MS} to {MAX_TTL_MS} (an hour)")
        });
        let most = self.max_ttl_ms;
        errors.check(
            (MIN_TTL_MS..=most).contains(&self.default_ttl_ms),
            "default_ttl_ms",
            || format!("must be from {MIN_TTL_MS} to max_ttl_ms, which is {most}"),
        );
        let durations = [
            ("reconnect_grace_ms", self.reconnect_grace_ms),
            ("resume_ms", self.resume_ms),
            ("drain_ms", self.drain_ms),
            ("yield.after_ms", self.r#yield.after_ms),
            ("yield.grace_ms", self.r#yield.grace_ms),
            ("yield.min_hold_ms", self.r#yield.min_hold_ms),
        ];
        for (key, duration_ms) in durations {
            errors.check(duration_ms <= MAX_DURATION_MS, key, || {
                format!("must be at most {MAX_DURATION_MS} (an hour)")
            });
        }
    }

    /// What a request without a priority gets.
    #[must_use]
    pub fn default_priority(&self) -> Priority {
        Priority(self.priorities.get("default").copied().unwrap_or(15))
    }

    /// How long a request for this operation waits where it does not say; nothing where the
    /// operation is not allowed.
    #[must_use]
    pub fn timeout_ms(&self, operation: &str) -> Option<u64> {
        let timeout_ms = self.operations.get(operation).map(|rule| rule.timeout_ms);
        timeout_ms.or(match operation {
            Operation::INFERENCE => Some(60_000),
            Operation::MODEL_LOAD => Some(120_000),
            _ => None,
        })
    }

    /// The names of all operations that are allowed.
    pub fn operation_names(&self) -> impl Iterator<Item = &str> {
        let always = [Operation::INFERENCE, Operation::MODEL_LOAD];
        let more = self.operations.keys().map(String::as_str);
        always
            .into_iter()
            .chain(more.filter(move |name| !always.contains(name)))
    }
}

/// What is wrong so far.
#[derive(Default)]
struct Errors(Vec<PolicyError>);

impl Errors {
    fn check(&mut self, holds: bool, key: &str, problem: impl FnOnce() -> String) {
        if !holds {
            self.0.push(PolicyError {
                key: key.to_owned(),
                problem: problem(),
            });
        }
    }
}

/// Names in the policy go into URLs, logs and tables: keep them short and plain.
fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

fn name_rule() -> String {
    "a name has 1 to 64 of A-Z a-z 0-9 . _ -".to_owned()
}
