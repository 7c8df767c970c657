# Short names for what a contributor runs often; `just` lists them. `.ci/run` is what counts.

_list:
    @just --list --unsorted

# The whole gate, as the hosted runner runs it.
gate:
    bash .ci/run

# Formatting, lints and the rules of the house.
check:
    cargo fmt --all --check
    cargo clippy --locked -p mushan -p mushan-client --all-targets -- -D warnings
    cargo check --locked --lib --no-default-features
    cargo check --locked --no-default-features --features server
    cargo test --locked --test floors

# Unit tests, filtered: `just unit shard::relay`.
unit filter="":
    cargo test --locked --lib {{ filter }}

# The simulator over so many seeds.
sim seeds="2000":
    MUSHAN_SIM_SEEDS={{ seeds }} cargo test --locked --release --test sim -- --nocapture

# One seed of the simulator, told step by step.
seed number:
    MUSHAN_SIM_SEED={{ number }} cargo test --locked --release --test sim -- --nocapture

# Licences, bans and sources of the dependencies.
deny:
    cargo deny check licenses bans sources

# What a message allocates.
allocations:
    cargo bench --bench allocations

# The server beside the floor of the machine.
floor:
    cargo bench --bench floor

# Draws docs/pictures/*.svg from their .dot (graphviz); web/pictures makes the others.
pictures:
    for picture in docs/pictures/*.dot; do dot -Tsvg "$picture" -o "${picture%.dot}.svg"; done

# A Debian package below target/debian: needs cargo-deb.
deb:
    cargo build --locked --release
    bash packaging/pages target/release/mushan target/package
    cargo deb --no-build
