//! Behaviour of the evidence formats, as one test program.

mod capture;
mod records;
mod samples;
