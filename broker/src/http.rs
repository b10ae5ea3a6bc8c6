//! The broker's HTTP: connections, doors, routes.

pub(crate) mod answer;
pub(crate) mod doors;
mod drive;
mod events;
pub(crate) mod input;
pub(crate) mod leases;
pub(crate) mod line;
mod lock;
pub(crate) mod routes;
pub(crate) mod server;
pub(crate) mod service;
