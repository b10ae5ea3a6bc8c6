//! What can be edited while the program runs. Change the words, the arithmetic, or the fields of
//! what is remembered, and press Enter in the program.

use serde::{Deserialize, Serialize};

/// Outlives every reload; a new field gets its default, one that is gone is dropped.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
struct Remembered {
    count: u32,
}

warden_hot::manifest! { module: "counter", schema: "", memory: Remembered }

/// Counts, and says how far it has come.
#[warden_hot::delegation_target]
pub fn counter_step(#[memory] remembered: &mut Remembered) -> String {
    remembered.count += 1;
    format!("counted to {}", remembered.count)
}
