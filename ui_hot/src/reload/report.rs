//! All that the panel shows of a module, as plain text to send to somebody.

use std::fmt::Write as _;

use warden_view::{Diagnostic, Failure, GenerationRow, Module};

use super::{history, memory, mib, ms, restart, said, stage_word};
use crate::scene::Scene;

pub(super) fn text(scene: &Scene<'_>, module: &Module) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, scene, module);
    out
}

fn write(out: &mut String, scene: &Scene<'_>, module: &Module) -> std::fmt::Result {
    let now = scene.instant(scene.picture.clock.now_ms);
    writeln!(out, "Warden reload report: {}, {now}", module.name)?;
    writeln!(out, "state: {:?}", module.state)?;
    writeln!(
        out,
        "running: generation {}, {} loaded, since {}",
        module.generation,
        module.loaded,
        scene.instant(module.since_ms)
    )?;
    writeln!(out, "file: {}", module.artifact)?;
    if !module.sha256.is_empty() {
        writeln!(out, "SHA-256: {}", module.sha256)?;
    }
    if module.newer {
        writeln!(out, "a new build is available")?;
    }
    if let Some((stage, since)) = module.stage {
        writeln!(
            out,
            "under way: {} since {}",
            stage_word(stage),
            scene.instant(since)
        )?;
    }
    if let Some(probation) = &module.probation {
        writeln!(
            out,
            "probation: {} of {} frames, until {}",
            probation.frames,
            probation.of_frames,
            scene.instant(probation.ends_ms)
        )?;
    }
    if !module.timings.is_empty() {
        writeln!(out, "\nlast attempt:")?;
        for timing in module.timings.iter() {
            writeln!(out, "  {:<10} {}", stage_word(timing.stage), ms(timing.ms))?;
        }
    }
    if let Some(failure) = &module.failure {
        writeln!(out)?;
        self::failure(out, scene, failure, "")?;
    }
    differences(out, module)?;
    diagnostics(out, &module.diagnostics)?;
    migration(out, module)?;
    if !module.history.is_empty() {
        writeln!(out, "\nhistory, the newest first:")?;
        for row in module.history.iter() {
            self::row(out, scene, row)?;
        }
    }
    Ok(())
}

fn failure(
    out: &mut String,
    scene: &Scene<'_>,
    failure: &Failure,
    indent: &str,
) -> std::fmt::Result {
    let (stage, at) = (stage_word(failure.stage), scene.instant(failure.at_ms));
    writeln!(out, "{indent}failed at {stage}, {at}: {}", failure.title)?;
    if let Some((file, line, column)) = &failure.place {
        writeln!(out, "{indent}at {file}:{line}:{column}")?;
    }
    for line in failure.message.lines() {
        writeln!(out, "{indent}  {line}")?;
    }
    Ok(())
}

fn differences(out: &mut String, module: &Module) -> std::fmt::Result {
    let Some(mismatch) = &module.restart_offered else {
        return Ok(());
    };
    writeln!(out, "\n{}", mismatch.title)?;
    for difference in mismatch.differences.iter() {
        writeln!(out, "  {}", restart::named(difference))?;
        writeln!(out, "    this window: {}", difference.running)?;
        writeln!(out, "    new build:   {}", difference.offered)?;
    }
    Ok(())
}

fn diagnostics(out: &mut String, all: &[Diagnostic]) -> std::fmt::Result {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nmessages: {}", said::counts(all))?;
    for said in all {
        writeln!(out, "{}", said.rendered.trim_end())?;
    }
    Ok(())
}

fn migration(out: &mut String, module: &Module) -> std::fmt::Result {
    let Some(migration) = &module.migration else {
        return Ok(());
    };
    writeln!(
        out,
        "\nmemory from generation {} to {}: {}",
        migration.from,
        migration.to,
        memory::sum(migration)
    )?;
    for change in migration.changes.iter() {
        let word = memory::fate_word(change.fate);
        write!(
            out,
            "  {word:<10} {}  {}",
            change.key,
            memory::values(change)
        )?;
        if !change.why.is_empty() {
            write!(out, " ({})", change.why)?;
        }
        writeln!(out)?;
    }
    for key in migration.kept.iter() {
        writeln!(out, "  {:<10} {key}", "kept")?;
    }
    Ok(())
}

fn row(out: &mut String, scene: &Scene<'_>, row: &GenerationRow) -> std::fmt::Result {
    let (number, state) = (history::number(row), history::state_word(row));
    write!(
        out,
        "  {number:<4} {state:<12} {}",
        scene.instant(row.at_ms)
    )?;
    for part in [&row.label, &row.revision, &row.sha256] {
        if !part.is_empty() {
            write!(out, "  {part}")?;
        }
    }
    writeln!(out)?;
    if let Some(built) = row.built_ms {
        writeln!(out, "       built: {}", scene.instant(built))?;
    }
    if !row.sha256.is_empty() {
        writeln!(out, "       record: {}", history::record(row))?;
    }
    if !row.rehearsed.is_empty() {
        writeln!(out, "       rehearsed: {}", row.rehearsed)?;
    }
    if row.mapped_bytes > 0 {
        writeln!(out, "       mapped: {}", mib(row.mapped_bytes))?;
    }
    for said in row.diagnostics.iter() {
        writeln!(
            out,
            "       {}: {}",
            said::level_word(said.level),
            said.title
        )?;
    }
    match &row.failure {
        Some(failure) => self::failure(out, scene, failure, "       "),
        None => Ok(()),
    }
}
