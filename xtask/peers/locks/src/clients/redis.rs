//! Redis, in the two ways that it is used as a lock.

use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use redis::{Cmd, Value, cmd, parse_redis_value};
use tokio::time::sleep;

use super::wire::Wire;
use crate::Result;

/// How the lock is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// `SET name mine NX PX`, tried again until it is free, as the documentation of Redis has it.
    Set,
    /// `BLPOP` of a list with one token in it: a queue, but a holder that dies takes it along.
    List,
}

/// What the Redlock libraries wait between two tries, give or take [`JITTER_MS`].
const RETRY_MS: u64 = 200;
const JITTER_MS: u64 = 100;
/// The expiry in the documentation of `SET NX PX`.
const EXPIRY_MS: u64 = 30_000;
/// Deletes the lock only where it is one's own, as the documentation has it.
const RELEASE: &str = "if redis.call('get',KEYS[1]) == ARGV[1] then \
                       return redis.call('del',KEYS[1]) else return 0 end";

pub struct Client {
    wire: Wire,
    lock: Vec<u8>,
    unlock: Vec<u8>,
    /// Spreads the tries.
    random: u64,
}

impl Client {
    /// `name` is the lock's, `mine` the client's.
    pub async fn connect(address: &str, way: Way, name: &str, mine: &str) -> Result<Self> {
        let mut wire = Wire::connect(address).await?;
        let (lock, unlock) = match way {
            Way::Set => {
                let sha = text(ask(&mut wire, cmd("SCRIPT").arg("LOAD").arg(RELEASE)).await?)?;
                let mut lock = cmd("SET");
                lock.arg(name).arg(mine).arg("NX").arg("PX").arg(EXPIRY_MS);
                let mut unlock = cmd("EVALSHA");
                unlock.arg(sha).arg(1).arg(name).arg(mine);
                (lock, unlock)
            }
            Way::List => {
                let (mut lock, mut unlock) = (cmd("BLPOP"), cmd("RPUSH"));
                lock.arg(name).arg(0);
                unlock.arg(name).arg("token");
                (lock, unlock)
            }
        };
        let random = mine.bytes().fold(0x9e37_79b9_7f4a_7c15, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Ok(Self {
            wire,
            lock: lock.get_packed_command(),
            unlock: unlock.get_packed_command(),
            random,
        })
    }

    /// Puts the token into the list, however many were in it.
    pub async fn put_token(&mut self, list: &str) -> Result<()> {
        ask(&mut self.wire, cmd("DEL").arg(list)).await?;
        let pushed = ask(&mut self.wire, cmd("RPUSH").arg(list).arg("token")).await;
        pushed.map(drop)
    }

    pub async fn lock(&mut self) -> Result<()> {
        loop {
            self.wire.send(&self.lock).await?;
            if self.wire.receive(take_answer).await? != Value::Nil {
                return Ok(());
            }
            self.random = self
                .random
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(1);
            let jitter_ms = (self.random >> 33) % (2 * JITTER_MS);
            // There is no event to wait for: this is what is measured.
            sleep(Duration::from_millis(RETRY_MS - JITTER_MS + jitter_ms)).await;
        }
    }

    pub async fn unlock(&mut self) -> Result<()> {
        self.wire.send(&self.unlock).await?;
        match self.wire.receive(take_answer).await? {
            Value::Int(1) => Ok(()),
            other => Err(format!("the lock was lost: {other:?}").into()),
        }
    }
}

async fn ask(wire: &mut Wire, command: &Cmd) -> Result<Value> {
    wire.send(&command.get_packed_command()).await?;
    wire.receive(take_answer).await
}

fn text(value: Value) -> Result<String> {
    match value {
        Value::BulkString(bytes) => Ok(String::from_utf8(bytes)?),
        other => Err(format!("no text: {other:?}").into()),
    }
}

/// One request is on its way at a time, so that all that came is one answer; one that does not
/// parse is not whole yet.
fn take_answer(unread: &mut BytesMut) -> Result<Option<Value>> {
    if !unread.ends_with(b"\r\n") {
        return Ok(None);
    }
    if unread.starts_with(b"-") {
        return Err(String::from_utf8_lossy(unread).into_owned().into());
    }
    let Ok(value) = parse_redis_value(unread) else {
        return Ok(None);
    };
    unread.advance(unread.len());
    Ok(Some(value))
}
