//! The one shared library that host and hot code both link.
