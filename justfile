# The usual tasks; `just` lists them. Install it with `cargo install just`, `pip install rust-just` or from your distribution.

[private]
default:
    @{{ just_executable() }} --list --unsorted

# Checks before a commit: format, spelling, Python, clippy, unit tests, documents, architecture. Under a minute on a built tree
quick: (ci "format" "spelling" "python" "lints")
    cargo test --locked --lib --bins --quiet
    cargo test --locked --quiet --test it -- architecture documents

# All tests, or those with FILTER in their name
test *FILTER:
    cargo test --locked {{ FILTER }}

# All checks of CI, or these STEPS of them (.ci/run)
ci *STEPS:
    bash .ci/run {{ STEPS }}

# Start the service in sandbox mode: SQLite file, SMS on the console, port 8080
run *ARGUMENTS:
    cargo run --locked -- {{ ARGUMENTS }}

# Measure the running service beside its database, about ten minutes; --short, --against BINARY (benches/README.md)
bench *OPTIONS:
    benches/run {{ OPTIONS }}

# Time the pure parts with criterion
time *FILTER:
    cargo bench --locked --bench pure -- {{ FILTER }}

# Count the instructions of the pure parts and compare them with the baseline (needs Valgrind)
instructions: (ci "instructions")

# Fuzz TARGET (the list is in fuzz/Cargo.toml) for SECONDS; needs a nightly compiler and cargo-fuzz
fuzz TARGET SECONDS="60":
    mkdir -p target/corpus/{{ TARGET }}
    cargo +nightly fuzz run --dev {{ TARGET }} target/corpus/{{ TARGET }} fuzz/corpus/{{ TARGET }} -- -max_total_time={{ SECONDS }}

# Take the pictures of the phone page in docs/images (needs Chromium, pngquant and the port 8080)
screenshots:
    cargo test --locked --test it -- --ignored screenshots
    pngquant --force --strip --ext .png docs/images/phone-page*.png

# Build the documentation of the library and open it
docs:
    cargo doc --locked --no-deps --open

# Format the Rust and the Python (`just quick` installs ruff)
format:
    cargo fmt
    target/ruff-tool/bin/ruff format
