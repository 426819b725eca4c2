//! Writes the seeds of every parser below `corpus`, so that the fuzzer begins with what is accepted.

use std::{fs, path::Path};

fn main() -> std::io::Result<()> {
    for parser in fuzz::PARSERS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(parser.name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in (parser.seeds)().into_iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
        println!("{}", parser.name);
    }
    Ok(())
}
