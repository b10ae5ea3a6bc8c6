//! End-to-end tests: drives the built programs from outside.
