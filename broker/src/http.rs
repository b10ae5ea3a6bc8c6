//! The broker's HTTP: connections, doors, routes.

pub(crate) mod answer;
mod config;
pub(crate) mod doors;
mod drive;
pub(crate) mod events;
pub(crate) mod input;
pub(crate) mod leases;
pub(crate) mod line;
mod lock;
pub(crate) mod lot;
mod reload;
pub(crate) mod routes;
pub(crate) mod server;
pub(crate) mod service;
