//! What the window draws: the hot library.
