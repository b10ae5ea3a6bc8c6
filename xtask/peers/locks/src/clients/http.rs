//! Warden, and the routes of the same server that it is compared with.

use bytes::{Buf as _, BytesMut};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::wire::Wire;
use crate::Result;

/// A server that speaks HTTP, and the bearer token that opens it.
#[derive(Clone, Deserialize, Serialize)]
pub struct Server {
    address: String,
    token: String,
}

/// Which routes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Routes {
    /// The route that does nothing, twice.
    NoOp,
    /// A bare queue in memory.
    Fifo,
    /// Warden's own.
    Warden,
}

impl Routes {
    const fn lock(self) -> &'static str {
        match self {
            Self::NoOp => "/noop",
            Self::Fifo => "/fifo/lock",
            Self::Warden => "/v1/gpu/lock",
        }
    }

    const fn unlock(self) -> &'static str {
        match self {
            Self::NoOp => "/noop",
            Self::Fifo => "/fifo/unlock",
            Self::Warden => "/v1/gpu/unlock",
        }
    }
}

/// What a client of Warden says about itself.
#[derive(Clone, Copy, Default)]
pub struct About {
    /// 0 is the most urgent.
    pub priority: Option<u8>,
    /// The process that the lease is to live with.
    pub pid: Option<u32>,
    /// How long the lease lives without a renewal.
    pub ttl_ms: Option<u64>,
}

pub struct Client {
    wire: Wire,
    server: Server,
    routes: Routes,
    lock: Vec<u8>,
    lease: Option<(String, u64)>,
}

impl Client {
    pub async fn connect(server: &Server, routes: Routes, about: About) -> Result<Self> {
        let mut body = json!({"client": "bench", "ttl_ms": about.ttl_ms.unwrap_or(60_000)});
        if let Some(priority) = about.priority {
            body["priority"] = priority.into();
        }
        if let Some(pid) = about.pid {
            body["pid"] = pid.into();
        }
        Ok(Self {
            wire: Wire::connect(&server.address).await?,
            server: server.clone(),
            routes,
            lock: post(server, routes.lock(), &body.to_string()),
            lease: None,
        })
    }

    pub async fn lock(&mut self) -> Result<()> {
        self.wire.send(&self.lock).await?;
        let answer = self.wire.receive(take_answer).await?;
        if self.routes == Routes::Warden {
            let lease_id = between(&answer, r#""lease_id":""#, '"')?.to_owned();
            let token = between(&answer, r#""token":"#, ',')?.parse()?;
            self.lease = Some((lease_id, token));
        }
        Ok(())
    }

    pub async fn unlock(&mut self) -> Result<()> {
        match (self.routes, self.lease.take()) {
            (Routes::NoOp, _) => self.wire.send(&self.lock).await?,
            (_, lease) => {
                let (lease_id, token) = lease.unwrap_or_else(|| ("l-1000000".to_owned(), 1));
                let body = format!(r#"{{"lease_id":"{lease_id}","token":{token}}}"#);
                let request = post(&self.server, self.routes.unlock(), &body);
                self.wire.send(&request).await?;
            }
        }
        self.wire.receive(take_answer).await.map(drop)
    }
}

fn post(server: &Server, path: &str, body: &str) -> Vec<u8> {
    let Server { address, token } = server;
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What stands there. Cheaper than parsing: what the client does is measured too.
fn between<'a>(text: &'a str, start: &str, end: char) -> Result<&'a str> {
    let found = text
        .split_once(start)
        .and_then(|(_, rest)| rest.split_once(end));
    match found {
        Some((value, _)) => Ok(value),
        None => Err(format!("no {start} in {text}").into()),
    }
}

/// The body of an answer, which must be a 200.
fn take_answer(unread: &mut BytesMut) -> Result<Option<String>> {
    let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&unread[..end])?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let ours = name.eq_ignore_ascii_case("content-length");
        ours.then(|| value.trim().parse::<usize>().ok())?
    });
    let (start, length) = (end + 4, length.ok_or("an answer without a length")?);
    if unread.len() < start + length {
        return Ok(None);
    }
    let is_good = head.starts_with("HTTP/1.1 200 ");
    let body = String::from_utf8(unread[start..start + length].to_vec())?;
    unread.advance(start + length);
    if is_good {
        Ok(Some(body))
    } else {
        Err(body.into())
    }
}
