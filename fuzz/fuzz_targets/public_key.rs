#![no_main]

use device_management_fuzz::targets::public_key;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus { public_key::try_out(data).into_corpus() });
