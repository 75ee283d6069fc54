//! The tracker: what it knows of swarms, and what it answers.
