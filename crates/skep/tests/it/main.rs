//! `skep` as a user runs it: the program itself, its files, its output and its exit codes.

mod demo;
mod full_disk;
mod handover;
mod observe;
mod output;
mod scripts;
mod support;
mod tracker;
mod transfer;
