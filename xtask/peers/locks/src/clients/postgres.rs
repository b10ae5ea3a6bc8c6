//! PostgreSQL, in the ways that it is used as a lock. Statements are prepared once; what belongs
//! together goes out in one write and comes back in one answer.

use bytes::BytesMut;
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;
use serde::{Deserialize, Serialize};

use super::wire::Wire;
use crate::Result;

/// A server that trusts whoever is on this host.
#[derive(Clone, Deserialize, Serialize)]
pub struct Server {
    address: String,
    user: String,
}

/// How the lock is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A row says who holds: written to the log before it is told. Waiting would be asking again.
    Row,
    /// The same with `synchronous_commit = off`: told before it is in the log.
    RowAsync,
    /// `SELECT … FOR UPDATE`, held by the open transaction.
    ForUpdate,
    /// `pg_advisory_lock`, held by the session; nothing is written.
    Advisory,
}

const TABLE: &str = "\
CREATE TABLE IF NOT EXISTS locks (id int PRIMARY KEY, holder int, token bigint NOT NULL DEFAULT 0);
INSERT INTO locks SELECT generate_series(0, 1023) ON CONFLICT DO NOTHING";

impl Way {
    const fn lock(self) -> &'static [&'static str] {
        match self {
            Self::Row | Self::RowAsync => &["UPDATE locks SET holder = 1, token = token + 1 \
                 WHERE id = $1 AND holder IS NULL RETURNING token"],
            Self::ForUpdate => &["BEGIN", "SELECT id FROM locks WHERE id = $1 FOR UPDATE"],
            Self::Advisory => &["SELECT pg_advisory_lock($1)"],
        }
    }

    const fn unlock(self) -> &'static [&'static str] {
        match self {
            Self::Row | Self::RowAsync => &["UPDATE locks SET holder = NULL WHERE id = $1"],
            Self::ForUpdate => &["COMMIT"],
            Self::Advisory => &["SELECT pg_advisory_unlock($1)"],
        }
    }
}

pub struct Client {
    wire: Wire,
    lock: BytesMut,
    unlock: BytesMut,
}

impl Client {
    /// `lock` is the number of the lock.
    pub async fn connect(server: &Server, way: Way, lock: u32) -> Result<Self> {
        let mut wire = log_in(server).await?;
        if way == Way::RowAsync {
            run(&mut wire, "SET synchronous_commit = off").await?;
        }
        let lock_request = prepare(&mut wire, "lock", way.lock(), lock).await?;
        let unlock_request = prepare(&mut wire, "unlock", way.unlock(), lock).await?;
        Ok(Self {
            wire,
            lock: lock_request,
            unlock: unlock_request,
        })
    }

    pub async fn lock(&mut self) -> Result<()> {
        self.wire.send(&self.lock).await?;
        match ready(&mut self.wire).await? {
            1 => Ok(()),
            rows => Err(format!("a lock is one row, not {rows}: somebody else holds it").into()),
        }
    }

    pub async fn unlock(&mut self) -> Result<()> {
        self.wire.send(&self.unlock).await?;
        ready(&mut self.wire).await.map(drop)
    }
}

/// Makes the table of locks, all of them free.
pub async fn make_table(server: &Server) -> Result<()> {
    run(&mut log_in(server).await?, TABLE).await
}

async fn log_in(server: &Server) -> Result<Wire> {
    let mut wire = Wire::connect(&server.address).await?;
    let mut request = BytesMut::new();
    let parameters = [("user", server.user.as_str()), ("database", "postgres")];
    frontend::startup_message(parameters, &mut request)?;
    wire.send(&request).await?;
    ready(&mut wire).await?;
    Ok(wire)
}

async fn run(wire: &mut Wire, statements: &str) -> Result<()> {
    let mut request = BytesMut::new();
    frontend::query(statements, &mut request)?;
    wire.send(&request).await?;
    ready(wire).await.map(drop)
}

/// Prepares the statements, and makes the request that runs them.
async fn prepare(wire: &mut Wire, name: &str, statements: &[&str], lock: u32) -> Result<BytesMut> {
    const INT4: u32 = 23;
    const INT8: u32 = 20;
    let (mut first, mut each) = (BytesMut::new(), BytesMut::new());
    for (number, statement) in statements.iter().enumerate() {
        let statement_name = format!("{name}{number}");
        let kind = if statement.contains("advisory") {
            INT8
        } else {
            INT4
        };
        let takes_lock = statement.contains("$1");
        frontend::parse(
            &statement_name,
            statement,
            takes_lock.then_some(kind),
            &mut first,
        )?;
        let write = |_: (), value: &mut BytesMut| {
            if kind == INT8 {
                value.extend_from_slice(&u64::from(lock).to_be_bytes());
            } else {
                value.extend_from_slice(&lock.to_be_bytes());
            }
            Ok(IsNull::No)
        };
        let values = takes_lock.then_some(());
        frontend::bind("", &statement_name, [1], values, write, [1], &mut each)
            .map_err(|_| "a value of the wrong kind")?;
        frontend::execute("", 0, &mut each)?;
    }
    frontend::sync(&mut first);
    frontend::sync(&mut each);
    wire.send(&first).await?;
    ready(wire).await?;
    Ok(each)
}

/// Reads until the server is ready for the next request: the number of rows that were selected or
/// changed last.
async fn ready(wire: &mut Wire) -> Result<u64> {
    let mut rows = 0;
    wire.receive(|unread| {
        while let Some(message) = Message::parse(unread)? {
            match message {
                Message::ErrorResponse(error) => {
                    let said = error.fields().map(|field| Ok(field.value_bytes().to_vec()));
                    let said: Vec<_> = said.collect()?;
                    return Err(String::from_utf8_lossy(&said.join(&b' ')).into());
                }
                Message::CommandComplete(done) => {
                    let count = done
                        .tag()?
                        .rsplit(' ')
                        .next()
                        .and_then(|word| word.parse().ok());
                    rows = count.unwrap_or(0);
                }
                Message::ReadyForQuery(_) => return Ok(Some(rows)),
                _ => {}
            }
        }
        Ok(None)
    })
    .await
}
