#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    harpo_fuzz::capsule(data);
});
