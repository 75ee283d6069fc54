//! Behaviour of the evidence formats, as one test program.

mod records;
mod samples;
