//! What the files say of shared keys, and what is other than before.

use std::collections::{BTreeMap, BTreeSet};

use warden::wire::config::{ConfigChange, KeyChange, LiveConfig};
use warden_reload::files::{FaultKind, Problem};
use warden_reload::promotion::Schema;

use super::placed::PlacedValues;

/// Shared keys with their values.
pub(super) type Values = BTreeMap<String, String>;

/// The shared keys of a file.
///
/// # Errors
/// Those whose values the schema does not allow, at the first of them; no value is told.
pub(super) fn shared(env: &PlacedValues, schema: &Schema) -> Result<Values, Problem> {
    let shared = env.values.iter().filter(|(key, _)| schema.is_shared(key));
    let wrong = shared.clone().filter_map(|(key, value)| {
        let place = env.places.get(key).copied();
        Some((place, schema.allows(key, value).err()?))
    });
    let mut wrong: Vec<_> = wrong.collect();
    wrong.sort();
    let Some((first, _)) = wrong.first() else {
        let shared = shared.map(|(key, value)| (key.clone(), value.clone()));
        return Ok(shared.collect());
    };
    let place = *first;
    let wrong: Vec<String> = wrong.into_iter().map(|(_, wrong)| wrong).collect();
    let problem = Problem::new(FaultKind::Invalid, wrong.join("; "));
    Err(match place {
        Some((line, column)) => problem.at(line, column),
        None => problem,
    })
}

/// What is live and may go on to be.
pub(super) fn still_shared(live: &LiveConfig, schema: &Schema) -> Values {
    let values = live.values.iter();
    values
        .filter(|(key, _)| schema.is_shared(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// What these values change, if anything.
pub(super) fn change(
    live: &LiveConfig,
    values: &Values,
    schema: &Schema,
    at: String,
) -> Option<ConfigChange> {
    let keys: BTreeSet<&String> = live.values.keys().chain(values.keys()).collect();
    let changed: BTreeMap<String, KeyChange> = keys
        .into_iter()
        .filter(|key| live.values.get(*key) != values.get(*key))
        .map(|key| {
            let old = live.values.get(key).filter(|_| schema.is_shared(key));
            let change = KeyChange {
                old: old.cloned(),
                new: values.get(key).cloned(),
            };
            (key.clone(), change)
        })
        .collect();
    (!changed.is_empty()).then(|| ConfigChange {
        generation: live.generation + 1,
        at,
        changed,
    })
}

#[cfg(test)]
mod tests {
    use warden_reload::files::{Format as _, Ron};

    use crate::sharing::placed::PlacedEnv;

    use super::*;

    fn schema(text: &str) -> Schema {
        Ron::<Schema>::new().parse(text).unwrap()
    }

    fn live(pairs: &[(&str, &str)]) -> LiveConfig {
        LiveConfig {
            generation: 7,
            at: String::new(),
            values: values(pairs),
        }
    }

    fn values(pairs: &[(&str, &str)]) -> Values {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    const SCHEMA: &str =
        "{\"SIZE\": (type: whole, min: 1, max: 9, shared: true), \"KEY\": (type: text)}";

    #[test]
    fn only_shared_keys_leave_and_only_as_the_schema_allows() {
        let schema = schema(SCHEMA);
        let read = |text: &str| PlacedEnv.parse(text).unwrap();
        let env = read("SIZE=3\nKEY=secret\nOTHER=secret\n");
        assert_eq!(shared(&env, &schema).unwrap(), values(&[("SIZE", "3")]));
        let env = read("KEY=secret\nSIZE=3\n  SIZE =  44\n");
        let problem = shared(&env, &schema).unwrap_err();
        assert_eq!((problem.line, problem.column), (Some(3), Some(11)));
        assert!(problem.message.contains("SIZE"), "{}", problem.message);
        assert!(!problem.message.contains("44"), "{}", problem.message);
    }

    #[test]
    fn a_change_has_what_is_other_and_nothing_of_what_is_shared_no_more() {
        let schema = schema(SCHEMA);
        let before = live(&[("SIZE", "3"), ("KEY", "secret")]);
        assert_eq!(still_shared(&before, &schema), values(&[("SIZE", "3")]));
        let change = change(&before, &values(&[("SIZE", "4")]), &schema, String::new()).unwrap();
        assert_eq!(change.generation, 8);
        let size = &change.changed["SIZE"];
        assert_eq!(
            (size.old.as_deref(), size.new.as_deref()),
            (Some("3"), Some("4"))
        );
        assert_eq!(change.changed["KEY"], KeyChange::default());
        assert!(super::change(&before, &before.values, &schema, String::new()).is_none());
    }
}
