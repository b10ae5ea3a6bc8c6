//! How what can be reloaded stands on the sample machine, in each state that the panel shows.

use std::sync::Arc;

use warden_view::{
    Change, Diagnostic, Difference, Failure, Fate, GenerationRow, GenerationState, Level,
    Migration, Mismatch, Module, ModuleKind, ModuleState, Picture, Probation, Progress, Reload,
    Restart, Stage, Timing, Watch,
};

use super::{H, M, NOW, S, busy, t, texts};

/// All is well: seven generations, of which one was refused.
pub fn quiet() -> Reload {
    Reload {
        modules: Arc::new([
            code(),
            palette(),
            file("settings.ron", ModuleKind::Settings, 1, 3 * H),
            file("policy.ron", ModuleKind::Settings, 4, 12 * M),
            file("themes/nerv.ron", ModuleKind::Theme, 5, 41 * S),
        ]),
        ..Reload::default()
    }
}

/// The broker's own program: as it runs, with a newer one beside it.
fn program() -> Module {
    let row = |number, label: &str, seed: u64, can_return| GenerationRow {
        attempt: number,
        number,
        label: t(label),
        revision: t(&sha(seed)[..12]),
        can_return,
        ..GenerationRow::default()
    };
    Module {
        name: t("broker"),
        kind: ModuleKind::Broker,
        generation: 3,
        since_ms: NOW - 3 * H - 12 * M,
        artifact: t("/usr/local/bin/warden"),
        sha256: t(&sha(33)),
        newer: true,
        allowed: Some(true),
        history: Arc::new([row(3, "0.1.1", 33, false), row(2, "0.1.0", 32, true)]),
        ..Module::default()
    }
}

fn with_program(program: Module) -> Picture {
    let mut picture = busy();
    let mut modules = picture.reload.modules.to_vec();
    modules.insert(2, program);
    picture.reload.modules = modules.into();
    picture
}

/// A newer program lies there, and may be taken.
pub fn program_newer() -> Picture {
    with_program(program())
}

/// New code is off.
pub fn program_off() -> Picture {
    with_program(Module {
        newer: false,
        allowed: Some(false),
        history: Arc::new([]),
        ..program()
    })
}

/// The program that lies there did not start, and was not taken.
pub fn program_refused() -> Picture {
    let message = "/usr/local/bin/warden was started on a copy of the journal and ended (exit status: \
                   74): the journal has format 4, this program reads up to 3. The broker goes on as \
                   it is; install another program, or the same one again";
    with_program(Module {
        state: ModuleState::Failed,
        failure: Some(Failure {
            stage: Stage::Check,
            at_ms: NOW - 4 * S,
            title: t("/usr/local/bin/warden cannot take the broker's place"),
            message: t(message),
            place: None,
        }),
        ..program()
    })
}

fn code() -> Module {
    Module {
        name: t("render code"),
        kind: ModuleKind::Code,
        state: ModuleState::Live,
        generation: 7,
        loaded: 7,
        since_ms: NOW - 6 * M,
        artifact: t("target/debug/libui_hot.so"),
        sha256: t(&sha(7)),
        watch: Some(Watch::Light),
        timings: timings(&[
            (Stage::Build, 588.0),
            (Stage::Check, 1.9),
            (Stage::Wait, 42.0),
            (Stage::Load, 4.6),
            (Stage::Rehearse, 6.8),
            (Stage::Swap, 0.3),
            (Stage::Probation, 2_031.0),
        ]),
        history: history(7),
        ..Module::default()
    }
}

fn palette() -> Module {
    Module {
        name: t("command palette"),
        kind: ModuleKind::Code,
        generation: 3,
        loaded: 3,
        since_ms: NOW - 26 * M,
        artifact: t("target/debug/libpalette.so"),
        sha256: t(&sha(103)),
        watch: Some(Watch::Off),
        timings: timings(&[
            (Stage::Build, 412.0),
            (Stage::Check, 1.2),
            (Stage::Load, 2.9),
            (Stage::Migrate, 0.4),
            (Stage::Rehearse, 3.1),
            (Stage::Swap, 0.2),
            (Stage::Probation, 2_012.0),
        ]),
        migration: Some(migration()),
        history: history(3),
        ..Module::default()
    }
}

fn file(name: &str, kind: ModuleKind, generation: u32, ago: i64) -> Module {
    Module {
        name: t(name),
        kind,
        generation,
        since_ms: NOW - ago,
        artifact: t(&format!("~/.config/warden/{name}")),
        ..Module::default()
    }
}

fn timings(timings: &[(Stage, f32)]) -> Arc<[Timing]> {
    timings
        .iter()
        .map(|(stage, ms)| Timing {
            stage: *stage,
            ms: *ms,
        })
        .collect()
}

fn sha(seed: u64) -> String {
    let part = |at: u64| format!("{:016x}", (seed + at).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (1..5).map(part).collect()
}

fn migration() -> Migration {
    let change = |fate, key: &str, old: &str, new: &str, why: &str| Change {
        fate,
        key: t(key),
        old: t(old),
        new: t(new),
        why: t(why),
    };
    Migration {
        from: 2,
        to: 3,
        kept: texts(&["recent", "selected", "scroll", "pinned", "closed_at"]),
        changes: Arc::new([
            change(
                Fate::Migrated,
                "uses",
                "[4, 1, 12]",
                "{\"Reload\": 4, \"Reset\": 1, \"Themes\": 12}",
                "",
            ),
            change(
                Fate::Defaulted,
                "limit",
                "\"ten\"",
                "10",
                "\"ten\" is no u32",
            ),
            change(Fate::Defaulted, "fuzzy", "", "true", ""),
            change(Fate::Dropped, "last_theme", "\"nerv\"", "", ""),
        ]),
    }
}

/// The newest first. Every third was refused, and every one that ran can run again.
fn history(newest: u32) -> Arc<[GenerationRow]> {
    let mut rows: Vec<GenerationRow> = (1..=newest).rev().map(|n| ran(n, newest)).collect();
    if newest > 5 {
        rows.insert(2, refused());
    }
    rows.into()
}

fn ran(number: u32, newest: u32) -> GenerationRow {
    let revision = ["5d618f0+", "5d618f0", "a31b755+", "d2f9317"][number as usize % 4];
    let loaded_ms = NOW - 6 * M - i64::from(newest - number) * (11 * M + 7 * S);
    GenerationRow {
        attempt: number * 2,
        number,
        revision: t(revision),
        sha256: t(&sha(u64::from(number))),
        at_ms: loaded_ms,
        built_ms: Some(loaded_ms - S),
        state: if number == newest {
            GenerationState::Running
        } else {
            GenerationState::Former
        },
        can_return: number != newest,
        rehearsed: t("3 frames in the window's own process"),
        recorded: true,
        mapped_bytes: 1_480_000,
        ..GenerationRow::default()
    }
}

fn refused() -> GenerationRow {
    GenerationRow {
        attempt: 11,
        revision: t("5d618f0+"),
        at_ms: NOW - 22 * M,
        state: GenerationState::Refused,
        failure: Some(Failure {
            stage: Stage::Build,
            at_ms: NOW - 22 * M,
            title: t("error[E0425]: cannot find value `colum` in this scope"),
            message: t("error[E0425]: cannot find value `colum` in this scope"),
            place: Some((t("ui_hot/src/queue.rs"), 88, 9)),
        }),
        ..GenerationRow::default()
    }
}

/// The render code as it is changed here, on the busy machine.
fn with(change: impl FnOnce(&mut Module)) -> Picture {
    let mut picture = busy();
    let mut modules = picture.reload.modules.to_vec();
    change(&mut modules[0]);
    picture.reload.modules = modules.into();
    picture
}

/// Started a moment ago: nothing was attempted yet.
pub fn untouched() -> Picture {
    with(|module| {
        module.generation = 1;
        module.loaded = 1;
        module.timings = Arc::default();
        module.history = Arc::default();
    })
}

/// Nothing can be reloaded.
pub fn nothing() -> Picture {
    Picture {
        reload: Reload::default(),
        ..busy()
    }
}

/// The warm restart did not happen: the window does not build.
pub fn not_restarted() -> Picture {
    let mut picture = mismatch();
    picture.reload.restart = Some(Restart {
        since_ms: NOW - 41 * S,
        failure: Some(Failure {
            stage: Stage::Build,
            at_ms: NOW - 2 * S,
            title: t("error[E0063]: missing field `palette` in initializer of `UiMemory`"),
            message: t(
                "error[E0063]: missing field `palette` in initializer of `UiMemory`\n  --> app/src/keep.rs:38:21\n",
            ),
            place: Some((t("app/src/keep.rs"), 38, 21)),
        }),
        ..Restart::default()
    });
    picture
}

/// A new build lies there.
pub fn newer() -> Picture {
    with(|module| module.newer = true)
}

/// The compiler runs.
pub fn building() -> Picture {
    with(|module| {
        module.state = ModuleState::Busy;
        module.stage = Some((Stage::Build, NOW - 4 * S));
        module.timings = Arc::default();
        module.progress = Some(Progress {
            done: 12,
            total: 345,
            current: t("egui_tiles v0.18.0"),
        });
    })
}

/// A reload that failed at its build.
pub fn failed() -> Picture {
    let rendered = "error[E0308]: mismatched types\n  --> ui_hot/src/queue.rs:41:17\n   |\n41 |     \
                    let waited: u32 = row.waited_ms;\n   |                 ---   ^^^^^^^^^^^^^ \
                    expected `u32`, found `u64`\n   |                 |\n   |                 \
                    expected due to this\n";
    let said =
        |level, code: &str, title: &str, place: (&str, u32, u32), rendered: &str| Diagnostic {
            level,
            code: t(code),
            title: t(title),
            place: Some((t(place.0), place.1, place.2)),
            rendered: t(rendered),
        };
    with(|module| {
        module.state = ModuleState::Failed;
        module.timings = timings(&[(Stage::Build, 431.0)]);
        module.failure = Some(Failure {
            stage: Stage::Build,
            at_ms: NOW - 9 * S,
            title: t("error[E0308]: mismatched types"),
            message: t(&format!(
                "{rendered}\nerror: could not compile `ui_hot` (lib) due to 1 previous error"
            )),
            place: Some((t("ui_hot/src/queue.rs"), 41, 17)),
        });
        module.diagnostics = Arc::new([
            said(
                Level::Error,
                "E0308",
                "mismatched types",
                ("ui_hot/src/queue.rs", 41, 17),
                rendered,
            ),
            said(
                Level::Error,
                "E0599",
                "no method named `elided` found for struct `Rect` in the current scope",
                ("ui_hot/src/panels/with/a/long/path/strip.rs", 1_204, 33),
                "error[E0599]: no method named `elided` found for struct `Rect`\n",
            ),
            said(
                Level::Warning,
                "unused_variables",
                "unused variable: `ink`",
                ("ui_hot/src/footer.rs", 17, 9),
                "warning: unused variable: `ink`\n",
            ),
        ]);
    })
}

/// The palette does not compile, the render code is as it was.
pub fn palette_failed() -> Picture {
    let mut picture = busy();
    let mut modules = picture.reload.modules.to_vec();
    modules[1].state = ModuleState::Failed;
    modules[1].failure = Some(Failure {
        stage: Stage::Build,
        at_ms: NOW - 9 * S,
        title: t("error: expected `;`"),
        message: t("error: expected `;`"),
        place: None,
    });
    picture.reload.modules = modules.into();
    picture
}

/// The policy's file was broken a moment ago.
pub fn policy_broken() -> Picture {
    let mut picture = super::settings::broken();
    let mut modules = picture.reload.modules.to_vec();
    let policy = modules
        .iter_mut()
        .find(|module| &*module.name == "policy.ron");
    if let Some(policy) = policy {
        policy.state = ModuleState::Failed;
        policy.failure = Some(Failure {
            title: t("max_bypass must be 1 or more"),
            message: t("policy.ron:7:16: max_bypass must be 1 or more"),
            ..Failure::default()
        });
    }
    picture.reload.modules = modules.into();
    picture
}

/// What crosses has changed.
pub fn mismatch() -> Picture {
    with(|module| {
        module.state = ModuleState::Failed;
        module.timings = timings(&[(Stage::Build, 1_240.0), (Stage::Check, 2.1)]);
        module.failure = Some(Failure {
            stage: Stage::Check,
            at_ms: NOW - 9 * S,
            title: t("`UiMemory.palette` differs, and so does `Palette`"),
            message: t("`UiMemory.palette` differs, and so does `Palette`"),
            place: None,
        });
        module.restart_offered = Some(Mismatch {
            title: t("`UiMemory.palette` differs, and so does `Palette`"),
            differences: Arc::new([
                Difference {
                    of: t("UiMemory"),
                    field: t("palette"),
                    running: t("pub palette: Option<String>,"),
                    offered: t("pub palette: Option<Palette>,"),
                },
                Difference {
                    of: t("Palette"),
                    field: t(""),
                    running: t(""),
                    offered: t("pub struct Palette { pub typed: String, pub at: usize }"),
                },
            ]),
        });
    })
}

/// The same, and the operator took the offer.
pub fn restarting() -> Picture {
    let mut picture = mismatch();
    picture.reload.restart = Some(Restart {
        since_ms: NOW - 11 * S,
        progress: Some(Progress {
            done: 287,
            total: 345,
            current: t("warden-app v0.1.0"),
        }),
        ..Restart::default()
    });
    picture
}

/// It runs, and must prove itself.
pub fn probation() -> Picture {
    with(|module| {
        module.generation = 8;
        module.since_ms = NOW - S;
        let mut rows = history(8).to_vec();
        rows[0].at_ms = NOW - S;
        module.history = rows.into();
        module.timings = module
            .timings
            .iter()
            .filter(|timing| timing.stage != Stage::Probation)
            .copied()
            .collect();
        module.probation = Some(Probation {
            frames: 34,
            of_frames: 60,
            ends_ms: NOW + S,
            slow: 0,
        });
    })
}

/// It panicked at its 30th frame and was taken back.
pub fn rolled_back() -> Picture {
    let failure = Failure {
        stage: Stage::Probation,
        at_ms: NOW - 9 * S,
        title: t("panic at frame 30: index out of bounds: the len is 7 but the index is 7"),
        message: t(
            "panicked at ui_hot/src/queue.rs:112:30:\nindex out of bounds: the len is 7 but \
                    the index is 7\nThe state from before the swap was restored.\nThe file is \
                    quarantined: it is refused until it changes.",
        ),
        place: Some((t("ui_hot/src/queue.rs"), 112, 30)),
    };
    with(|module| {
        module.state = ModuleState::Failed;
        module.newer = true;
        module.loaded = 8;
        module.failure = Some(failure.clone());
        let mut rows = module.history.to_vec();
        rows.insert(
            0,
            GenerationRow {
                attempt: 40,
                state: GenerationState::Quarantined,
                can_return: false,
                at_ms: NOW - 9 * S,
                built_ms: Some(NOW - 12 * S),
                failure: Some(failure),
                ..ran(8, 8)
            },
        );
        module.history = rows.into();
    })
}

/// Hours of work, names as long as anybody gives them.
pub fn long() -> Picture {
    with(|module| {
        module.generation = 128;
        module.loaded = 128;
        module.name = t("render code of a window with a name that nobody would choose");
        module.artifact =
            t("target/a/very/long/way/down/to/the/folder/of/the/build/debug/libui_hot.so");
        let mut rows = history(128).to_vec();
        for row in rows.iter_mut().step_by(5) {
            row.label = t(
                "the queue's columns as they were before the width of names was taken from the room",
            );
            row.recorded = false;
            row.built_ms = None;
        }
        module.history = rows.into();
    })
}
