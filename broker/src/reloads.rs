//! Taking things anew while the broker runs, whoever asks: over HTTP, by SIGHUP, or because the file
//! of the program changed in development mode.

use std::sync::Arc;

use warden::Code;
use warden::wire::reload::{ReloadBody, ReloadResult};
use warden_reload::files::{Files, HotFile, Listing, Subscription};

use crate::app::{App, Ready};
use crate::http::answer::{Extra, Failure};
use crate::program::{self, How, Plan, Turn};
use crate::{rules, sharing};

/// One thing that is reloaded, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All files, and the program where that is allowed.
    All,
    Policy,
    Config,
    Program(How),
}

impl Wanted {
    /// What a body asks for.
    pub(crate) fn parse(body: &ReloadBody) -> Result<Self, Failure> {
        let how = How {
            back: body.back,
            one_way: body.one_way,
        };
        let asks_for_program = how != How::default();
        match body.module.as_deref() {
            Some(program::MODULE) => Ok(Self::Program(how)),
            None if asks_for_program => Ok(Self::Program(how)),
            None => Ok(Self::All),
            Some(name) if asks_for_program => {
                let field = if how.back { "back" } else { "one_way" };
                let detail = format!("{name} has none: only the program can be reloaded so");
                Err(invalid(field, &detail))
            }
            Some(rules::MODULE) => Ok(Self::Policy),
            Some(sharing::MODULE) => Ok(Self::Config),
            Some(name) => {
                let all = [program::MODULE, rules::MODULE, sharing::MODULE].join(", ");
                let detail = format!("there is no {name:?} to reload; there is {all}");
                Err(invalid("module", &detail))
            }
        }
    }
}

impl Wanted {
    /// Whether what is wanted has happened when the program on disk was taken for somebody else.
    pub(crate) fn is_met_by_another(self) -> bool {
        matches!(self, Self::All) || self == Self::Program(How::default())
    }
}

fn invalid(field: &str, detail: &str) -> Failure {
    Failure {
        code: Code::InvalidRequest,
        detail: format!("{field}: {detail}"),
        extra: Box::new(Extra {
            field: Some(field.to_owned()),
            ..Extra::default()
        }),
    }
}

/// Reloads, the program last. With a plan, this program ends as soon as that is carried out.
///
/// # Errors
/// `reload_refused`, or `reload_disabled` where only the program was wanted; what came before it in
/// the order stays reloaded.
pub(crate) async fn reload(
    ready: &Ready,
    wanted: Wanted,
) -> Result<(Vec<ReloadResult>, Option<Box<Plan>>), Failure> {
    let mut results = Vec::new();
    if matches!(wanted, Wanted::All | Wanted::Policy) {
        results.push(ready.rules.reload(&ready.desk).await?);
    }
    if matches!(wanted, Wanted::All | Wanted::Config) {
        results.push(ready.sharing.reload().await?);
    }
    let how = match wanted {
        Wanted::Program(how) => how,
        Wanted::All if ready.switch.is_on() => How::default(),
        _ => return Ok((results, None)),
    };
    let Some(program) = &ready.program else {
        return match wanted {
            Wanted::All => Ok((results, None)),
            _ => Err(disabled(
                "it is part of another program, which is not the broker's to replace",
            )),
        };
    };
    if !ready.switch.is_on() {
        return Err(disabled(
            "an operator can switch it on: `warden hot-reload --enable`, or `PUT \
             /v1/hot-reload/enabled`",
        ));
    }
    ready.desk.shorten().await?;
    let plan = match program.reload(how).await? {
        Turn::Stays(result) => {
            results.push(result);
            return Ok((results, None));
        }
        Turn::Goes(plan) => plan,
    };
    // It has taken a while to get here, in which the disk may have become full.
    match ready.desk.make_way().await? {
        Ok(()) => Ok((results, Some(plan))),
        Err(why) => Err(program.stay(plan, &why).await),
    }
}

fn disabled(what: &str) -> Failure {
    let detail = format!("this broker takes no new program code; {what}");
    Failure::new(Code::ReloadDisabled, detail)
}

/// The same where nobody waits for an answer: what came of it is in the log.
pub(crate) async fn reload_unasked(app: &App, wanted: Wanted, why: &'static str) {
    let Ok(ready) = app.ready() else {
        return;
    };
    match reload(ready, wanted).await {
        Ok((results, plan)) => {
            for ReloadResult {
                name,
                outcome,
                generation,
            } in results
            {
                tracing::info!(why, module = name, ?outcome, generation, "reloaded");
            }
            if let (Some(plan), Some(program)) = (plan, &ready.program) {
                program.go(plan);
            }
        }
        Err(failure) => {
            tracing::error!(why, code = %failure.code, detail = failure.detail, "not reloaded");
        }
    }
}

/// Keeps the program's file watched.
#[derive(Debug)]
pub(crate) struct Followed {
    _file: HotFile<Listing>,
    _told: Subscription,
}

/// Reloads the program whenever its file changes, for as long as what is returned lives.
pub(crate) fn follow_program(app: &Arc<App>, files: &Files) -> Option<Followed> {
    let program = app.ready().ok()?.program.clone()?;
    let runtime = tokio::runtime::Handle::current();
    let file = files.open_stamp(program.disk());
    let app = Arc::downgrade(app);
    let told = file.on_change(move |change| {
        // One that is gone is being replaced.
        let Some(app) = app.upgrade().filter(|_| !change.new.is_empty()) else {
            return;
        };
        if app.ready().is_ok_and(|ready| ready.switch.is_on()) {
            runtime.spawn(async move {
                let wanted = Wanted::Program(How::default());
                reload_unasked(&app, wanted, "its file changed").await;
            });
        }
    });
    Some(Followed {
        _file: file,
        _told: told,
    })
}
