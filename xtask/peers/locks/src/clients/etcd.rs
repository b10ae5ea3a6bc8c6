//! etcd's lock service over gRPC: the messages of `v3lock.proto` and of the leases in `rpc.proto`,
//! as far as a lock needs them, written out so that no compiler of such files is needed.

use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use crate::Result;

#[derive(Clone, PartialEq, prost::Message)]
struct LeaseGrantRequest {
    #[prost(int64, tag = "1")]
    ttl: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LeaseGrantResponse {
    #[prost(int64, tag = "2")]
    id: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LockRequest {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
    #[prost(int64, tag = "2")]
    lease: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LockResponse {
    #[prost(bytes = "vec", tag = "2")]
    key: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct UnlockRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct UnlockResponse {}

/// A connection of its own, with a lease of its own that is granted once.
pub struct Client {
    grpc: Grpc<Channel>,
    name: Vec<u8>,
    lease: i64,
    key: Vec<u8>,
}

impl Client {
    pub async fn connect(address: &str, name: &str, ttl_s: i64) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?.tcp_nodelay(true);
        let mut grpc = Grpc::new(endpoint.connect().await?);
        let request = LeaseGrantRequest { ttl: ttl_s };
        let path = "/etcdserverpb.Lease/LeaseGrant";
        let granted: LeaseGrantResponse = call(&mut grpc, path, request).await?;
        Ok(Self {
            grpc,
            name: name.as_bytes().to_vec(),
            lease: granted.id,
            key: Vec::new(),
        })
    }

    pub async fn lock(&mut self) -> Result<()> {
        let request = LockRequest {
            name: self.name.clone(),
            lease: self.lease,
        };
        let locked: LockResponse = call(&mut self.grpc, "/v3lockpb.Lock/Lock", request).await?;
        self.key = locked.key;
        Ok(())
    }

    pub async fn unlock(&mut self) -> Result<()> {
        let request = UnlockRequest {
            key: std::mem::take(&mut self.key),
        };
        let _: UnlockResponse = call(&mut self.grpc, "/v3lockpb.Lock/Unlock", request).await?;
        Ok(())
    }
}

async fn call<Q, A>(grpc: &mut Grpc<Channel>, path: &'static str, request: Q) -> Result<A>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    grpc.ready().await?;
    let request = tonic::Request::new(request);
    let path = PathAndQuery::from_static(path);
    let answer = grpc.unary(request, path, ProstCodec::default()).await?;
    Ok(answer.into_inner())
}
