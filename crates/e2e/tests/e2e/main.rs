//! Black-box tests: the real binary, foreign peers at its ends, and an attacker in every seat.

#![cfg(test)]

mod demo;
mod killed;
mod peers;
mod sent;
mod watching;
