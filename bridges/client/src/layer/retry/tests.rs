use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use drawspan_wit::admission::{AdmissionRequest, Verdict};
use tokio::time::Instant;

use super::*;
use crate::layer::Deadline;
use crate::layer::fakes::{Fake, admit, authenticate};

#[tokio::test(start_paused = true)]
async fn only_what_may_pass_is_asked_again_and_only_if_it_may_be_repeated() {
    for kind in ErrorKind::ALL {
        let passes = matches!(kind, ErrorKind::Unavailable | ErrorKind::Trapped);
        for (retries, attempts) in [(0, 1), (1, 2), (10, 11)] {
            let admission = Fake::failing(kind);
            let error = Retry::new(admission.clone(), retries).call(Arc::new(admit())).await.unwrap_err();
            assert_eq!((error.kind(), admission.asked()), (kind, if passes { attempts } else { 1 }));

            let auther = Fake::failing(kind);
            Retry::new(auther.clone(), retries).call(Arc::new(authenticate())).await.unwrap_err();
            assert_eq!(auther.asked(), 1, "{kind:?}");
        }
    }
}

/// A plugin that refuses, and says how.
struct Refusing(Refusal, AtomicUsize);

impl Plugin<AdmissionRequest> for Refusing {
    async fn call(&self, _: Arc<AdmissionRequest>) -> Result<Verdict, CallError> {
        self.1.fetch_add(1, Relaxed);
        Err(CallError::refused(self.0, "on purpose"))
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_asked_again_when_the_plugin_lacks_something() {
    for (refusal, attempts) in [(Refusal::InvalidRequest, 1), (Refusal::Unavailable, 3), (Refusal::Failed, 1)] {
        let retry = Retry::new(Refusing(refusal, AtomicUsize::new(0)), 2);
        let error = retry.call(Arc::new(admit())).await.unwrap_err();
        assert_eq!((error.refusal(), retry.inner.1.load(Relaxed)), (Some(refusal), attempts));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_ends_it_and_pauses_grow() {
    let plugin = Fake::new(|before| if before < 3 { Err(ErrorKind::Unavailable) } else { Ok(Verdict::Admitted) });
    let start = Instant::now();
    assert_eq!(Retry::new(plugin.clone(), 5).call(Arc::new(admit())).await.unwrap(), Verdict::Admitted);
    assert_eq!(plugin.asked(), 4);
    // 10, 20 and 40 ms, each between its half and its whole; the timer rounds up to milliseconds.
    let taken = start.elapsed();
    assert!((35..=73).contains(&taken.as_millis()), "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn all_attempts_have_one_deadline() {
    let plugin = Fake::failing(ErrorKind::Unavailable);
    let start = Instant::now();
    let limited = Deadline::new(Retry::new(plugin.clone(), 10), Duration::from_millis(100));
    assert_eq!(limited.call(Arc::new(admit())).await.unwrap_err().kind(), ErrorKind::Deadline);
    assert_eq!(start.elapsed().as_millis() / 10, 10);
    assert!((4..=5).contains(&plugin.asked()), "{}", plugin.asked());
}

#[test]
fn pauses_differ() {
    let pause = Duration::from_secs(1);
    let pauses: Vec<_> = (0..100).map(|_| jittered(pause)).collect();
    assert!(pauses.iter().all(|jittered| (pause / 2..=pause).contains(jittered)), "{pauses:?}");
    assert!(pauses.iter().any(|jittered| jittered.abs_diff(pauses[0]) > pause / 20), "{pauses:?}");
}
