//! `warden check`.
use crate::args::BrokerArgs;
use crate::exit::Exit;
pub fn check(_b: &BrokerArgs) -> anyhow::Result<Exit> {
    Ok(Exit::Success)
}
