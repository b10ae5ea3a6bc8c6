//! Serves the routes that benchmarks in other processes compare with, until its standard input
//! closes: prints its address and bearer token as one line of JSON.

use std::io::{self, Read as _, Write as _};

use serde_json::json;
use warden_broker::noop;

fn main() -> io::Result<()> {
    let token = "a-token-of-a-benchmark";
    let runtime = tokio::runtime::Runtime::new()?;
    let port = {
        let _entered = runtime.enter();
        noop::serve(token).map_err(io::Error::other)?
    };
    let address = format!("127.0.0.1:{port}");
    writeln!(
        io::stdout(),
        "{}",
        json!({"address": address, "token": token})
    )?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
