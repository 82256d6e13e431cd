#![no_main]

use device_management_fuzz::targets::signature;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus { signature::try_out(data).into_corpus() });
