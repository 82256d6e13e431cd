//! The spans of a request with three statements: without a collector, not sampled, and sampled. The exporter does not
//! run: the queue holds the spans of the counted repetitions, and drops further ones.

use std::collections::BTreeSet;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use device_management::outbound;
use device_management::traces::{Sampler, TraceSettings, Traces, statement};
use reqwest::header::HeaderMap;
use tokio::runtime::{Builder, Runtime};

use super::{Case, world};

/// The statements' texts, as long as those of the store.
const STATEMENT: &str = "update challenge set state = $1 where partner_id = $2 and id = $3 returning id, state";

/// Traces with their task, which the runtime does not run.
struct Tracer {
    traces: Traces,
    _runtime: Runtime,
}

pub(super) fn cases() -> Vec<Case> {
    let with = |sampler| Rc::new(tracer(Some(sampler)));
    vec![
        case("traces/off", Rc::new(tracer(None)), |traced| traced.is_none()),
        case("traces/unsampled", with(Sampler::AlwaysOff), |traced| traced == Some(())),
        case("traces/sampled", with(Sampler::AlwaysOn), |traced| traced == Some(())),
    ]
}

fn tracer(sampler: Option<Sampler>) -> Tracer {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let context = runtime.enter();
    let traces = sampler.map_or_else(Traces::default, |sampler| {
        let settings = TraceSettings {
            endpoint: "http://127.0.0.1:9".parse().expect("a URL"),
            headers: HeaderMap::new(),
            timeout: Duration::from_secs(1),
            resource: Vec::new(),
            sampler,
            continues_callers: true,
            parent_to: BTreeSet::new(),
        };
        Traces::start(settings, outbound::client().expect("a client"), world::minted())
    });
    drop(context);
    Tracer { traces, _runtime: runtime }
}

fn case(name: &'static str, tracer: Rc<Tracer>, is_right: fn(Option<()>) -> bool) -> Case {
    Case::new(name, move || request(&tracer.traces), is_right)
}

/// A request and its spans; `None` if there is no tracer.
fn request(traces: &Traces) -> Option<()> {
    let trace = traces.request("PUT", Some("/v1/mfa/challenges/signatures/{id}"), "an-id", &HeaderMap::new());
    let work = async {
        for _ in 0..3 {
            drop(statement("postgresql", STATEMENT));
        }
    };
    if let Some(trace) = trace {
        finish(trace.around(work));
        trace.answered(204, None);
        Some(())
    } else {
        finish(work);
        None
    }
}

/// Runs a future that does not wait.
fn finish(work: impl Future<Output = ()>) {
    let mut work = pin!(work);
    let done = work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(done, Poll::Ready(()), "the work does not wait");
}
