//! [`Frames`]: records of the frames of a websocket between others (GOST reference, modules 6.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawspan_wire::websocket::{Frame, Overheard};
use serde::Serialize;
use tokio::time::Instant;

use super::HandlerRecorder;
use super::record::Record;
use crate::net::{Buffered, heard};

/// An exchange that became a websocket whose frames are recorded.
pub(super) struct Frames {
    /// That of the exchange.
    pub(super) record: Record,
    pub(super) recorder: HandlerRecorder,
    /// Records a second for each direction, at most.
    pub(super) rate: f64,
}

/// A frame, for records.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FrameRecord {
    from: &'static str,
    fin: bool,
    rsv1: bool,
    rsv2: bool,
    rsv3: bool,
    opcode: u8,
    masked: bool,
    mask_key: u32,
    length: u64,
    payload: Option<String>,
}

impl Frames {
    /// Both ends of the websocket, whose frames are recorded as they pass.
    pub(super) fn overhear(self, client: Buffered, upstream: Buffered) -> (Buffered, Buffered) {
        (heard(client, self.listener("client")), heard(upstream, self.listener("server")))
    }

    fn listener(&self, from: &'static str) -> impl FnMut(&[u8]) + Send + Unpin + use<> {
        let (record, recorder) = (self.record.clone(), self.recorder.clone());
        let mut overheard = Overheard::new(recorder.http_body.unwrap_or(0));
        let mut samples = Samples::new(self.rate);
        move |bytes: &[u8]| {
            overheard.hear(bytes, |frame| {
                if samples.take() {
                    let mut record = record.clone();
                    record.begin("http");
                    (record.input_bytes, record.output_bytes) =
                        if from == "client" { (frame.size, 0) } else { (0, frame.size) };
                    record.websocket = Some(FrameRecord::of(from, &frame));
                    record.write(&recorder);
                }
            });
        }
    }
}

impl FrameRecord {
    fn of(from: &'static str, frame: &Frame) -> Self {
        let [rsv1, rsv2, rsv3] = frame.rsv;
        Self {
            from,
            fin: frame.fin,
            rsv1,
            rsv2,
            rsv3,
            opcode: frame.opcode,
            masked: frame.mask.is_some(),
            mask_key: frame.mask.map_or(0, u32::from_le_bytes),
            length: frame.length,
            payload: (!frame.payload.is_empty()).then(|| STANDARD.encode(&frame.payload)),
        }
    }
}

/// How many frames may still be recorded.
struct Samples {
    rate: f64,
    left: f64,
    since: Instant,
}

impl Samples {
    fn new(rate: f64) -> Self {
        Self { rate, left: rate.max(1.0), since: Instant::now() }
    }

    fn take(&mut self) -> bool {
        let now = Instant::now();
        let more = (now - self.since).as_secs_f64() * self.rate;
        // GOST: below one a second it records none at all.
        self.left = (self.left + more).min(self.rate.max(1.0));
        self.since = now;
        let is_one_left = self.left >= 1.0;
        if is_one_left {
            self.left -= 1.0;
        }
        is_one_left
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn as_many_are_recorded_as_the_rate_says() {
        let mut samples = Samples::new(2.0);
        let mut taken = || (0..10).filter(|_| samples.take()).count();
        assert_eq!(taken(), 2);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(taken(), 1);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(taken(), 2);
        let mut slow = Samples::new(0.5);
        assert!(slow.take() && !slow.take());
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(slow.take());
        let mut all = Samples::new(f64::INFINITY);
        assert!((0..1000).all(|_| all.take()));
    }
}
