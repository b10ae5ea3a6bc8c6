//! A keep-alive connection with one request on its way at a time.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Result;

/// One connection, and what came over it that nobody has read yet.
pub struct Wire {
    stream: TcpStream,
    unread: BytesMut,
}

impl Wire {
    /// Connects.
    pub async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let unread = BytesMut::with_capacity(4096);
        Ok(Self { stream, unread })
    }

    /// Sends a request, whole.
    pub async fn send(&mut self, request: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(request).await?)
    }

    /// Reads until `take` finds an answer at the front of what came, and takes it off there.
    pub async fn receive<T>(
        &mut self,
        mut take: impl FnMut(&mut BytesMut) -> Result<Option<T>>,
    ) -> Result<T> {
        loop {
            if let Some(answer) = take(&mut self.unread)? {
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
    }
}
