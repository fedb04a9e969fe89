//! An observer that adds up the bytes of each client.
//!
//! It needs counters that start at 0 with each report (`observer.resetTraffic: true`).

mod total;

use exports::drawspan::plugin::{
    lifecycle,
    observer::{self, EventDetail, EventSource},
};

use crate::{
    drawspan::plugin::types::PluginError,
    wasi::{
        keyvalue::{
            atomics,
            store::{self, Bucket},
        },
        logging::logging::{Level, log},
    },
};

wit_bindgen::generate!({
    path: [
        "../../wit/0.1.0",
        "../../bridges/wasm/wit/keyvalue.wit",
        "../../bridges/wasm/wit/logging.wit",
    ],
    inline: "
        package drawspan:observer-rust;

        world guest {
            include drawspan:plugin/observer-plugin@0.1.0;
            import wasi:keyvalue/store@0.2.0-draft;
            import wasi:keyvalue/atomics@0.2.0-draft;
            import wasi:logging/logging@0.1.0-draft;
            export drawspan:plugin/lifecycle@0.1.0;
        }
    ",
    generate_all,
});

export!(Guest);

struct Guest;

impl lifecycle::Guest for Guest {
    /// There is nothing to configure, which is checked, and so is the store.
    fn init(request: lifecycle::InitRequest) -> Result<(), PluginError> {
        if let Some((key, _)) = request.config.first() {
            let error = format!("unknown config key `{key}`; this plugin reads none");
            return Err(PluginError::InvalidRequest(error));
        }
        bucket().map(drop)
    }
}

impl observer::Guest for Guest {
    fn observe(request: observer::ObserveRequest) -> Result<(), PluginError> {
        let bucket = bucket()?;
        for event in request.events {
            let (EventSource::Handler, EventDetail::Stats(stats)) = (event.source, event.detail)
            else {
                continue;
            };
            // Clients whom no authenticator knows are one client.
            let client = event.client_id.unwrap_or_default();
            match add(&bucket, &client, stats.input_bytes, stats.output_bytes) {
                Ok((sent, received)) => log(Level::Info, "", &total::line(&client, sent, received)),
                // An error would bring the whole batch again, and what is counted already would count twice.
                Err(error) => log(
                    Level::Error,
                    "",
                    &format!("bytes of {client:?} are lost: {error:?}"),
                ),
            }
        }
        Ok(())
    }
}

/// Adds to a client's sums and returns them. Other instances add to them at the same time.
fn add(
    bucket: &Bucket,
    client: &str,
    sent: u64,
    received: u64,
) -> Result<(u64, u64), store::Error> {
    Ok((
        atomics::increment(bucket, &format!("sent/{client}"), sent)?,
        atomics::increment(bucket, &format!("received/{client}"), received)?,
    ))
}

fn bucket() -> Result<Bucket, PluginError> {
    store::open("default")
        .map_err(|error| PluginError::Unavailable(format!("the store `default`: {error:?}")))
}
