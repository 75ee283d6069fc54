//! Replay of logged inputs, and every check of a bundle.
