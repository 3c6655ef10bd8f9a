//! Any line: a command, or what to type instead.
#![no_main]

use cutout_protocol::text::{Command, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    match parse(line) {
        Ok(Command::Box { x0, y0, x1, y1 }) => assert!(x0 < x1 && y0 < y1),
        Ok(Command::Token(token)) => assert!(!token.is_empty() && token.len() <= 64),
        Ok(_) => {}
        Err(error) => assert!(error.to_string().is_ascii()),
    }
});
