//! A client as a process of its own, which can be killed and stopped: it acts out an [`Actor`] over
//! HTTP and writes down, before it sends and once it is answered, what and when.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use warden::Code;
use warden::wire::{LockBody, RenewBody, RequestPhase, RequestState};
use warden_client::owner::own_by_this_process;
use warden_client::{Client, Error, Find, Submitted};

use crate::actor::{Act, Actor};
use crate::clock;
use crate::record::{Answer, Call, ClientNo, Ns, Op, Told};

/// A line of a client's log. Where the process is killed the last call has no answer.
#[derive(Debug, Serialize, Deserialize)]
pub enum Line {
    Sent { at: Ns, call: Call },
    Heard { at: Ns, answer: Answer },
}

/// What a client is told on its command line.
#[derive(Debug)]
pub struct Options {
    pub number: ClientNo,
    pub seed: u64,
    pub data_dir: PathBuf,
    pub log: PathBuf,
}

pub fn client(data_dir: &std::path::Path) -> Result<Client> {
    let find = Find {
        addr: None,
        data_dir: Some(data_dir.to_owned()),
        token_file: None,
    };
    Ok(Client::new(find.endpoint()?))
}

/// Acts until standard input is closed, and ends what it has begun.
pub fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (told, mut stop) = watch::channel(false);
    std::thread::spawn(move || {
        let _read_or_broken = std::io::stdin().read_to_end(&mut Vec::new());
        told.send_replace(true);
    });
    let mut owner = LockBody::default();
    own_by_this_process(&mut owner);
    let process = (std::process::id(), owner.pid_start);
    let mut actor = Actor::new(options.number, options.seed, process);
    let client = client(&options.data_dir)?;
    let mut log = File::options()
        .append(true)
        .create(true)
        .open(&options.log)?;
    runtime.block_on(async {
        loop {
            if *stop.borrow_and_update() {
                actor.stop();
            }
            match actor.next() {
                Act::End => return Ok(()),
                // Its own pace, drawn by chance.
                Act::Rest(rest) => tokio::time::sleep(rest).await,
                Act::Send(call, hang_up) => {
                    let (at, sent) = (clock::now(), call.clone());
                    write(&mut log, &Line::Sent { at, call })?;
                    let answer = send(&client, &sent, hang_up).await;
                    actor.heard(&answer);
                    let at = clock::now();
                    write(&mut log, &Line::Heard { at, answer })?;
                }
            }
        }
    })
}

/// One call of the system a line, so that a line is there whole or not at all.
fn write(log: &mut File, line: &Line) -> Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    log.write_all(&text).context("writing the log")
}

/// What a process wrote down.
pub fn read(number: ClientNo, log: &std::path::Path) -> Result<Vec<Op>> {
    let mut ops: Vec<Op> = Vec::new();
    let text = match std::fs::read_to_string(log) {
        // It was killed before it began.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(ops),
        text => text.with_context(|| format!("reading {log:?}"))?,
    };
    for line in text.lines() {
        match serde_json::from_str(line)? {
            Line::Sent { at, call } => ops.push(Op {
                client: number,
                at,
                call,
                answer: None,
            }),
            Line::Heard { at, answer } => {
                let op = ops.last_mut().context("an answer to nothing")?;
                op.answer = Some((at, answer));
            }
        }
    }
    Ok(ops)
}

/// Sends a call once.
pub async fn send(client: &Client, call: &Call, hang_up: Option<Duration>) -> Answer {
    match call {
        Call::Lock(body) if body.wait == Some(false) => {
            match client.submit(LockBody::clone(body)).await {
                Ok(Submitted::Granted(granted)) => Answer::Granted(Told::from(*granted)),
                Ok(Submitted::Queued(_)) => Answer::Waiting,
                Err(error) => refused(&error),
            }
        }
        Call::Lock(body) => {
            let locked = client.lock_once(body);
            let locked = match hang_up {
                None => locked.await,
                Some(patience) => match tokio::time::timeout(patience, locked).await {
                    Ok(locked) => locked,
                    Err(_) => return Answer::HungUp,
                },
            };
            match locked {
                Ok(granted) => Answer::Granted(Told::from(granted)),
                Err(error) => refused(&error),
            }
        }
        Call::Renew { lease_id, token } => {
            let body = RenewBody {
                lease_id: lease_id.clone(),
                token: *token,
                operation: None,
            };
            match client.renew(&body).await {
                Ok(_) => Answer::Renewed,
                Err(error) => refused(&error),
            }
        }
        Call::Unlock { lease_id, token } => match client.unlock(lease_id, *token).await {
            Ok(ended) => Answer::Released(ended.outcome),
            Err(error) => refused(&error),
        },
        Call::Cancel(id) => stands(client.cancel(id).await),
        Call::Look(id) => stands(client.request(id).await),
    }
}

fn stands(state: Result<RequestState, Error>) -> Answer {
    match state {
        Ok(RequestState {
            lease: Some(granted),
            ..
        }) => Answer::Granted(Told::from(granted)),
        Ok(RequestState {
            outcome: Some(outcome),
            ..
        }) => Answer::Ended(outcome),
        Ok(state) if state.state == RequestPhase::Waiting => Answer::Waiting,
        Ok(state) => Answer::Strange(format!("{state:?}")),
        Err(error) => refused(&error),
    }
}

fn refused(error: &Error) -> Answer {
    match error {
        Error::Problem(refusal) => match (refusal.problem.code, refusal.outcome()) {
            (Code::LeaseEnded, Some(outcome)) => Answer::LeaseEnded(outcome),
            (Code::RequestEnded | Code::QueueTimeout, Some(outcome)) => Answer::Ended(outcome),
            (code, _) => Answer::Refused(code),
        },
        Error::Unreachable {
            was_connected: true,
            ..
        } => Answer::Lost,
        // Whoever else listens there was sent nothing.
        Error::Unreachable { .. } | Error::Stranger { .. } | Error::Token { .. } => Answer::NotSent,
        Error::Protocol { .. } | Error::BadAddress { .. } => Answer::Strange(error.to_string()),
    }
}
