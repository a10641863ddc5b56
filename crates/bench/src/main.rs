//! Measurements that anyone can repeat: `cargo xtask bench`.

fn main() {}
