#![no_main]

use std::sync::LazyLock;

use device_management_fuzz::targets::{Edge, device_listing};
use libfuzzer_sys::{Corpus, fuzz_target};

static EDGE: LazyLock<Edge> = LazyLock::new(Edge::open);

fuzz_target!(|data: &[u8]| -> Corpus { device_listing::try_out(&EDGE, data).into_corpus() });
