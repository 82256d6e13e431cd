//! The pure parts of the service, each as a case that can be repeated: what is done without a socket and a database.
//!
//! One list for three readers: `benches/pure.rs` takes their time, `benches/counted.rs` has their instructions counted, and
//! the integration tests run each once. A case knows how it must come out, so a fast mistake is no good figure.

mod canned_store;
pub(crate) mod crypto;
mod edge;
mod requests;
mod world;

use std::hint::black_box;
use std::rc::Rc;

/// Something to repeat.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    comes_out_right: Box<dyn Fn() -> bool>,
    repeat: Box<dyn Fn(u64)>,
}

impl Case {
    fn new<T: 'static>(
        name: &'static str,
        run: impl Fn() -> T + 'static,
        is_right: impl Fn(T) -> bool + 'static,
    ) -> Self {
        let run = Rc::new(run);
        let once = run.clone();
        Self {
            name,
            comes_out_right: Box::new(move || is_right(once())),
            repeat: Box::new(move |times| {
                for _ in 0..times {
                    black_box(run());
                }
            }),
        }
    }

    /// Does it once and looks at what came out.
    pub(crate) fn comes_out_right(&self) -> bool {
        (self.comes_out_right)()
    }

    /// Does it so many times and looks at nothing.
    pub(crate) fn repeat(&self, times: u64) {
        (self.repeat)(times);
    }
}

/// All cases, always in the same order.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = crypto::cases();
    cases.extend(requests::cases());
    cases
}
