//! Writes the seed corpus to `fuzz/corpus/`.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut bytes = 0;
    let seeds = harpo_fuzz::seeds();
    for seed in &seeds {
        let folder = corpus.join(seed.target);
        fs::create_dir_all(&folder)?;
        let file = folder.join(&seed.name);
        // Certificates have fresh keys in every run; those that are there are as good.
        if !(seed.target.starts_with("certificate") && file.exists()) {
            fs::write(file, &seed.bytes)?;
        }
        bytes += seed.bytes.len();
    }
    println!("{} inputs, {bytes} bytes", seeds.len());
    Ok(())
}
