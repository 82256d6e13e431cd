#![no_main]

use std::sync::LazyLock;

use device_management_fuzz::targets::{Edge, bearer_token};
use libfuzzer_sys::{Corpus, fuzz_target};

static EDGE: LazyLock<Edge> = LazyLock::new(Edge::open);

fuzz_target!(|data: &[u8]| -> Corpus { bearer_token::try_out(&EDGE, data).into_corpus() });
