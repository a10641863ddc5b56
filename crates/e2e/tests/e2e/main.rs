//! Black-box tests: the real binary, foreign peers at its ends, and an attacker in every seat.

#![cfg(test)]

mod combine;
mod demo;
mod documents;
mod hostile_cloud;
mod hostile_consumer;
mod interrupted;
mod killed;
mod marked;
mod peers;
mod proxy;
mod relayed;
mod rogue;
mod rounds;
mod rules;
mod sent;
mod streamed;
mod trouble;
mod watching;
