//! A hot module that does what is written in its file: tests change that without a compiler.
//!
//! Compiled by `rustc` itself. With `--cfg second` its memory is of another shape.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use warden_hot::serde::{Deserialize, Serialize};

/// What the tests' host believes to cross.
pub const SCHEMA: &str = "pub struct Row {\n    pub place: u64,\n}\n";

#[cfg(not(second))]
#[derive(Clone, Serialize, Deserialize)]
#[serde(crate = "warden_hot::serde")]
pub struct Remembered {
    frames: u32,
    name: String,
    kind: u32,
    zoom: u32,
    gone: bool,
}

#[cfg(second)]
#[derive(Clone, Serialize, Deserialize)]
#[serde(crate = "warden_hot::serde")]
pub struct Remembered {
    frames: u32,
    #[serde(alias = "name")]
    title: String,
    kind: Vec<String>,
    zoom: f64,
    fresh: u8,
}

#[cfg(not(second))]
impl Default for Remembered {
    fn default() -> Self {
        Self { frames: 0, name: "first".into(), kind: 7, zoom: 1, gone: true }
    }
}

#[cfg(second)]
impl Default for Remembered {
    fn default() -> Self {
        Self { frames: 0, title: "second".into(), kind: vec!["none".into()], zoom: 2.5, fresh: 9 }
    }
}

warden_hot::manifest! { module: "tiny", schema: crate::SCHEMA, memory: Remembered }

/// `MODE FRAME`, then spaces: at that frame, counted over the life of the process, it does so.
#[used]
static TOLD: [u8; 64] = *b"CHAMELEON:good 0                                                ";

/// Draws a frame, and says how many it has drawn by its memory.
#[warden_hot::delegation_target]
pub fn tiny_draw(#[memory] memory: &mut Remembered) -> u32 {
    static DRAWN: AtomicU32 = AtomicU32::new(0);
    memory.frames += 1;
    act(DRAWN.fetch_add(1, Ordering::Relaxed) + 1, true);
    memory.frames
}

/// Rehearses, without counting.
#[warden_hot::delegation_target]
pub fn tiny_rehearse(#[memory] memory: &mut Remembered) -> u32 {
    act(0, false);
    memory.frames
}

fn act(frame: u32, _drawing: bool) {
    // SAFETY: it is this very static. Volatile, since what the compiler saw is not what is there.
    let told = unsafe { std::ptr::read_volatile(&raw const TOLD) };
    let told = String::from_utf8_lossy(&told).into_owned();
    let mut words = told.trim_start_matches("CHAMELEON:").split_whitespace();
    let (mode, at) = (words.next().unwrap_or("good"), words.next().and_then(|at| at.parse().ok()));
    if at.unwrap_or(0) != frame {
        return;
    }
    match mode {
        "panic" => panic!("frame {frame} is bad"),
        "segfault" => {
            let nowhere = black_box(8 as *mut u64);
            // SAFETY: none: this is the fault that is asked for.
            unsafe { nowhere.write_volatile(1) };
        }
        "loop" => loop {
            black_box(());
        },
        "balloon" => {
            let mut held = Vec::new();
            loop {
                held.push(vec![1_u8; 16 << 20]);
                black_box(&held);
            }
        }
        _ => {}
    }
}
