//! Hot reload of code and of files.
