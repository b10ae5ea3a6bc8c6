//! A client of each server, all in one style: a connection of its own that stays open, and one
//! request on its way at a time.

pub mod etcd;
pub mod http;
pub mod postgres;
pub mod redis;
mod wire;

use serde::{Deserialize, Serialize};

use crate::Result;

/// Where everything listens.
#[derive(Clone, Deserialize, Serialize)]
pub struct Servers {
    /// The routes without an engine.
    limit: http::Server,
    /// A broker with as many GPUs as there are uncontended clients.
    warden_of_many: http::Server,
    /// A broker with one GPU.
    warden_of_one: http::Server,
    redis: String,
    postgres: postgres::Server,
    etcd: String,
    etcd_unsynced: String,
}

impl Servers {
    pub fn postgres(&self) -> &postgres::Server {
        &self.postgres
    }
}

/// What is measured: a server, and one way to lock with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum System {
    NoOp,
    Fifo,
    Warden,
    /// With the client's process named as the lease's owner.
    WardenPid,
    RedisSet,
    RedisList,
    PostgresRow,
    PostgresRowAsync,
    PostgresForUpdate,
    PostgresAdvisory,
    EtcdUnsynced,
    Etcd,
    Flock,
}

/// Which lock, and who asks for it.
#[derive(Clone, Copy)]
pub struct Wanted {
    /// A lock of the client's own, by its number; the one that all want where there is none.
    pub own: Option<u32>,
    /// Told apart from others by this.
    pub client: u32,
    /// 0 is the most urgent. Only Warden asks.
    pub priority: Option<u8>,
    /// How long what is held lives without a sign of life, where the server has such a thing.
    pub ttl_s: u32,
}

/// The number of the lock that all want, where locks are numbers.
const CONTENDED: u32 = 1000;

pub enum Client {
    Http(http::Client),
    Redis(redis::Client),
    Postgres(postgres::Client),
    Etcd(etcd::Client),
}

impl System {
    pub async fn connect(self, servers: &Servers, wanted: Wanted) -> Result<Client> {
        let number = wanted.own.unwrap_or(CONTENDED);
        let name = format!("lock-{number}");
        let about = http::About {
            priority: wanted.priority,
            pid: (self == Self::WardenPid).then(std::process::id),
            ttl_ms: Some(u64::from(wanted.ttl_s) * 1000),
        };
        let http = |server, routes| http::Client::connect(server, routes, about);
        let mine = format!("client-{}-{}", std::process::id(), wanted.client);
        let list = format!("list-{number}");
        let redis = |way, name| redis::Client::connect(&servers.redis, way, name, &mine);
        let postgres = |way| postgres::Client::connect(&servers.postgres, way, number);
        let etcd = |address| etcd::Client::connect(address, &name, i64::from(wanted.ttl_s));
        Ok(match self {
            Self::NoOp => Client::Http(http(&servers.limit, http::Routes::NoOp).await?),
            Self::Fifo => Client::Http(http(&servers.limit, http::Routes::Fifo).await?),
            Self::Warden | Self::WardenPid => {
                let server = match wanted.own {
                    Some(_) => &servers.warden_of_many,
                    None => &servers.warden_of_one,
                };
                Client::Http(http(server, http::Routes::Warden).await?)
            }
            Self::RedisSet => Client::Redis(redis(redis::Way::Set, &name).await?),
            Self::RedisList => {
                let mut client = redis(redis::Way::List, &list).await?;
                if wanted.client == 0 {
                    client.put_token(&list).await?;
                }
                Client::Redis(client)
            }
            Self::PostgresRow => Client::Postgres(postgres(postgres::Way::Row).await?),
            Self::PostgresRowAsync => Client::Postgres(postgres(postgres::Way::RowAsync).await?),
            Self::PostgresForUpdate => Client::Postgres(postgres(postgres::Way::ForUpdate).await?),
            Self::PostgresAdvisory => Client::Postgres(postgres(postgres::Way::Advisory).await?),
            Self::EtcdUnsynced => Client::Etcd(etcd(&servers.etcd_unsynced).await?),
            Self::Etcd => Client::Etcd(etcd(&servers.etcd).await?),
            Self::Flock => return Err("flock has no connection".into()),
        })
    }
}

impl Client {
    pub async fn lock(&mut self) -> Result<()> {
        match self {
            Self::Http(client) => client.lock().await,
            Self::Redis(client) => client.lock().await,
            Self::Postgres(client) => client.lock().await,
            Self::Etcd(client) => client.lock().await,
        }
    }

    pub async fn unlock(&mut self) -> Result<()> {
        match self {
            Self::Http(client) => client.unlock().await,
            Self::Redis(client) => client.unlock().await,
            Self::Postgres(client) => client.unlock().await,
            Self::Etcd(client) => client.unlock().await,
        }
    }
}
