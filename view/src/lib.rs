//! What crosses between the window's host and its hot code.
